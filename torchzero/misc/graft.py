"""Graft: the direction of one module with the size of another's."""

from typing import Any

from torchzero.core.hyper import Hyper, child, number, positive, static
from torchzero.core.metrics import check_ord
from torchzero.core.module import Locality, Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import ChildrenState, Parent, graft, publish


class Graft(Parent):
    r"""Give the direction of one module the size of another's.

    $$ d = D \Bigl(1 + s\Bigl(\frac{‖M‖}{\max(‖D‖, ε)} - 1\Bigr)\Bigr),\quad
       D = \mathrm{direction}(u),\; M = \mathrm{magnitude}(u) $$

    Args:
        direction: module or modules that give the direction D.
        magnitude: module or modules that give the size, M.
        tensorwise: one size for every tensor; otherwise one for all of them together.
        ord: order of the norm, in [0, inf], or the name of a metric such as "mad" or "std".
        eps: ε > 0.
        strength: s; 1 grafts, 0 gives D.

    Raises:
        ValueError: for a number outside its range or an unknown metric.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Graft(tz.m.LR(1.0), magnitude=tz.m.LR(0.5))
    >>> opt(torch.zeros(2), opt.init(torch.zeros(2)), grad=torch.tensor([3.0, 4.0]))[0]
    tensor([-1.5000, -2.0000])

    Reference: Agarwal, Anil, Hazan, Koren & Zhang 2020, https://arxiv.org/abs/2002.11803
    """

    direction: Module = child()
    magnitude: Module = child()
    tensorwise: bool = static(default=True)
    ord: float | str = static(default=2)
    eps: Hyper = positive(default=1e-6)
    strength: Hyper = number(default=1)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "tensor" if self.tensorwise else "global"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("Graft", "ord", self.ord)

    def init(self, params: Tree) -> ChildrenState:
        return ChildrenState(self.init_children(params))

    def _run(self, state: ChildrenState, var: Var, advance: bool) -> tuple[ChildrenState, Var]:
        new: dict[str, Any] = {}
        outs: list[Var] = []
        for name, module in self.children().items():
            own = state.children[name]
            new[name], out = module.step(own, var) if advance else (own, module.apply(own, var))
            outs.append(out)
        d, m = (out.update for out in outs)
        update = graft(d, m, self.tensorwise, self.ord, self.eps, self.strength)
        return ChildrenState(new), publish(var, outs).replace(update=update)

    def update(self, state: ChildrenState, var: Var) -> ChildrenState:
        return ChildrenState({k: m.update(state.children[k], var) for k, m in self.children().items()})

    def apply(self, state: ChildrenState, var: Var) -> Var:
        return self._run(state, var, advance=False)[1]

    def step(self, state: ChildrenState, var: Var) -> tuple[ChildrenState, Var]:
        return self._run(state, var, advance=True)
