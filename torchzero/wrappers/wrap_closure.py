"""WrapClosure: optimizers that evaluate the objective themselves, such as torch.optim.LBFGS, as pure modules."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchzero.core import tree
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.wrappers.base import Foreign, Kept, changing, containers, snapshot

_KINDS: tuple[Any, ...] = (bool, int, float)
_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.bool)
_ABSENT, _NONE = 0, 1  # codes of a place; a number has 2 + its kind, a tensor 5 + its dtype


class Form(NamedTuple):
    """What may stand in one place of a foreign container, over the whole life of an optimizer."""

    kind: str  # "nothing" so far, "leaf" a number or tensor, "list", "dict", or "constant"
    shape: tuple[int, ...] = ()  # of a leaf
    dtype: torch.dtype = torch.float64  # of a leaf; a number has float64
    size: int = 0  # of a list: the most elements
    parts: tuple[tuple[Any, "Form"], ...] = ()  # of a dict: its values by key; of a list: (0, the elements')
    value: Any = None  # of a constant


def observe(value: Any) -> Form:
    """The form of a value."""
    if value is None:
        return Form("nothing")
    if isinstance(value, Tensor):
        return Form("leaf", tuple(value.shape), value.dtype) if value.ndim else Form("leaf")
    if isinstance(value, bool | int | float):
        return Form("leaf")
    if isinstance(value, dict):
        return Form("dict", parts=tuple((k, observe(v)) for k, v in value.items()))
    if isinstance(value, list):
        form = Form("nothing")
        for v in value:
            form = merge(form, observe(v))
        return Form("list", size=len(value), parts=((0, form),))
    return Form("constant", value=value)


def merge(a: Form, b: Form) -> Form:
    """What may stand where both were seen.

    Raises:
        ValueError: when nothing can.
    """
    if a.kind == "nothing" or b.kind == "nothing":
        return b if a.kind == "nothing" else a
    if a.kind != b.kind or a.shape != b.shape or a.value != b.value:
        raise ValueError(f"{_show(a)}, then {_show(b)}")
    parts, theirs = dict(a.parts), dict(b.parts)
    for key, form in theirs.items():
        parts[key] = merge(parts[key], form) if key in parts else form
    return a._replace(dtype=torch.promote_types(a.dtype, b.dtype), size=max(a.size, b.size), parts=tuple(parts.items()))


def lengthened(form: Form, size: int) -> Form:
    """`form` with lists of at least this size."""
    parts = tuple((k, lengthened(part, size)) for k, part in form.parts)
    return form._replace(size=max(form.size, size) if form.kind == "list" else 0, parts=parts)


def complete(form: Form) -> bool:
    """Whether something was seen in every list."""
    known = form.kind != "list" or form.parts[0][1].kind != "nothing"
    return known and all(complete(part) for _, part in form.parts)


def _show(form: Form) -> str:
    if form.kind == "leaf":
        return f"{form.dtype}{list(form.shape)}"
    return repr(form.value) if form.kind == "constant" else f"a {form.kind}"


class Writer:
    """Puts a value into codes, numbers and tensors; what is not there is zero."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.codes: list[int] = []
        self.numbers: list[float] = []
        self.tensors: list[Tensor] = []

    def write(self, value: Any, form: Form, there: bool = True) -> None:
        """Add a value of this form, or nothing in its place."""
        if form.kind in ("nothing", "constant"):
            return
        if not there or value is None:
            self.codes.append(_NONE if there else _ABSENT)
        elif form.kind == "leaf":
            self.codes.append(self._code(value))
        else:
            self.codes.append(2 + len(value))
        if form.kind == "leaf":
            self._leaf(value if there else None, form)
        elif form.kind == "list":
            self._list(value if there and value is not None else [], form)
        else:
            held = value if there and value is not None else {}
            for key, part in form.parts:
                self.write(held.get(key), part, key in held)

    def _code(self, value: Any) -> int:
        if isinstance(value, Tensor):
            return 5 + _DTYPES.index(value.dtype)
        return 2 + _KINDS.index(type(value))

    def _leaf(self, value: Any, form: Form) -> None:
        if form.shape == ():
            self.numbers.append(0.0 if value is None else float(value))
            return
        zeros = torch.zeros(form.shape, dtype=form.dtype, device=self.device) if value is None else value
        self.tensors.append(zeros.detach().to(form.dtype))

    def _list(self, values: list[Any], form: Form) -> None:
        (_, part), n = form.parts[0], form.size
        if part.kind == "leaf" and part.shape:  # tensors of one shape, one on top of the other
            held = [v is not None for v in values]
            self.codes += [self._code(v) if h else _NONE for v, h in zip(values, held, strict=True)]
            self.codes += [_ABSENT] * (n - len(values))
            stack = torch.zeros((n, *part.shape), dtype=part.dtype, device=self.device)
            rows = [v.to(part.dtype) if h else stack[i] for i, (v, h) in enumerate(zip(values, held, strict=True))]
            self.tensors.append(torch.cat([torch.stack(rows), stack[len(rows) :]]).detach() if rows else stack)
            return
        for i in range(n):
            self.write(values[i] if i < len(values) else None, part, i < len(values))

    def kept(self, form: Form, keys: Any) -> Kept:
        """Everything that was written, as a node."""
        codes = torch.tensor(self.codes, dtype=torch.int64)
        numbers = torch.tensor(self.numbers, dtype=torch.float64)
        names = ("codes", "numbers", *(f"tensors.{i}" for i in range(len(self.tensors))))
        return Kept((codes, numbers, *self.tensors), (form, names, (), keys))


