"""A mkdocs hook that writes the pages which the code knows best: the catalogue, and the API of every family.

python scripts/docs_hook.py     prints the catalogue page
"""

import html
import inspect
import pathlib
import re
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import torchzero as tz
from tests import registry

URL = r"https?://[^\s,;)]+[^\s,;.)]"
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
PLAIN = {"elementwise": "element", "tensor": "tensor", "global": "all"}


def families() -> dict[str, dict[str, Any]]:
    """The public modules by the package they live in, both in alphabetical order."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in sorted(registry.public().items(), key=lambda item: item[0].lower()):
        package = value.__module__.split(".")[1]
        found.setdefault(package, {})[name] = value
    return dict(sorted(found.items()))


def summary(thing: Any) -> str:
    """The first sentence of a docstring, on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def reference(thing: Any) -> str:
    """What the docstring gives as its source, with links."""
    found = re.search(r"^References?:\s*(.*?)(?:\n\s*\n|\Z)", inspect.getdoc(thing) or "", re.DOTALL | re.MULTILINE)
    text = " ".join(found[1].split()) if found else ""
    text = re.sub(rf"([^;,<(\s][^;<(]*?), ({URL})", r"[\1](\2)", text)
    return re.sub(rf"(?<![<(]){URL}", r"<\g<0>>", text).replace("|", "\\|")


def mark(name: str, law: str, notes: dict[str, int]) -> str:
    """Whether a law holds for a module; if not, the number of the note that says why."""
    if name not in registry.entries():
        return "not checked"
    row = registry.entries()[name].row
    text = registry.cell(name, row.make, row, law)
    return "yes" if text == "checked" else f"[^{notes.setdefault(text.split(': ', 1)[1], len(notes) + 1)}]"


def facts(name: str, value: Any) -> tuple[str, str]:
    """What a module needs, and how far an element of its output can see."""
    row = registry.entries()[name].row if name in registry.entries() else None
    made = row.make() if row else value
    needs = ", ".join(sorted(made.needs)) if isinstance(getattr(made, "needs", None), frozenset) else ""
    locality = made.locality if isinstance(getattr(made, "locality", None), str) else ""
    return needs, PLAIN.get(locality, "")


def catalogue() -> str:
    """The catalogue page."""
    out = [CATALOGUE_HEAD]
    notes: dict[str, int] = {}
    for family, modules in families().items():
        out += [
            f"\n## {family}\n",
            "| module | what it does | needs | sees | vmap | grad | reference |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, value in modules.items():
            needs, sees = facts(name, value)
            cells = [
                f"[`{name}`](api/{family}.md#{value.__module__}.{name})",
                summary(value).replace("|", "\\|"),
                needs,
                sees,
            ]
            cells += [mark(name, "vmap", notes), mark(name, "grad", notes), reference(value)]
            out.append("| " + " | ".join(cells) + " |")
    old = registry.aliases()
    if old:
        out += ["\n## Older names\n", "| name | is |", "|---|---|"]
        out += [f"| `{name}` | `{old[name].__name__}` |" for name in sorted(old)]
    out += ["", *(f"[^{number}]: {text}." for text, number in notes.items())]
    return "\n".join(out) + "\n"


CATALOGUE_HEAD = """# Catalogue

Every module of `tz.m`, as the tests know it.

- *needs*: what a step must offer besides the direction that comes in: `params`, `grad` and `value` (gradient and loss
  at the current point), `objective` (evaluations at other points: with `Modular`, a closure).
- *sees*: how far an element of the output can see: the same `element`, its own `tensor`, or `all` parameters. A law
  verifies it.
- *vmap*, *grad*: whether the laws of that name are checked for it; a number says why not. `grad` means derivatives
  through several steps with respect to parameters, gradients and every numeric hyperparameter.
"""


def family_page(family: str, modules: dict[str, Any]) -> str:
    """The API page of one family."""
    package = sys.modules[f"torchzero.{family}"]
    out = [f"# {family}\n", f"{summary(package)}\n"]
    out += [f"::: {value.__module__}.{name}\n" for name, value in modules.items()]
    return "\n".join(out)


def namespace_page(title: str, intro: str, module: Any, skip: frozenset[str] = frozenset()) -> str:
    """The API page of the public names of a namespace."""
    out = [f"# {title}\n", f"{intro}\n"]
    for name, value in vars(module).items():
        if name.startswith("_") or inspect.ismodule(value) or name in skip:
            continue
        if getattr(value, "__module__", "").startswith("torchzero") and callable(value):
            out.append(f"::: {value.__module__}.{value.__qualname__}\n" + MEMBERS.get(name, ""))
    return "\n".join(out)


def _members(*names: str) -> str:
    return "    options:\n      members: [" + ", ".join(names) + "]\n"


MEMBERS = {
    "Modular": _members(
        *("step", "zero_grad", "add_param_group", "get_lr_module", "get_module_by_name"),
        *("eval_params", "eval_mode", "reset", "state_dict", "load_state_dict"),
    ),
    "Module": _members(
        *("init", "update", "apply", "step", "__call__", "eval_params", "reset_for_online"),
        *("children", "hypers", "evolve", "set_param_groups"),
    ),
    "Transform": _members("init_tree", "update_tree", "apply_tree"),
    "TensorwiseTransform": _members("init_tensor", "scalars", "update_tensor", "apply_tensor"),
    "Objective": _members("value", "value_and_grad", "hvp", "hessian"),
    "Var": _members("replace", "grad", "loss", "update", "need_objective"),
    "Schedule": _members("value"),
}


def pages() -> dict[str, str]:
    """Every generated page by its path."""
    import torchzero.core.hyper
    import torchzero.core.safe
    import torchzero.schedules
    import torchzero.testing

    core = frozenset(vars(tz.core))
    out = {"catalogue.md": catalogue()}
    out |= {
        f"api/{family}.md": family_page(family, modules) for family, modules in families().items() if family != "core"
    }
    out["api/torchzero.md"] = namespace_page(
        "torchzero",
        "What `import torchzero as tz` gives besides the modules of `tz.m` and the [core](core.md).",
        tz,
        core,
    )
    extra = [
        namespace_page("Core", summary(tz.core), tz.core),
        "\n## Trees, hyperparameters, safe arithmetic, random draws\n",
        *(f"::: torchzero.core.{part}\n{MODULE_OPTIONS}" for part in ("tree", "hyper", "safe", "random", "control")),
    ]
    out["api/core.md"] = "\n".join(extra)
    out["api/schedules.md"] = namespace_page("Schedules", summary(torchzero.schedules), torchzero.schedules)
    out["api/testing.md"] = namespace_page("Testing", summary(torchzero.testing), torchzero.testing)
    return out


MODULE_OPTIONS = """    options:
      members: true
      heading_level: 3
      show_root_full_path: true
      filters: ["!^_", "!^[A-Z]+$"]
"""


def on_config(config: Any) -> Any:
    """Give every family a place in the navigation."""
    for entry in config.nav:
        if "API" in entry:
            entry["API"] += [{family: f"api/{family}.md"} for family in families() if family != "core"]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_content(content: str, **kwargs: Any) -> str:
    """Formulas as MathML, which browsers set themselves: nothing is loaded from elsewhere."""
    from latex2mathml.converter import convert

    style = {"span": "inline", "div": "block"}
    return FORMULA.sub(lambda m: convert(html.unescape(m[2]).strip(), display=style[m[1]]), content)


if __name__ == "__main__":
    print(catalogue())
