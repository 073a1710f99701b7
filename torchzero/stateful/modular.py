"""Modular: a chain of pure modules as a torch.optim.Optimizer. The only part of the library that mutates."""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from torchzero.core import tree
from torchzero.core.chain import Chain, Chainable
from torchzero.core.clashes import clashes
from torchzero.core.module import Module
from torchzero.core.tree import Leaves
from torchzero.core.var import Var
from torchzero.core.warn import warn
from torchzero.stateful import checkpoint, snapshot, store
from torchzero.stateful.closure_objective import ClosureObjective, _dense
from torchzero.stateful.executor import Executor
from torchzero.stateful.known import Known, known_after
from torchzero.stateful.lr_handle import LRHandle
from torchzero.stateful.memory import keep_memory
from torchzero.stateful.param_group import ParamGroup
from torchzero.stateful.parameters import as_groups, base_of_view, clear_gradient, gradient, split_names
from torchzero.stateful.settings import Settings, walk
from torchzero.stateful.state_view import StateView


class Modular(torch.optim.Optimizer):
    """An optimizer made of modules.

    Args:
        params: parameters, (name, parameter) pairs, group dicts, a mixture of these, or an nn.Module. A group may set
            any hyperparameter of the modules.
        modules: modules, or lists of modules, applied in order to the gradient; the result is subtracted.
        deterministic: say that the closure is the same function of the parameters at every step, as in full-batch
            training. What a line search or trust region evaluated at the point that it accepted is then used at the
            next step, which need not call the closure there again.
        compile: compile runs of elementwise modules into one kernel: a few seconds at the first step, once for a chain,
            for steps as fast as a hand-written fused optimizer's. Needs a C++ compiler on the CPU.

    Raises:
        RuntimeError: without modules.
        ValueError: for no parameters, non-leaf parameters, a parameter in two groups, a group key that no module owns.
        TypeError: for something that is no parameter or no module.

    >>> import torchzero as tz
    >>> model = torch.nn.Linear(2, 1)
    >>> opt = tz.Modular(model.parameters(), tz.m.ClipValue(1), tz.m.Adam(), tz.m.LR(1e-3))
    >>> model(torch.ones(3, 2)).sum().backward()
    >>> opt.step()
    >>> opt
    Modular(ClipValue(value=1), Adam(), LR(lr=0.001))
    """

    param_groups: list[ParamGroup]  # pyright: ignore[reportIncompatibleVariableOverride]
    chain: Chain

    def __init__(self, params: Any, *modules: Chainable, deterministic: bool = False, compile: bool = False) -> None:
        self.chain = Chain(*modules)
        if not self.chain.links:
            raise RuntimeError("Modular(params, *modules): got no modules; give at least one, such as tz.m.LR(1e-3)")
        self._settings = Settings(self.chain)
        self._settings.warn_of_learning_rates()
        for sentence in clashes(self.chain):
            warn(f"Modular: {sentence}")
        self.deterministic = deterministic
        self.compiled = compile
        self._known: Known | None = None
        self._recording = False  # whether the closure needs autograd for its value
        self.executor = Executor(compile)
        keep_memory()
        self._params: list[Tensor] = []
        self._names: tuple[str, ...] = ()
        self._named = False
        self._state: Any = None
        self._steps: list[int] = []  # per parameter: steps taken; -1 while it has no state
        self._handles: dict[int, LRHandle] = {}
        self._schedulers: list[tuple[Module, LRHandle, Any]] = []
        self._scheduled = 0  # the step that the schedulers were advanced for
        self.current_step = 0
        self.num_evaluations = 0
        self.attrs: dict[str, Any] = {}
        self.should_terminate = False
        self.post_step_hooks: list[Callable[[Modular, Var], None]] = []
        groups, self.model = as_groups(params)
        super().__init__(groups, self._settings.defaults())
        if not any(p.requires_grad or base_of_view(p) is not None for p in self._params):
            warn("Modular(params): no parameter requires grad, so nothing will change")
        self._make_schedulers()

    # ------------------------------------------------------------------ structure

    @property
    def modules(self) -> list[Module]:
        """The top-level modules."""
        return list(self.chain.links)

    @property
    def unrolled_modules(self) -> list[Module]:
        """Every module, children after their parents."""
        return [m for link in self.chain.links for m in link.walk()]

    @property
    def state(self) -> StateView:
        """For each parameter its part of the state: "module path/slot" -> tensor. Read only."""
        if self._state is None:
            self._prepare([p.requires_grad for p in self._params])
        return StateView(self)

    @state.setter
    def state(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Accept what torch's base class assigns; the state is kept elsewhere."""

    def get_lr_module(self, last: bool = True) -> LRHandle:
        """The last (or first) module with a setting called lr, nested ones included, in a form for schedulers.

        Raises:
            ValueError: when there is none.
        """
        owners = self._settings.owners.get("lr", [])
        if not owners:
            raise ValueError("Modular.get_lr_module: no module has a setting called lr; add tz.m.LR to the chain")
        return self._handle(owners[-1 if last else 0].module)

    def get_module_by_name(self, name: str | type[Module], last: bool = True) -> Module:
        """The last (or first) module of this class or class name, nested ones included.

        Raises:
            ValueError: when there is none.
        """
        wanted = name if isinstance(name, str) else name.__name__
        found = [m for m in self.unrolled_modules if type(m).__name__ == wanted]
        if not found:
            have = ", ".join(dict.fromkeys(type(m).__name__ for m in self.unrolled_modules))
            raise ValueError(f"Modular.get_module_by_name({wanted!r}): there is no such module; there are {have}")
        return found[-1 if last else 0]

    def _handle(self, module: Module) -> LRHandle:
        if id(module) not in self._handles:
            self._handles[id(module)] = LRHandle(self, module)
        return self._handles[id(module)]

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group of parameters; they get fresh state and are optimized from the next step on.

        Raises:
            ValueError: for a parameter that is optimized already, or a key that no module owns.
        """
        if not isinstance(param_group, Mapping):
            raise TypeError(f"Modular.add_param_group: expected a dict with 'params', got {type(param_group).__name__}")
        group = dict(param_group)
        where = f"param_groups[{len(self.param_groups)}]"
        if "params" not in group:
            raise KeyError(
                f"Modular.add_param_group: the group needs the key 'params', got {', '.join(map(repr, group))}"
            )
        given = group.pop("param_names", None)
        params, names = split_names(group.pop("params"), where)
        names = list(given) if names is None and given is not None else names
        known = {id(p) for p in self._params}
        for i, p in enumerate(params):
            if id(p) in known:
                label = repr(names[i]) if names else f"of shape {tuple(p.shape)}"
                raise ValueError(f"Modular({where}): the parameter {label} is in another group already; list it once")
        self._settings.check_group(group)
        defaults = self.defaults
        made = ParamGroup({"params": params, **({"param_names": names} if names else {}), **group}, defaults)
        for key, value in defaults.items():
            if isinstance(value, Tensor) and key not in made.own:
                made[key] = value.clone()  # schedulers write tensors in place
        self.param_groups.append(made)
        self._params += params
        self._steps += [-1] * len(params)
        self._named = self._named or bool(names)
        self._names = _unique(self._names, names or [str(len(self._names) + i) for i in range(len(params))])
        if self._state is not None:
            self._state = store.grow(self._state, self._names)
        for handle in self._handles.values():
            handle.follow()
        self._settings.forget()

    # ------------------------------------------------------------------ the step

    @torch._disable_dynamo  # pyright: ignore[reportPrivateImportUsage]
    @torch.no_grad()
    def step(self, closure: Callable[..., Any] | None = None, loss: Tensor | None = None, **kwargs: Any) -> Any:
        """Take one step.

        Args:
            closure: re-evaluates the model. Called without argument it clears gradients, calls backward and returns
                the loss; called with False it returns the loss alone. Needed by modules that evaluate.
            loss: the loss at the current parameters, for modules that only look at it.
            kwargs: handed to the modules as `var.storage`.

        Returns:
            The closure's value at the current parameters (its first value if it was never called there), or None.
        """
        self._demand(closure, loss)
        self._advance_schedulers()
        chain = self._settings.configured(self.param_groups, self._names, self._local_settings())
        wanted = [p.requires_grad or not p.is_leaf for p in self._params]
        objective, found = None, None
        if closure is not None:
            owners = [p for p, w in zip(self._params, wanted, strict=True) if w]
            askers = (type(m).__name__ for _, m in self._settings.modules if m.needs & {"objective", "value"})
            objective = ClosureObjective(closure, owners, None, owners, self._recording, askers)
            known, self._known = self._known, None
            if self._grad_first:
                everything = self._tree(self._values(), wanted)
                objective.x0 = everything
                if known is not None and known.holds(self._params):
                    loss = known.recall(objective, self._params)
                else:
                    loss, found = objective.value_and_grad(everything)
        each = zip(self._params, wanted, strict=True)
        grads = [(p.grad if p.is_leaf else gradient(p)) if w else None for p, w in each]
        if found is not None:  # of the objective, which is not what the closure differentiated if it gives residuals
            of_wanted = iter(tree.leaves(found))
            here = [next(of_wanted) if w else None for w in wanted]
            grads = [None if g is None else x for g, x in zip(grads, here, strict=True)]
        ready = [g is not None for g in grads]
        if any(m.whole for _, m in self._settings.modules):  # what the vector has seen stays in it
            span = [w or s >= 0 for w, s in zip(wanted, self._steps, strict=True)]
        else:
            span = wanted
        if closure is not None and not self._grad_first:
            active = span
        elif span is not wanted and any(ready):
            zeros = map(torch.zeros_like, self._values())
            grads = [zero if g is None else g for g, zero in zip(grads, zeros, strict=True)]
            active = span
        else:
            active = ready
        if not any(active):
            return self._finish(objective, None)
        self._prepare(active)
        given = closure is None or self._grad_first
        if given and self._execute(chain, grads, active, wanted, loss, kwargs):
            return self._finish(objective, None)
        values, grad = self._values(), None
        params = self._tree(values, active)
        if objective is not None:
            objective.x0, objective.live = params, [p for p, a in zip(self._params, active, strict=True) if a]
        if given:
            dense = [None if g is None else _dense(g, p) for g, p in zip(grads, self._params, strict=True)]
            grad = self._tree(dense, active)
        var = Var(params, objective=objective, grad=grad, loss=loss, step=self.current_step, storage=kwargs)
        full = all(active)
        state, var = chain.step(self._state if full else store.narrow(self._state, active), var)
        skip = var.skip_update if isinstance(var.skip_update, bool) else bool(var.skip_update)
        if not skip:
            var.update  # noqa: B018  (may evaluate the closure, which may raise: before anything is kept)
        self._keep(state, var, values, active, full)
        moving = [a and w for a, w in zip(active, wanted, strict=True)]
        self._move(var, values, moving, skip)
        if self.deterministic and objective is not None and var.objective is objective:
            self._known = known_after(var, self._params, moving)
        return self._finish(objective, var)

    def _execute(
        self, chain: Any, grads: list[Any], active: list[bool], wanted: list[bool], loss: Any, kwargs: dict[str, Any]
    ) -> bool:
        """Take the step in place, where the executor can and nobody asked to look on."""
        if self.post_step_hooks or any(a and not w for a, w in zip(active, wanted, strict=True)):
            return False
        state = self.executor.step(
            chain, self._state, self._names, self._params, grads, active, loss, self.current_step, kwargs
        )
        if state is None:
            return False
        self._state = state
        self._steps = [s + a for s, a in zip(self._steps, active, strict=True)]
        self.should_terminate = False
        return True

    def _demand(self, closure: Any, loss: Any) -> None:
        """Refuse before anything happens when a module cannot get what it needs."""
        if closure is not None:
            return
        for path, module in self._settings.modules:
            needs = module.needs
            if "objective" in needs or ("value" in needs and loss is None):
                what = "evaluates the objective" if "objective" in needs else "needs the loss"
                also = "" if "objective" in needs else " (or the loss: opt.step(loss=loss))"
                raise RuntimeError(
                    f"{path}: {type(module).__name__} {what}, so step needs a closure{also}: "
                    "opt.step(closure), where closure(backward=True) returns the loss"
                )

    @property
    def _grad_first(self) -> bool:
        """Whether the gradient at x0 is what the chain starts from."""
        modules = [m for _, m in self._settings.modules]
        return not any(m.rewrites_objective or m.makes_update for m in modules)

    def _values(self) -> list[Tensor]:
        return [p.detach() for p in self._params]

    def _tree(self, values: list[Any], mask: list[bool]) -> Leaves:
        if all(mask):
            return Leaves(values, self._names)
        return Leaves([v if keep else tree.HOLE for v, keep in zip(values, mask, strict=True)], self._names)

    def _prepare(self, active: list[bool]) -> None:
        """Give state to active parameters that have none."""
        new = [a and s < 0 for a, s in zip(active, self._steps, strict=True)]
        if not any(new):
            return
        chain = self._settings.configured(self.param_groups, self._names, self._local_settings())
        values = Leaves([p.detach() for p in self._params], self._names)
        made = store.fresh(chain, values, new)
        made = store.unalias(made, {store.storage(v) for v, n in zip(values, new, strict=True) if n})
        self._steps = [0 if n else s for n, s in zip(new, self._steps, strict=True)]
        if self._state is None:
            self._state = made
            return
        self._state = store.merge(self._state, made, new, self._state)
        known = [s >= 0 for s in self._steps]
        for key, link in zip(self.chain.keys(), chain.children().values(), strict=True):
            if any(m.whole for m in link.walk()):  # a longer vector is another space: start afresh
                self._state[key] = store.fresh(link, values, known)

    def _keep(self, state: Any, var: Var, values: list[Tensor], active: list[bool], full: bool) -> None:
        """Keep the new state and what was published, apart from memory that is about to change."""
        watched = [v for v, a in zip(values, active, strict=True) if a]
        watched += [g for p in self._params if (g := gradient(p)) is not None]
        if var.has_loss and isinstance(var.loss, Tensor):
            watched.append(var.loss)
        storages = set(map(store.storage, watched))
        state = store.unalias(state, storages)
        if var.attrs:
            self.attrs.update(store.unalias(dict(var.attrs), storages))
        self._state = state if full else store.merge(self._state, state, active, state)

    def _move(self, var: Var, values: list[Tensor], moving: list[bool], skip: bool) -> None:
        """Subtract the update from the parameters, in place, unless it is skipped, and count their steps."""
        if not skip:
            changing = {store.storage(v) for v, m in zip(values, moving, strict=True) if m}
            moves = []
            for p, x, new, u, m in zip(self._params, values, var.params, var.update, moving, strict=True):
                if m and isinstance(u, Tensor):
                    moves.append((p, None if new is x else new, u.clone() if store.storage(u) in changing else u))
            for p, new, u in moves:
                if new is None and u.dtype == p.dtype:
                    p.sub_(u)
                else:
                    p.copy_(tree.cast((p if new is None else new) - u, p))
        self._steps = [s + m for s, m in zip(self._steps, moving, strict=True)]

    def _finish(self, objective: ClosureObjective | None, var: Var | None) -> Any:
        self.num_evaluations += 1 if objective is None else objective.calls
        self._recording = self._recording if objective is None else objective.recording
        if var is not None:
            terminate = var.should_terminate
            self.should_terminate = terminate if isinstance(terminate, bool) else bool(terminate)
            for hook in self.post_step_hooks:
                hook(self, var)
        for handle in self._handles.values():
            handle._opt_called = True  # pyright: ignore[reportAttributeAccessIssue]
        self.current_step += 1
        return None if objective is None else objective.returned

    # ------------------------------------------------------------------ schedulers of LR(scheduler_cls=...)

    def _make_schedulers(self) -> None:
        for _, module in walk(self.chain):
            make = getattr(module, "scheduler_cls", None)
            if make is not None:
                handle = self._handle(module)
                scheduler = make(handle, **dict(getattr(module, "scheduler_kwargs", ())))
                if isinstance(scheduler, ReduceLROnPlateau):
                    raise TypeError(
                        "LR(scheduler_cls=ReduceLROnPlateau): it needs a metric at every step; build it on "
                        "opt.get_lr_module() and call scheduler.step(metric)"
                    )
                self._schedulers.append((module, handle, scheduler))
        self._cycle_momentum()

    def _advance_schedulers(self) -> None:
        """Bring the schedulers to this step, once, even if it fails and is repeated."""
        if self._scheduled == self.current_step:
            return
        for module, handle, scheduler in self._schedulers:
            if self.current_step % module.sheduler_step_every == 0:  # pyright: ignore[reportAttributeAccessIssue]
                handle._opt_called = True  # pyright: ignore[reportAttributeAccessIssue]
                scheduler.step()
        self._scheduled = self.current_step
        self._cycle_momentum()

    def _cycle_momentum(self) -> None:
        for module, handle, _ in self._schedulers:
            if not module.cycle_momentum:  # pyright: ignore[reportAttributeAccessIssue]
                continue
            for group, momentum in zip(self.param_groups, handle.momenta(), strict=True):
                if momentum is not None:
                    for key in ("momentum", "beta1"):
                        if key in self._settings.owners:
                            group[key] = momentum

    def _local_settings(self) -> dict[int, dict[str, list[Any]]]:
        return {k: {"lr": h.values()} for k, h in self._handles.items() if h.written}

    # ------------------------------------------------------------------ reading and resetting

    def eval_params(self) -> list[Tensor]:
        """The parameters to evaluate the model at, in order: an average where a module keeps one, else the current."""
        self.state  # noqa: B018  (makes sure there is one)
        ready = [s >= 0 for s in self._steps]
        values = [p.detach() for p in self._params]
        chain = self._settings.configured(self.param_groups, self._names, self._local_settings())
        out = chain.eval_params(self._state, self._tree(values, ready))
        return [o if r else v for o, v, r in zip(out, values, ready, strict=True)]

    @contextlib.contextmanager
    def eval_mode(self) -> Iterator[None]:
        """Have `eval_params()` in the model inside the with-block, and the training parameters back afterwards."""
        with torch.no_grad():
            kept = [p.detach().clone() for p in self._params]
            for p, x in zip(self._params, [x.clone() for x in self.eval_params()], strict=True):
                p.copy_(x)
        try:
            yield
        finally:
            with torch.no_grad():
                for p, x in zip(self._params, kept, strict=True):
                    p.copy_(x)

    def reset(self) -> None:
        """Forget the state of every module, as if no step had been taken; settings and counters stay."""
        self._state, self._steps = None, [-1] * len(self._params)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        if set_to_none:
            for p in self._params:
                clear_gradient(p)
        else:
            for p in self._params:
                g = gradient(p)
                if g is not None:
                    g.detach_().requires_grad_(False).zero_() if p.is_leaf else g.zero_()

    # ------------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Any]:
        """A snapshot in plain containers, in torch's layout: `state`, `param_groups`, and what the chain needs."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        out = snapshot.save(self)
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, out)
            out = out if changed is None else changed
        return out

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a snapshot; refuses one that does not fit, and then changes nothing.

        Raises:
            ValueError: naming the module path or parameter that does not match.
        """
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        checkpoint.load(self, state_dict)
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        drop = ("step", "_known", "executor", "_schedulers", "_handles", "_settings", "_zero_grad_profile_name")
        kept = {k: v for k, v in self.__dict__.items() if k not in drop and not isinstance(v, OrderedDict)}
        kept["_restored"] = (self._settings.restored, self._settings.own)
        kept["_handle_values"] = snapshot.save_handles(self)
        kept["_scheduler_states"] = [s.state_dict() for _, _, s in self._schedulers]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        restored, handles = state.pop("_restored"), state.pop("_handle_values")
        schedulers = state.pop("_scheduler_states")
        self._settings = Settings(state["chain"])
        self._settings.restored, self._settings.own = restored
        self._handles, self._schedulers, self._known = {}, [], None
        self.executor = Executor(state["compiled"])
        defaults = dict(state["defaults"])
        super().__setstate__(state)
        self.defaults.clear()
        self.defaults.update(defaults)
        for group in self.param_groups:
            group.fallback = self.defaults
        self._make_schedulers()
        checkpoint.put_handles(self, handles)
        for (_, _, scheduler), saved in zip(self._schedulers, schedulers, strict=True):
            scheduler.load_state_dict(saved)

    def __repr__(self) -> str:
        return f"Modular({', '.join(map(repr, self.chain.links))})"


def _unique(taken: tuple[str, ...], names: list[str]) -> tuple[str, ...]:
    """The taken names and new ones, those that repeat an earlier one with a suffix."""
    seen, out = set(taken), list(taken)
    for name in names:
        made, k = name, 1
        while made in seen:
            made, k = f"{name}~{k}", k + 1
        seen.add(made)
        out.append(made)
    return tuple(out)
