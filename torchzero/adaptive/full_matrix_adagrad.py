"""FullMatrixAdagrad: Adagrad before its matrix is cut down to the diagonal."""

import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.adaptive.base import at_least_single
from torchzero.core import tree
from torchzero.core.averages import bias
from torchzero.core.chain import Chainable
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, is_scalar, nonnegative, number, static, within
from torchzero.core.module import Locality, Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.linalg.matrix_power import METHODS, MatrixPowerMethod, matrix_power


class FullMatrixAdagradState(NamedTuple):
    """State of all tensors; n is the number of elements of a block: of one tensor or of all."""

    t: Tensor  # ()                      updates absorbed
    S: Tree  # (n, n) for each block     sum, or running mean, of uuᵀ
    B: Tree  # (n, n) for each block     (S + ρI)ᵖ as of the last refresh
    children: dict[str, Any]  # state of each child, by field name


def _shared(module: Module, name: str, value: Hyper) -> Hyper:
    """The one value that a tree of values has everywhere."""
    if value is None or is_scalar(value):
        return value
    first, *rest = tree.leaves(value)
    if any(x is not first and (isinstance(x, Tensor) or x != first) for x in rest):
        raise ValueError(
            f"{type(module).__name__}({name}={value!r}): one matrix over all parameters has one {name}; give a single "
            "value, or FullMatrixAdagrad(concat_params=False), or Partition the parameters"
        )
    return first


def _of_one_block(module: Any) -> Any:
    """A module, and those below it, with single values in place of trees of the parameters."""
    changes = {k: _shared(module, k, v) for k, v in module.hypers().items()}
    for field in dataclasses.fields(module):
        value, kind = getattr(module, field.name), field.metadata.get("kind")
        if kind == "child" and isinstance(value, Module):
            changes[field.name] = _of_one_block(value)
        elif kind == "children":
            changes[field.name] = tuple(_of_one_block(x) if isinstance(x, Module) else x for x in value)
    return module.evolve(**changes)


