"""DirectWeightDecay: weight decay of the parameters themselves."""

from typing import Any

from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, positive
from torchzero.core.module import Module
from torchzero.core.var import Var
from torchzero.weight_decay.base import decay


class DirectWeightDecay(Module):
    r"""Decay the parameters where they are, and leave the update alone.

    $$ θ ← θ - λ\,\mathrm{sign}(θ)\,|θ|^{p-1},\quad d = u $$

    Nothing after it scales the decay, wherever it stands. Modules further on see the decayed parameters, and a
    gradient and loss that were not known yet are evaluated there; known ones stay as they are.

    Args:
        weight_decay: λ ≥ 0.
        ord: p > 0; 2 gives $θ - λθ$, 1 the sign.

    Raises:
        ValueError: for a negative λ or p ≤ 0.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.DirectWeightDecay(0.25), tz.m.LR(0.1))
    >>> opt(p := torch.tensor([4.0]), opt.init(p), grad=torch.tensor([10.0]))[0]
    tensor([2.])

    Reference: Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101, where λ does not have the learning rate.
    """

    needs = frozenset({"params"})
    rewrites_objective = True  # a gradient that nobody has asked for yet is evaluated at the decayed point

    weight_decay: Hyper = nonnegative(1e-2)
    ord: Hyper = positive(2)

    def apply(self, state: Any, var: Var) -> Var:
        known: dict[str, Any] = {}
        if var.has_grad:
            known["grad"] = var.grad
        if var.has_loss:
            known["loss"] = var.loss
        params = tree.zipmap(
            lambda p, strength, ord: tree.cast(p - strength * decay(p, ord), p),
            var.params,
            self.weight_decay,
            self.ord,
        )
        return var.replace(params=params, **known)
