"""Every law is broken by some module, and says so."""

import re
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core.hyper import Hyper, number
from torchzero.core.transform import At
from torchzero.core.tree import Tree
from torchzero.testing import LAWS, LawError, check_law, check_module


class OneState(NamedTuple):
    m: Tensor  # like param


class Sum(tz.TensorwiseTransform):
    """A good module, which the broken ones below spoil."""

    locality = "elementwise"

    factor: Hyper = number(0.5)

    def init_tensor(self, param: Tensor) -> OneState:
        return OneState(torch.zeros_like(param))

    def update_tensor(self, state: OneState, u: Tensor, at: At) -> OneState:
        return OneState(state.m * self.factor + u)

    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return state.m * (state.m * state.m + 1)


class WritesToItsState(Sum):
    def update_tensor(self, state: OneState, u: Tensor, at: At) -> OneState:
        return OneState(state.m.mul_(self.factor).add_(u))


class WritesToTheGradient(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u.mul_(1.0)


class Remembers(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        calls = self.__dict__.setdefault("calls", [0])
        calls[0] += 1
        return u * calls[0]


class DrawsGlobally(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u * torch.rand_like(u)


class Grows(tz.Module):
    def init(self, params: Tree) -> Any:
        return ()

    def update(self, state: Any, var: tz.Var) -> Any:
        return (*state, tz.tree.norm(var.update))


class Widens(tz.Module):
    def init(self, params: Tree) -> Any:
        return tz.tree.map(torch.zeros_like, params)

    def update(self, state: Any, var: tz.Var) -> Any:
        return tz.tree.map(lambda m, u: m.double() + u, state, var.update)


class CountsInPython(tz.Module):
    def init(self, params: Tree) -> Any:
        return 0

    def update(self, state: Any, var: tz.Var) -> Any:
        return state + 1


class StepsDifferently(Sum):
    def step(self, state: Any, var: tz.Var) -> tuple[Any, tz.Var]:
        state = self.update(state, var)
        return state, var.replace(update=tz.tree.scale(2.0, var.update))


class AbsorbsInApply(tz.Module):
    """Its apply hands on a different direction each time that it is asked."""

    def init(self, params: Tree) -> Any:
        return [0]

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        state[0] += 1
        return var.replace(update=tz.tree.scale(float(state[0]), var.update))


class IgnoresTheDirection(Sum):
    """Reads the gradient, so what stands before it in a chain is lost, and that only in step."""

    needs = frozenset({"grad"})

    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return state.m + u

    def step(self, state: Any, var: tz.Var) -> tuple[Any, tz.Var]:
        return super().step(state, var.replace(update=var.grad))


class ClaimsElementwise(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u - u.mean() if u.numel() else u


class ClaimsTensor(tz.Transform):
    locality = "tensor"

    def apply_tree(self, state: Any, u: Tree, var: tz.Var) -> Tree:
        return tz.tree.scale(tz.tree.norm(u), u)


class SeesItsPlace(tz.Transform):
    """Global, but what it does to a leaf depends on where the leaf stands."""

    def apply_tree(self, state: Any, u: Tree, var: tz.Var) -> Tree:
        leaves, spec = tz.tree.flatten(u)
        return tz.tree.unflatten(spec, [x * (i + 1) for i, x in enumerate(leaves)])


class SeesTheContainer(tz.Transform):
    def apply_tree(self, state: Any, u: Tree, var: tz.Var) -> Tree:
        return u if isinstance(u, list) else tz.tree.scale(2.0, u)


class FirstSettingOnly(tz.Transform):
    locality = "elementwise"

    factor: Hyper = number(0.5)

    def apply_tree(self, state: Any, u: Tree, var: tz.Var) -> Tree:
        first = tz.tree.spread(self.factor, u)[0]
        return tz.tree.scale(first, u)


class NoPrefixTrees(tz.Transform):
    factor: Hyper = number(0.5)

    def apply_tree(self, state: Any, u: Tree, var: tz.Var) -> Tree:
        return tz.tree.map(lambda x: x * self.factor, u)


class LooksAtNumbers(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u * float(self.factor)


class BranchesOnData(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u if bool((u > 0).all()) else -u


class TensorsMeanOtherwise(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u * self.factor if isinstance(self.factor, float) else u * self.factor * self.factor


class NanAtZero(Sum):
    def update_tensor(self, state: OneState, u: Tensor, at: At) -> OneState:
        return OneState(state.m + u * u)

    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u / (state.m.sqrt() + self.factor)


class Detaches(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u * u.detach() * self.factor


class CutsTheSetting(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u * torch.as_tensor(self.factor).detach()


class BreaksTheGraph(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        torch._dynamo.graph_break()
        return u


class CompilesAgain(tz.Transform):
    """Guards a number that changes with every step."""

    def init_tree(self, params: Tree) -> Any:
        return OneState(tz.tree.counter(params))

    def update_tree(self, state: Any, u: Tree, var: tz.Var) -> Any:
        return OneState(state.m + 1)

    def apply_tree(self, state: Any, u: Tree, var: tz.Var) -> Tree:
        return tz.tree.scale(1.0 + id(state.m) % 2, u)


class CompiledOtherwise(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u * 2 if torch.compiler.is_compiling() else u


class HidesState(tz.TensorwiseTransform):
    """Its momentum lives on the module: gone after loading."""

    locality = "elementwise"

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        key = (u.shape, str(u.dtype))
        seen = self.__dict__.setdefault("seen", {})
        seen[key] = seen.get(key, 0) + u
        return seen[key]


class ReadsUndeclaredLoss(Sum):
    def apply_tensor(self, state: OneState, u: Tensor, at: At) -> Tensor:
        return u + 0 * at.param


class ReadsTheGradient(tz.Module):
    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(update=tz.tree.add(var.update, var.grad))


class ClaimsScale(Sum):
    invariances = frozenset({"scale"})


class ClaimsOrthogonal(tz.TensorwiseTransform):
    locality = "elementwise"
    invariances = frozenset({"orthogonal"})

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return u.sign()


class ClaimsNonsense(Sum):
    invariances = frozenset({"luck"})


class ClaimsNoSuchLocality(Sum):
    locality = "nearby"  # pyright: ignore[reportAssignmentType]


BROKEN = [
    (WritesToItsState, "pure", "version counter"),
    (WritesToTheGradient, "pure", "wrote to its input grad"),
    (Remembers, "pure", "repeated with the same inputs"),
    (DrawsGlobally, "pure", "global generator"),
    (Grows, "stable", "structure"),
    (Widens, "stable", "float64.*expected (float32|bfloat16)"),
    (CountsInPython, "stable", "keep tensors there"),
    (StepsDifferently, "step", "result of step, against update and then apply"),
    (AbsorbsInApply, "step", "apply repeated|against update and then apply"),
    (IgnoresTheDirection, "chain", "against running them by hand|update and apply against step"),
    (HidesState, "chain", "Chain"),
    (ClaimsElementwise, "tree", "claims to be elementwise"),
    (ClaimsTensor, "tree", "without the other leaves"),
    (SeesItsPlace, "tree", "leaves in the order"),
    (SeesTheContainer, "tree", "flat list"),
    (FirstSettingOnly, "settings", "factor="),
    (NoPrefixTrees, "settings", "raised TypeError"),
    (LooksAtNumbers, "vmap", "factor as a batched 0-d tensor"),
    (BranchesOnData, "vmap", "raised RuntimeError"),
    (TensorsMeanOtherwise, "vmap", "as 0-d tensors, against numbers"),
    (NanAtZero, "grad", "zero gradient"),
    (Detaches, "grad", "derivative with respect to grad"),
    (CutsTheSetting, "grad", "derivative with respect to factor"),
    (BreaksTheGraph, "compile", "raised Unsupported"),
    (CompilesAgain, "compile", "graphs were compiled|raised"),
    (CompiledOtherwise, "compile", "compiled, against eager"),
    (Remembers, "shell", "parameters by Modular"),
    (HidesState, "resume", "after [0-9] steps"),
    (ReadsTheGradient, "declared", "with only the direction given"),
    (ReadsUndeclaredLoss, "declared", "replaced by NaN"),
    (ClaimsScale, "declared", "gradients times"),
    (ClaimsOrthogonal, "declared", "rotated"),
    (ClaimsNonsense, "declared", "invariances names luck"),
    (ClaimsNoSuchLocality, "declared", "nearby"),
]


@pytest.mark.parametrize(("broken", "law", "difference"), BROKEN, ids=[f"{b.__name__}-{law}" for b, law, _ in BROKEN])
def test_broken_module_is_caught(broken: type[tz.Module], law: str, difference: str) -> None:
    with pytest.raises(LawError) as caught:
        check_law(broken(), law)
    error = caught.value
    assert error.law == law
    assert re.search(difference, error.difference), error.difference
    message = str(error)
    assert broken.__name__ in message
    assert LAWS[law] in message


def test_every_law_is_broken_by_something() -> None:
    assert {law for _, law, _ in BROKEN} == set(LAWS)


@pytest.mark.parametrize("law", LAWS)
def test_good_module_passes(law: str) -> None:
    check_law(Sum(), law)


def test_check_module_stops_at_the_first_broken_law() -> None:
    with pytest.raises(LawError) as caught:
        check_module(Detaches(), laws=["pure", "grad", "compile"])
    assert caught.value.law == "grad"


def test_exempt_laws_are_not_checked() -> None:
    check_module(Detaches(), laws=["pure", "grad"], exempt={"grad": "stops the derivative on purpose"})
    check_module(Detaches(), laws=["grad"], exempt=["grad"])


def test_unknown_laws_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no law 'gravity'"):
        check_module(Sum(), laws=["gravity"])
    with pytest.raises(ValueError, match="there is no law 'gravity'"):
        check_module(Sum(), exempt=["gravity"])


def test_a_class_is_not_a_module() -> None:
    with pytest.raises(TypeError, match="an instance"):
        check_law(Sum, "pure")  # pyright: ignore[reportArgumentType]


def test_host_side_modules_are_excused_from_transformations() -> None:
    class OnTheHost(LooksAtNumbers):
        host_side = True

    check_module(OnTheHost(), laws=["vmap", "grad", "compile"])


def test_importing_torchzero_does_not_import_hypothesis() -> None:
    code = "import sys, torchzero; assert 'hypothesis' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_hypothesis_is_said_with_the_remedy() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import torchzero.testing"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "torchzero.testing needs hypothesis: pip install hypothesis" in run.stderr
