"""ProjectionBase: children that live in other coordinates; what the projections share."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import child, static
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class ProjectedObjective(Objective):
    """The objective as a function of projected parameters: z -> f(unproject(z)).

    At the projected x0 itself it answers from `var`, so that an evaluation is shared with the modules outside; with
    `project_params=False` that is the only point it can be evaluated at.
    """

    def __init__(self, projection: "ProjectionBase", var: Var, point: Tree) -> None:
        self.projection, self.var, self.point = projection, var, point

    def _inner(self) -> Objective:
        if not self.projection.project_params:
            raise RuntimeError(
                f"{type(self.projection).__name__}(project_params=False): its children can evaluate the objective at "
                "x0 only; give project_params=True"
            )
        return self.var.need_objective(self.projection)

    def value(self, params: Tree) -> Tensor:
        if params is self.point and (self.var.has_loss or self.var.has_grad or not self.projection.project_params):
            return self.var.loss
        return self._inner().value(self.projection.unproject(params, self.var.params))

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        if params is self.point:
            grad = self.var.grad
            return self.var.loss, self.projection.project(grad, self.var.params)
        loss, grad = self._inner().value_and_grad(self.projection.unproject(params, self.var.params))
        return loss, self.projection.project(grad, self.var.params)

    def residuals(self, params: Tree) -> Tensor:
        return self._inner().residuals(self.projection.unproject(params, self.var.params))

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        x0 = self.var.params
        x = self.projection.unproject(params, x0)
        r, rows = self._inner().jacobian(x)
        unravel = tree.ravel(x)[1]
        return r, torch.vmap(lambda row: tree.ravel(self.projection.project(unravel(row), x0))[0])(rows)

    def hvp(self, params: Tree, v: Tree) -> Tree:
        inner, x0, back = self._inner(), self.var.params, self.projection.unproject
        return self.projection.project(inner.hvp(back(params, x0), back(v, x0)), x0)

    def hessian(self, params: Tree) -> Tensor:
        vector, unravel = tree.ravel(params)
        x0 = self.var.params
        basis = torch.eye(len(vector), dtype=vector.dtype, device=vector.device)
        if any(x.is_complex() for x in tree.leaves(x0)):
            # a complex matrix cannot hold the Hessian over real and imaginary parts
            return torch.stack([tree.ravel(self.hvp(params, unravel(e)))[0] for e in basis], dim=1)
        point, unravel_x = tree.ravel(self.projection.unproject(params, x0))
        hessian = self._inner().hessian(unravel_x(point))
        columns = torch.vmap(lambda e: tree.ravel(self.projection.unproject(unravel(e), x0))[0])(basis)
        products = columns.to(hessian.dtype) @ hessian.mT  # row i is H U eᵢ
        rows = torch.vmap(lambda h: tree.ravel(self.projection.project(unravel_x(h), x0))[0])(products)
        return rows.mT


class ProjectionBase(Module):
    r"""Run modules in other coordinates of the parameters, the gradient and the update.

    $$ d = U\bigl(\mathrm{modules}(P u;\ P θ,\ P ∇f(θ),\ f ∘ U)\bigr) $$

    A subclass gives two pure functions of trees, `project` (P) and `unproject` (U), its inverse; here both are the
    identity. Children that evaluate the objective do so at projected parameters, and are given P of the gradient
    there: their derivatives are exact where P is the adjoint of U, as for permutations, casts, orthogonal transforms.

    Only the update is brought back, with the flags that the children set; the state is the state of the children.

    Args:
        modules: module or sequence of modules, run in the projected coordinates.
        project_update: hand the children P of the update; otherwise they start from the gradient.
        project_params: hand them P of the parameters and the objective; otherwise the parameters they see are zeros,
            and the objective can be evaluated at x0 only.
        project_grad: hand them P of a gradient that is known already.

    Raises:
        RuntimeError: when a child evaluates the objective away from x0 and `project_params` is False.

    >>> import torch, torchzero as tz
    >>> class Reversed(tz.m.ProjectionBase):
    ...     "Coordinates in reverse order."
    ...     def project(self, x, params):
    ...         return tz.tree.map(lambda t: t.flip(0), x)
    ...     def unproject(self, z, params):
    ...         return tz.tree.map(lambda t: t.flip(0), z)
    >>> opt = Reversed(tz.m.LR(torch.tensor([1.0, 0.0])))
    >>> opt(torch.zeros(2), opt.init(torch.zeros(2)), grad=torch.tensor([2.0, 3.0]))[0]
    tensor([ 0., -3.])

    Reference: Conn, Gould & Toint 2000, Trust-region methods, section 6.7 (changes of variables).
    """

    modules: Any = child()
    project_update: bool = static(True)
    project_params: bool = static(False)
    project_grad: bool = static(False)

    def project(self, x: Tree, params: Tree) -> Tree:
        """P: parameters, gradient or update `x` in projected coordinates; `params` tells shapes and dtypes."""
        return x

    def unproject(self, z: Tree, params: Tree) -> Tree:
        """U: `z` back in the structure, shapes and dtypes of `params`."""
        return z

    def projected_modules(self, params: Tree) -> Module:
        """The children, with settings that fit the projected coordinates."""
        return self.modules

    # ------------------------------------------------------------------ the triple

    def init(self, params: Tree) -> Any:
        z = self.project(params, params)
        return self.projected_modules(params).init(z if self.project_params else tree.zeros_like(z))

    def update(self, state: Any, var: Var) -> Any:
        return self.projected_modules(var.params).update(state, self.projected(var))

    def apply(self, state: Any, var: Var) -> Var:
        z = self.projected(var)
        return self._back(var, z, self.projected_modules(var.params).apply(state, z))

    def step(self, state: Any, var: Var) -> tuple[Any, Var]:
        z = self.projected(var)
        state, out = self.projected_modules(var.params).step(state, z)
        return state, self._back(var, z, out)

    def projected(self, var: Var) -> Var:
        """What the children look at."""
        x0 = var.params
        z = self.project(x0, x0)
        if not self.project_params:
            z = tree.zeros_like(z)
        grad = self.project(var.grad, x0) if self.project_grad and var.has_grad else None
        update = None
        if self.project_update and (var.has_update or (var.has_grad and grad is None)):
            update = self.project(var.update, x0)
        return var.replace(
            params=z,
            objective=None if var.objective is None else ProjectedObjective(self, var, z),
            update=update,
            grad=grad,
            loss=var.loss if var.has_loss else None,
        )

    def _back(self, var: Var, before: Var, after: Var) -> Var:
        """`var` with what the children say, in its own coordinates."""
        changes: dict[str, Any] = {"skip_update": after.skip_update, "should_terminate": after.should_terminate}
        untouched = before.has_update and after.has_update and after.update is before.update and self.project_update
        if not untouched and (after.has_update or var.has_update):
            changes["update"] = self.unproject(after.update, var.params)
            if after.accepted is not None:
                changes["accepted"] = (after.accepted[0], self.unproject(after.accepted[1], var.params))
        if after.attrs is not before.attrs:
            changes["attrs"] = {k: self._attr(v, before.params, var.params) for k, v in after.attrs.items()}
        return var.replace(**changes)

    def _attr(self, value: Any, z: Tree, params: Tree) -> Any:
        """A published value: in the shape of the projected parameters it is brought back, else as it is."""

        def outline(x: Tree) -> Any:
            return tree.flatten(x)[1], [getattr(leaf, "shape", None) for leaf in tree.leaves(x)]

        alike = outline(value) == outline(z)
        return self.unproject(value, params) if alike else value

    # ------------------------------------------------------------------ what else the state can tell

    def eval_params(self, state: Any, params: Tree) -> Tree:
        if not self.project_params:
            return params
        z = self.project(params, params)
        mean = self.projected_modules(params).eval_params(state, z)
        return params if mean is z else self.unproject(mean, params)

    def reset_for_online(self, state: Any) -> Any:
        return self.modules.reset_for_online(state)

    def operator(self, state: Any) -> Any:
        """None: what the children learn is about the projected parameters."""
        return None

    def child_state(self, state: Any, name: str) -> Any:
        return state