class Reader:
    """Takes out what `Writer` put in, tensors copied."""

    def __init__(self, kept: Kept) -> None:
        codes, numbers, *tensors = kept.tensors
        self.codes: Iterator[int] = iter(codes.tolist())
        self.numbers: Iterator[float] = iter(numbers.tolist())
        self.tensors: Iterator[Tensor] = iter(tensors)

    def read(self, form: Form) -> tuple[bool, Any]:
        """Whether there is something in this place, and what."""
        if form.kind in ("nothing", "constant"):
            return True, form.value
        code = next(self.codes)
        there = code != _ABSENT
        if form.kind == "leaf":
            return there, self._leaf(code, next(self.numbers) if form.shape == () else next(self.tensors))
        if form.kind == "dict":
            parts = {key: self.read(part) for key, part in form.parts}
            return there, {key: value for key, (held, value) in parts.items() if held} if code > _NONE else None
        values = self._list(form)
        return there, values[: code - 2] if code > _NONE else None

    def _leaf(self, code: int, value: Any) -> Any:
        if code <= _NONE:
            return None
        if code < 5:
            return _KINDS[code - 2](value)
        dtype = _DTYPES[code - 5]
        return torch.tensor(value, dtype=dtype) if isinstance(value, float) else value.detach().clone().to(dtype)

    def _list(self, form: Form) -> list[Any]:
        (_, part), n = form.parts[0], form.size
        if part.kind == "leaf" and part.shape:
            codes = [next(self.codes) for _ in range(n)]
            return [self._leaf(code, row) for code, row in zip(codes, next(self.tensors).unbind(), strict=True)]
        return [self.read(part)[1] for _ in range(n)]


class WrapClosureState(NamedTuple):
    """State of WrapClosure."""

    started: Tensor  # ()      whether any update was made
    places: Tensor  # (n,)     where each parameter stands among those of a wrapped instance, else -1
    kept: Kept  # what the inner optimizer keeps: which places are filled, numbers, tensors
    direction: Tree  # like params  the parameters' change in the last update, before minus after
    evaluated: Tensor  # ()    evaluations that the last update made away from x0


