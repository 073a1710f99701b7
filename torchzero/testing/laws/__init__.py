"""The laws, one to a file."""

from torchzero.testing.laws import chain, declared, grad, pure, resume, settings, shell, stable, step, tree, vmap
from torchzero.testing.laws import compile as compile_
from torchzero.testing.laws.law import Law as Law

TABLE: dict[str, Law] = {
    "pure": pure.LAW,
    "stable": stable.LAW,
    "step": step.LAW,
    "chain": chain.LAW,
    "tree": tree.LAW,
    "settings": settings.LAW,
    "vmap": vmap.LAW,
    "grad": grad.LAW,
    "compile": compile_.LAW,
    "shell": shell.LAW,
    "resume": resume.LAW,
    "declared": declared.LAW,
}
