"""MSAMMomentum: heavy ball whose gradients are taken ahead, where the momentum leads."""

from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, number, static, within
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.objective_maps.base import Ahead, AheadState, shift


class MSAMMomentum(Ahead):
    r"""Momentum SAM: heavy ball with the parameters kept perturbed along the momentum.

    $$ v_t = μ v_{t-1} + u_t,\quad e_t = ρ \frac{v_t}{‖v_t‖},\quad
       d_t = α v_t + (e_t - e_{t-1}) + λ (θ + e_{t-1}),\quad v_0 = e_0 = 0 $$

    The parameters θ = w - e are not the weights w, but lie ahead of them by ρ. So each gradient is taken at a point
    perturbed along the momentum, as SAM takes it at one perturbed along the gradient, for one evaluation instead of
    two. The weights themselves, to evaluate a model at, are what `eval_params` gives. The norm is over all parameters.

    Args:
        lr: α, the step. It stands here because the perturbation must not be scaled with it: let no LR follow.
        momentum: μ, in [0, 1).
        rho: ρ, the length of the perturbation, at least 0.
        weight_decay: λ, how much of the weights is taken off; not multiplied by α.
        nesterov: $u_t + μ v_t$ in place of $v_t$, in the step and in the perturbation.
        lerp: $(1-μ) u_t$ in place of $u_t$.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.MSAMMomentum(lr=0.125, rho=1.0), torch.tensor([0.0])
    >>> p, state = opt(p, opt.init(p), grad=torch.tensor([2.0]))
    >>> p, opt.eval_params(state, p)
    (tensor([-1.2500]), tensor([-0.2500]))

    Reference: Becker, Altrock & Risse 2024, algorithm 1, https://arxiv.org/abs/2401.12033
    """

    lr: Hyper = number()
    momentum: Hyper = within(0, 1, default=0.9)
    rho: Hyper = nonnegative(0.3)
    weight_decay: Hyper = number(0)
    nesterov: bool = static(default=False)
    lerp: bool = static(default=False)

    def init(self, params: Tree) -> AheadState:
        return self.start(params)

    def update(self, state: AheadState, var: Var) -> AheadState:
        return self.absorb(state, var.update)

    def apply(self, state: AheadState, var: Var) -> Var:
        u = var.update
        step = tree.cast_like(tree.scale(self.lr, self.direction(state, u)), u)
        return var.replace(update=self.displace(state, var, step))

    def eval_params(self, state: AheadState, params: Tree) -> Tree:
        return shift(params, state.e)