class FullMatrixAdagrad(Module):
    r"""Multiply the update by the inverse root of the sum of its outer products.

    $$ S_t = S_{t-1} + u_tu_t^T \quad\text{or}\quad S_t = βS_{t-1} + (1-β)u_tu_t^T,\quad B = (S_t + ρI)^p,\quad
       d_t = B u_t \ [·\sqrt{1-β^t}] $$

    B is refreshed in the first step and every `precond_freq` steps, in a block of one element at every step. The root
    in brackets belongs to a running mean. Memory is quadratic and a refresh cubic in the number of elements.

    Args:
        reg: ρ ≥ 0.
        precond_freq: steps between two refreshes, a whole number ≥ 1.
        beta: β in [0, 1); None for the sum.
        beta_debias: multiply by √(1-β^t).
        init: S₀: "identity", "zeros", or "GGT" for the first outer product. The field is called `initial`, as `init`
            is the function that makes states.
        matrix_power: p.
        matrix_power_method: "eigh_abs", "eigh" or "svd", see `torchzero.linalg.matrix_power`.
        concat_params: one block over all parameters; else one for each tensor.
        inner: module that makes the direction which is multiplied; S is that of the incoming update.
        accumulator_tfm: module applied to S whenever B is made; it sees the matrices as its parameters.

    Raises:
        ValueError: for a number outside its range or an unknown `init` or method, and if parameters in one block are
            given different values.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.FullMatrixAdagrad(init="zeros", reg=0.0625), torch.zeros(2)
    >>> opt(x, opt.init(x), grad=torch.tensor([3.0, 0.0]))[0].round(decimals=4)
    tensor([-0.9965,  0.0000])

    Reference: Duchi, Hazan & Singer 2011, section 1.1, https://jmlr.org/papers/v12/duchi11a.html
    """

    reg: Hyper = nonnegative(1e-12)
    precond_freq: Hyper = integer(1, 1)
    beta: Hyper = within(0, 1, default=None)
    beta_debias: bool = static(True)
    initial: str = static("identity", choices=("identity", "zeros", "GGT"))
    matrix_power: Hyper = number(-0.5)
    matrix_power_method: MatrixPowerMethod = static("eigh_abs", choices=METHODS)
    concat_params: bool = static(True)
    inner: Module | None = child(None)
    accumulator_tfm: Module | None = child(None)

    def __init__(
        self,
        reg: Hyper = 1e-12,
        precond_freq: Hyper = 1,
        beta: Hyper = None,
        beta_debias: bool = True,
        init: str = "identity",
        matrix_power: Hyper = -1 / 2,
        matrix_power_method: MatrixPowerMethod = "eigh_abs",
        concat_params: bool = True,
        inner: Chainable | None = None,
        accumulator_tfm: Chainable | None = None,
    ) -> None:
        self._write("reg", reg)
        self._write("precond_freq", precond_freq)
        self._write("beta", beta)
        self._write("beta_debias", beta_debias)
        self._write("initial", init)
        self._write("matrix_power", matrix_power)
        self._write("matrix_power_method", matrix_power_method)
        self._write("concat_params", concat_params)
        self._write("inner", inner)
        self._write("accumulator_tfm", accumulator_tfm)
        self._validate()

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "global" if self.concat_params else "tensor"

    @property
    def whole(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.concat_params

    def _blocks(self, x: Tree) -> Tree:
        """The vectors that the matrices act on."""
        return tree.ravel(x)[0] if self.concat_params else tree.map(lambda p: p.reshape(-1), x)

    def _unblocks(self, blocks: Tree, like: Tree) -> Tree:
        if self.concat_params:
            return tree.ravel(like)[1](blocks)
        return tree.map(lambda x, p: tree.cast(x.reshape(p.shape), p), blocks, like)

    def _one(self, name: str) -> Hyper:
        """A hyperparameter at the blocks."""
        value = getattr(self, name)
        return _shared(self, name, value) if self.concat_params else value

    def _accumulator_tfm(self) -> Any:
        return _of_one_block(self.accumulator_tfm) if self.concat_params else self.accumulator_tfm

    def init(self, params: Tree) -> FullMatrixAdagradState:
        def start(x: Tensor) -> Tensor:
            dtype = at_least_single(x.dtype)
            make = torch.eye if self.initial == "identity" else lambda n, **to: torch.zeros(n, n, **to)
            return make(x.numel(), dtype=dtype, device=x.device)

        S = tree.map(start, self._blocks(params))
        kids = {} if self.inner is None else {"inner": self.inner.init(params)}
        if self.accumulator_tfm is not None:
            kids["accumulator_tfm"] = self._accumulator_tfm().init(S)
        return FullMatrixAdagradState(tree.counter(params), S, tree.zeros_like(S), kids)

    def update(self, state: FullMatrixAdagradState, var: Var) -> FullMatrixAdagradState:
        kids, blocks, beta = dict(state.children), self._blocks(var.update), self._one("beta")

        def absorb(S: Tensor, x: Tensor, beta: Any = None) -> Tensor:
            x = x.to(S.dtype)
            outer = x.unsqueeze(1) * x
            if self.initial == "GGT":
                S = S + (state.t == 0) * outer
            return S + outer if beta is None else tree.cast(beta * S + (1 - beta) * outer, S)

        S = tree.map(absorb, state.S, blocks) if beta is None else tree.zipmap(absorb, state.S, blocks, beta)
        seen = S
        if self.accumulator_tfm is not None:
            given = Var(S, grad=S, update=S, step=var.step)
            kids["accumulator_tfm"], out = self._accumulator_tfm().step(kids["accumulator_tfm"], given)
            seen = out.update
        if self.inner is not None:
            kids["inner"] = self.inner.update(kids["inner"], var)

        def refresh(S: Tensor, B: Tensor, reg: Any, freq: Any, power: Any) -> Tensor:
            def root() -> Tensor:
                eye = torch.eye(len(S), dtype=S.dtype, device=S.device)
                return tree.cast(matrix_power(S + tree.cast(reg * eye, S), power, self.matrix_power_method), S)

            return root() if len(S) == 1 else cond(state.t % freq == 0, root, lambda: B)

        B = tree.zipmap(refresh, seen, state.B, *map(self._one, ("reg", "precond_freq", "matrix_power")))
        return FullMatrixAdagradState(state.t + 1, S, B, kids)

    def apply(self, state: FullMatrixAdagradState, var: Var) -> Var:
        u = var.update
        if self.inner is not None:
            u = self.inner.apply(state.children["inner"], var).update
        t = state.t.to(torch.float64)

        def multiply(B: Tensor, x: Tensor, beta: Any = None) -> Tensor:
            d = B @ x.to(B.dtype)
            return d if beta is None or not self.beta_debias else bias(beta, t).sqrt() * d

        blocks, beta = self._blocks(u), self._one("beta")
        d = tree.map(multiply, state.B, blocks) if beta is None else tree.zipmap(multiply, state.B, blocks, beta)
        return var.replace(update=self._unblocks(d, u))

    def child_state(self, state: FullMatrixAdagradState, name: str) -> Any:
        return state.children[name]
