"""Chain: modules one after the other are a module."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from torch import Tensor

from torchzero.core import hyper, tree
from torchzero.core import var as var_
from torchzero.core.control import concrete
from torchzero.core.module import LOCALITIES, Locality, Module
from torchzero.core.schedule import Schedule
from torchzero.core.tree import Tree
from torchzero.core.var import Var

Chainable: TypeAlias = Module | Iterable["Chainable"]


def flatten_modules(modules: Iterable[Any]) -> Iterator[Module]:
    """Every module of nested iterables and chains, in order."""
    for module in modules:
        if isinstance(module, Chain):
            yield from module.links
        elif isinstance(module, Module):
            yield module
        elif isinstance(module, Iterable) and not isinstance(module, str | Tensor | dict):
            yield from flatten_modules(module)
        else:
            hint = (
                f"; did you mean {module.__name__}()?"
                if isinstance(module, type) and issubclass(module, Module)
                else ""
            )
            raise TypeError(f"Chain: expected a module or a sequence of modules, got {module!r}{hint}")


class Chain(Module):
    """Run modules in order, each on what the one before handed on; nested chains are flattened.

    The state is a dict from "position.ClassName" to that module's state. When a module sets `stop`, the modules after
    it keep their states and the direction stays as it is.

    Args:
        modules: modules or (nested) sequences of modules.

    Raises:
        TypeError: for anything that is not a module.

    >>> import torchzero as tz
    >>> tz.Chain(tz.m.ClipValue(1.0), [tz.m.Adam(), tz.m.LR(0.1)])
    C(ClipValue(value=1.0), Adam(), LR(lr=0.1))
    """

    links: tuple[Any, ...] = hyper.children()

    def __init__(self, *modules: Chainable) -> None:
        self._write("links", tuple(flatten_modules(modules)))

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The widest of the links' localities; that of a chain of nothing is elementwise."""
        return LOCALITIES[max((LOCALITIES.index(link.chain_locality()) for link in self.links), default=0)]

    def keys(self) -> list[str]:
        """The names of the links in the state."""
        return [f"{i}.{type(module).__name__}" for i, module in enumerate(self.links)]

    def child_state(self, state: Any, name: str) -> Any:
        i = int(name.removeprefix("links[").removesuffix("]"))
        return state[f"{i}.{type(self.links[i]).__name__}"]

    def init(self, params: Tree) -> dict[str, Any]:
        return {key: module.init(params) for key, module in zip(self.keys(), self.links, strict=True)}

    def _run(self, state: dict[str, Any], var: Var, advance: bool) -> tuple[dict[str, Any], Var]:
        if not isinstance(state, dict) or state.keys() != set(self.keys()):
            got = ", ".join(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ValueError(
                f"{self!r}: the state must have an entry for each link, {', '.join(self.keys())}; got {got}; begin "
                "with the state that its init(params) returns"
            )
        at_entry, new = var.stop, {}
        state = self._begun(state, var) if advance else state
        for key, module in zip(self.keys(), self.links, strict=True):
            own, stop = state[key], var.stop if isinstance(var.stop, bool) else concrete(var.stop)
            if stop:
                new[key] = own
                continue
            after, out = module.step(own, var) if advance else (own, module.apply(own, var))
            if stop is None:
                after = tree.where(var.stop, own, after)
                out = var_.where(var.stop, var, out)  # pyright: ignore[reportArgumentType]
            new[key], var = after, out
        return new, var.replace(stop=at_entry)

    def _begun(self, state: dict[str, Any], var: Var) -> dict[str, Any]:
        """The states at the beginning of a step: afresh, if a link asked for it in the step before."""
        for key, asking in zip(self.keys(), self.links, strict=True):
            flag = asking.restarts_others(state[key])
            if flag is not None:
                others = {k: m for k, m in zip(self.keys(), self.links, strict=True) if k != key}
                fresh = {k: afresh(flag, m, state[k], var.params) for k, m in others.items()}
                state = {**state, **fresh}
        return state

    def update(self, state: dict[str, Any], var: Var) -> dict[str, Any]:
        return self._run(state, var, advance=True)[0]

    def apply(self, state: dict[str, Any], var: Var) -> Var:
        return self._run(state, var, advance=False)[1]

    def step(self, state: dict[str, Any], var: Var) -> tuple[dict[str, Any], Var]:
        return self._run(state, var, advance=True)

    def reset_for_online(self, state: dict[str, Any]) -> dict[str, Any]:
        return {k: m.reset_for_online(state[k]) for k, m in zip(self.keys(), self.links, strict=True)}

    def __repr__(self) -> str:
        return f"C({', '.join(map(repr, self.links))})"


def afresh(flag: Tensor | bool, module: Module, state: Any, params: Tree) -> Any:
    """The state of `module` with which it starts afresh at `params` where `flag` holds, else `state`."""
    decided = concrete(flag)
    if decided is None:
        return tree.where(flag, module.restarted(state, params), state)
    return module.restarted(state, params) if decided else state


def maybe_chain(*modules: Chainable) -> Module:
    """A lone module as it is, several as a Chain."""
    flat = list(flatten_modules(modules))
    return flat[0] if len(flat) == 1 else Chain(*flat)


def as_child(value: Any, owner: str, name: str, operand: bool) -> Any:
    """A child field's value: a module, a chain of a sequence, or (as an operand) a number or tensor."""
    if isinstance(value, Module) or (operand and isinstance(value, int | float | Tensor | Schedule)):
        return value
    if isinstance(value, list | tuple):
        return maybe_chain(*value)
    also = ", a number, a 0-d tensor or a schedule" if operand else ""
    hint = f"; did you mean {value.__name__}()?" if isinstance(value, type) else ""
    raise TypeError(f"{owner}({name}={value!r}): must be a module or a sequence of modules{also}{hint}")