class WrapClosure(Foreign, init=False):
    r"""Any optimizer whose step takes a closure, such as torch.optim.LBFGS, as a module: here the inner optimizer.

    $$ d = θ - \mathrm{step}(θ; \hat f, ∇\hat f) $$

    Every update makes a fresh inner optimizer on copies of the parameters, loads what it kept from the state, and
    steps it with a closure that evaluates the objective at the copies. It is the objective as the modules before have
    made it, so L-BFGS works behind finite differences, smoothing or SAM. A direction set by earlier modules is not
    looked at. The parameters themselves are never touched: the difference is the direction.

    The state has one form for life. What the optimizer will keep is found out by some steps on a paraboloid when the
    state is made. Lists, such as the history of L-BFGS, take the room of their full length from the start: as much
    as they reached in those steps, or as a setting with "history" in its name says. So keep `history_size` small.

    It runs the foreign code as it is, on the host: it can be neither vmapped, differentiated nor compiled.

    Args:
        opt_fn: an optimizer class, a function params -> optimizer, or an optimizer, which is never stepped itself and
            whose `param_groups` are read at every update.
        args: further arguments of the class.
        use_param_groups: follow the groups of an instance as they change; otherwise they are read once, now.
        kwargs: further arguments of the class.

    Raises:
        TypeError: for an optimizer that steps another one, and for schedules among the arguments.
        ValueError: when the parameters do not correspond to those of an instance.
        RuntimeError: without an objective, under vmap or grad, when the step fails, or when what is kept changes form.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.WrapClosure(torch.optim.LBFGS, lr=0.5, max_iter=8), torch.tensor([3.0, -1.0])
    >>> p, state = opt(p, opt.init(p), lambda x: ((x - 1) ** 2).sum())
    >>> bool((p - 1).abs().max() < 0.05)
    True

    Reference: the interface is torch.optim.Optimizer.step(closure),
    https://docs.pytorch.org/docs/stable/optim.html#optimizer-step-closure
    """

    needs = frozenset({"objective", "params"})
    makes_update = True
    whole = True

    def _step(self, inner: Optimizer, closure: Callable[..., Any]) -> None:
        raised: list[BaseException] = []

        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return closure(*args, **kwargs)
            except BaseException as error:
                raised.append(error)
                raise

        try:
            inner.step(watched)
        except Exception as error:
            if error in raised:  # the objective's own
                raise
            raise RuntimeError(f"{self._who}: {self.name}.step(closure) failed: {error}") from error

    # ------------------------------------------------------------------ what is kept

    def _collect(self, inner: Optimizer, params: Sequence[Tensor], keys: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Everything that must be kept, in one container."""
        shared = [{k: c[k] for k in names if k in c} for c, names in zip(containers(inner), keys, strict=True)]
        return {"own": {i: dict(inner.state[p]) for i, p in enumerate(params)}, "shared": dict(enumerate(shared))}

    def _restore(self, inner: Optimizer, params: Sequence[Tensor], kept: Kept) -> None:
        container = Reader(kept).read(kept.aux[0])[1]
        for i, values in container["shared"].items():
            containers(inner)[i].update(values)
        for p, values in zip(params, container["own"].values(), strict=True):
            inner.state[p] = values

    def _merge(self, a: Form, b: Form) -> Form:
        try:
            return merge(a, b)
        except ValueError as error:
            raise RuntimeError(
                f"{self._who}: what it keeps has changed, from {error}; a state must keep its form, so "
                "this optimizer cannot be wrapped"
            ) from None

    def _rehearse(self, params: list[Tensor], places: Sequence[int]) -> tuple[Form, Any]:
        """Step on a paraboloid that jumps, to see what is kept: its form, and which entries of the containers it is."""
        inner, noise = self._make(params, places), torch.Generator().manual_seed(0)
        before = [snapshot(x) for x in containers(inner)]
        sizes = [v for group in inner.param_groups for k, v in group.items() if "history" in k and isinstance(v, int)]

        def closure(backward: bool = True) -> Tensor:
            loss = 0.0
            for p, a, b in zip(params, bends, centres, strict=True):
                x = p.detach() - b
                loss += float((a * x * x).sum()) / 2
                p.grad = a * x
            return torch.tensor(loss, requires_grad=True)

        def drawn() -> list[Tensor]:
            return [torch.randn(p.shape, generator=noise, dtype=torch.float64).to(p) for p in params]

        form, keys, steps, bends = Form("nothing"), [], 0, [1 + z.abs() for z in drawn()]
        while steps < 3 or (steps < 30 and not complete(form)):
            centres = drawn()
            self._step(inner, closure)
            steps += 1
            keys = changing(inner, before)
            form = self._merge(form, observe(self._collect(inner, params, keys)))
        return lengthened(form, max(sizes, default=0)), keys

    # ------------------------------------------------------------------ the triple

    def init(self, params: Tree) -> WrapClosureState:
        leaves = tree.leaves(params)
        self._refuse_transforms(leaves)
        places, device = self._places(leaves), tree.reference(params).device
        form, keys = Form("dict"), []
        if tree.count(params):
            with torch.random.fork_rng(devices=[]):
                form, keys = self._rehearse([_copy(torch.zeros_like(x)) for x in leaves], places)
        writer = Writer(device)
        writer.write(None, form, there=False)
        never = torch.zeros((), dtype=torch.bool, device=device)
        count = torch.zeros((), dtype=torch.int64, device=device)
        kept = writer.kept(form, tuple(map(tuple, keys)))
        return WrapClosureState(never, torch.tensor(places), kept, tree.zeros_like(params), count)

    def update(self, state: WrapClosureState, var: Var) -> WrapClosureState:
        xs, spec = tree.flatten(var.params)
        objective = var.need_objective(self)
        if not tree.count(var.params):
            return state
        self._refuse_transforms(xs)
        copies = [_copy(x) for x in xs]
        inner = self._make(copies, state.places.tolist())
        form, _, _, keys = state.kept.aux
        if bool(state.started):
            self._restore(inner, copies, state.kept)
        away = 0

        def closure(backward: bool = True) -> Tensor:
            nonlocal away
            point: Any = var.params
            if not all(map(torch.equal, copies, xs)):
                away += 1
                point = tree.unflatten(spec, [p.detach().clone() for p in copies])
            if not backward:
                return (var.loss if point is var.params else objective.value(point)).detach().clone()
            if point is var.params:
                grad, loss = var.grad, var.loss
            else:
                loss, grad = objective.value_and_grad(point)
            for p, g in zip(copies, tree.leaves(grad), strict=True):
                p.grad = tree.cast(g.detach(), p).clone(memory_format=torch.contiguous_format)
            return loss.detach().clone()

        self._step(inner, closure)
        if "step" in vars(self.opt_fn):  # a scheduler watches whether its optimizer steps before it does
            self.opt_fn._opt_called = True

        container = self._collect(inner, copies, keys)
        if self._merge(form, observe(container)) != form:
            raise RuntimeError(
                f"{self._who}: it keeps more than it did in its first steps; a state must keep its form, "
                "so this optimizer cannot be wrapped"
            )
        writer = Writer(tree.reference(var.params).device)
        writer.write(container, form)
        direction = tree.unflatten(spec, [x.detach() - p.detach() for x, p in zip(xs, copies, strict=True)])
        return state._replace(
            started=torch.ones_like(state.started),
            kept=writer.kept(form, keys),
            direction=direction,
            evaluated=torch.full_like(state.evaluated, away),
        )

    def apply(self, state: WrapClosureState, var: Var) -> Var:
        return var.replace(update=state.direction)

    def evaluations(self, state: WrapClosureState) -> Any:
        return state.evaluated


def _copy(x: Tensor) -> Tensor:
    """A parameter of its own, contiguous: optimizers like to view all as one vector."""
    return torch.nn.Parameter(x.detach().clone(memory_format=torch.contiguous_format))
