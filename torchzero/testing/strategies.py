"""Hypothesis strategies: trees of tensors, gradients, objectives, and runs of an optimizer."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from hypothesis import strategies as st
from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var

T = TypeVar("T")

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
KINDS = ("ordinary", "zeros", "tiny", "huge", "mixed")
EVALUATING = frozenset({"objective", "true_gradient", "hvp", "residuals"})


def seeds() -> st.SearchStrategy[int]:
    """Seeds of a `torch.Generator`."""
    return st.integers(0, 2**31 - 1)


def shapes(max_dims: int = 4, zero_size: bool = True) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes from 0-d to `max_dims`-d, with dimensions of size 1 and (rarely) 0."""
    sizes = [2, 3, 1, 4, *([0] if zero_size else [])]
    return st.lists(st.sampled_from(sizes), max_size=max_dims).map(tuple)


def dtypes() -> st.SearchStrategy[torch.dtype]:
    """float32, float64 or bfloat16."""
    return st.sampled_from(DTYPES)


def fill(seed: int, shape: Sequence[int], dtype: torch.dtype = torch.float64, kind: str = "ordinary") -> Tensor:
    """A contiguous tensor of normal numbers: ordinary, with exact zeros, tiny, huge, or a mixture of all."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(tuple(shape), dtype=torch.float64, generator=g)
    choice = torch.rand(tuple(shape), generator=g)
    if kind == "zeros":
        x = torch.where(choice < 0.4, 0.0, x)
    elif kind == "tiny":
        x = x * 1e-20
    elif kind == "huge":
        x = x * 1e12
    elif kind == "mixed":
        factor = torch.where(choice < 0.5, 1e-12, torch.where(choice < 0.8, 1.0, 1e6))
        x = torch.where(choice < 0.25, 0.0, x * factor)
    return x.to(dtype)


def lay_out(x: Tensor, layout: str) -> Tensor:
    """The same values in memory that is contiguous, transposed, or strided."""
    if layout == "transposed" and x.ndim > 1:
        return x.mT.contiguous().mT
    if layout == "strided" and x.ndim > 0:
        return torch.stack([x, x], -1)[..., 0]
    return x


@st.composite
def tensors(
    draw: Any,
    shape: tuple[int, ...] | None = None,
    dtype: torch.dtype | None = None,
    kinds: Sequence[str] = KINDS,
    layouts: Sequence[str] = ("contiguous", "transposed", "strided"),
) -> Tensor:
    """A tensor with zeros, tiny and huge values, also in non-contiguous memory."""
    size: tuple[int, ...] = draw(shapes()) if shape is None else shape
    kind: torch.dtype = draw(dtypes()) if dtype is None else dtype
    x = fill(draw(seeds()), size, kind, draw(st.sampled_from(list(kinds))))
    return lay_out(x, draw(st.sampled_from(list(layouts))))


class Key:
    """Stands for the i-th leaf of a tree under construction."""

    def __init__(self, i: int) -> None:
        self.i = i


def containers(n: int) -> list[Any]:
    """Trees with `n` leaves, each leaf a Key: single, flat, nested, and with an empty subtree."""
    keys = [Key(i) for i in range(n)]
    half = n // 2
    out: list[Any] = [
        keys,
        {"w": keys[:half], "b": {"x": tuple(keys[half:])}},
        tuple(keys),
        {f"p{k.i}": k for k in keys},
        [{"a": keys[:half]}, (), keys[half:]],
    ]
    return [*out, keys[0]] if n == 1 else out


@st.composite
def structures(draw: Any, min_leaves: int = 1, max_leaves: int = 3) -> Tree:
    """A tree of Keys."""
    return draw(st.sampled_from(containers(draw(st.integers(min_leaves, max_leaves)))))


@st.composite
def trees(draw: Any, leaves: st.SearchStrategy[Tensor] | None = None, min_leaves: int = 1, max_leaves: int = 3) -> Tree:
    """A tree of tensors: a dict, list or tuple, nested or not, or a single tensor."""
    leaf = tensors() if leaves is None else leaves
    return tree.map(lambda _: draw(leaf), draw(structures(min_leaves, max_leaves)))


class Objective(NamedTuple):
    """A smooth convex function of a tree: a sum over the leaves of quartics, coupled by one square.

    Works on any tree whose leaves, in order, have as many elements as `centres`.
    """

    centres: tuple[Tensor, ...]
    coupling: float = 0.1

    def __call__(self, params: Tree) -> Tensor:
        total, shared = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for p, c in zip(tree.leaves(params), self.centres, strict=True):
            v = p.to(torch.float64) - c.reshape(p.shape)
            square = v * v
            total = total + ((0.5 + c.reshape(p.shape) ** 2) * square).sum() + 0.1 * (square * square).sum()
            shared = shared + v.sum()
        return total + self.coupling * shared * shared


class Moved(NamedTuple):
    """An objective of a rearranged tree."""

    objective: Callable[[Tree], Tensor]
    back: Callable[[Tree], Tree]

    def __call__(self, params: Tree) -> Tensor:
        return self.objective(self.back(params))


class Run(NamedTuple):
    """What an optimizer is shown: at every step parameters, and a gradient and perhaps a loss, or an objective."""

    params: tuple[Tree, ...]
    grads: tuple[Tree, ...]  # () with an objective
    losses: tuple[Tensor, ...]  # () unless a module needs "value"
    objective: Callable[[Tree], Tensor] | None

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.params)

    def var(self, k: int, **changes: Any) -> Var:
        """The Var of step `k`."""
        if self.objective is not None:
            return Var(self.params[k], **{"objective": self.objective, "step": k, **changes})
        loss = self.losses[k] if self.losses else None
        return Var(self.params[k], **{"grad": self.grads[k], "loss": loss, "step": k, **changes})

    def moved(self, there: Callable[[Tree], Tree], back: Callable[[Tree], Tree] | None = None) -> "Run":
        """The same run on rearranged trees."""
        objective = self.objective
        if objective is not None and back is not None:
            objective = Moved(objective, back)
        return Run(tuple(map(there, self.params)), tuple(map(there, self.grads)), self.losses, objective)


def needs(module: Module) -> frozenset[str]:
    """What a module and its children need."""
    return frozenset().union(*(m.needs for m in module.walk()))


@st.composite
def runs(
    draw: Any,
    module: Module | None = None,
    steps: int = 3,
    shape: st.SearchStrategy[tuple[int, ...]] | None = None,
    structure: st.SearchStrategy[Tree] | None = None,
    dtype: st.SearchStrategy[torch.dtype] | None = None,
    kinds: Sequence[str] = KINDS,
    layouts: Sequence[str] = ("contiguous", "contiguous", "transposed", "strided"),
    move: float = 0.3,
) -> Run:
    """A run that shows `module` what it needs: gradients of several kinds, or a smooth objective.

    Args:
        draw: given by hypothesis.
        module: decides between gradients, gradients and losses, and an objective.
        steps: how many.
        shape: of each leaf.
        structure: of the parameters: a tree of Keys.
        dtype: of each leaf; by default one for the whole tree, rarely a mixture.
        kinds: of gradients.
        layouts: of parameters and gradients.
        move: how far parameters go from step to step.
    """
    wanted = frozenset() if module is None else needs(module)
    skeleton = draw(structures() if structure is None else structure)
    n = len(tree.leaves(skeleton))
    sizes = [draw(shapes() if shape is None else shape) for _ in range(n)]
    kind_of = dtypes() if dtype is None else dtype
    common = draw(kind_of)
    mixed = dtype is None and n > 1 and draw(st.integers(0, 5)) == 5
    types = [draw(kind_of) if mixed else common for _ in range(n)]
    layout = draw(st.sampled_from(list(layouts)))
    kind = draw(st.sampled_from(list(kinds)))
    seed = draw(seeds())
    g = torch.Generator().manual_seed(seed)

    def fresh(kind: str, i: int) -> Tensor:
        s = int(torch.randint(2**31 - 1, (), generator=g))
        return lay_out(fill(s, sizes[i], types[i], kind), layout)

    def whole(kind: str) -> Tree:
        return tree.map(lambda key: fresh(kind, key.i), skeleton)

    start = whole("ordinary")
    points = [start]
    for _ in range(steps - 1):
        points.append(tree.map(lambda p, d: (p + move * d).to(p.dtype), points[-1], whole("ordinary")))
    if wanted & EVALUATING:
        order = [key.i for key in tree.leaves(skeleton)]
        centres = tuple(fill(seed // 2 + i, sizes[i]) for i in order)
        return Run(tuple(points), (), (), Objective(centres))
    grads = tuple(whole(kind) for _ in range(steps))
    first = tree.reference(start).dtype
    losses = tuple(torch.rand((), generator=g).to(first) + 0.1 for _ in range(steps)) if "value" in wanted else ()
    return Run(tuple(points), grads, losses, None)


def small_runs(module: Module | None = None, steps: int = 3, kinds: Sequence[str] = ("ordinary",)) -> Any:
    """Short runs in float64 on two small leaves, a matrix and a vector: for laws that compare numbers."""
    skeleton = {"a": Key(0), "b": [Key(1)]}
    shape = st.sampled_from([(2, 2), (2, 3), (3,), (2, 1, 2)])
    return runs(
        module,
        steps=steps,
        shape=shape,
        structure=st.just(skeleton),
        dtype=st.just(torch.float64),
        kinds=kinds,
        layouts=("contiguous",),
    )
