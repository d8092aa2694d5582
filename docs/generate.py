"""Pages that are made from the code: `python docs/generate.py`, from the repository's root.

`tests/unit/project/test_docs.py` fails where one of them is stale.
"""

import ast
import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lacuna.attack import ATTACKS  # noqa: E402
from lacuna.data import DATA  # noqa: E402
from lacuna.localize import LOCALIZERS  # noqa: E402
from lacuna.report import TABLES  # noqa: E402
from lacuna.unlearn import OBJECTIVES, WRAPPERS  # noqa: E402
from lacuna.unlearn.edits.base import Edit  # noqa: E402
from sweeps.config.keys import KEYS_HELP, keys  # noqa: E402
from sweeps.plan.protocols import PROTOCOLS  # noqa: E402

NOTICE = "<!-- Made by docs/generate.py; edit the code instead. -->\n"
TREE = ("<!-- tree -->\n", "<!-- /tree -->")
"""Marks in README.md around the annotated tree."""
PACKAGES = ("lacuna", "sweeps")
FOLDERS = {
    "docker/": "locked requirements, image check, cluster files",
    "docs/": "these pages; generated ones say so",
    "examples/": "one trial on one screen",
    "tests/": "unit tests mirror the packages; integration tests start processes and whole studies",
    "benchmarks/": "speed as ratios measured in one run; proofs of the engine under faults",
    "artifacts/": "what studies write; git ignores it",
}


def fields_help(config: type) -> dict[str, str]:
    """The text under each field of a dataclass, bases included, by field name."""
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        if not dataclasses.is_dataclass(cls):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(cls))
        except (OSError, TypeError):  # made by make_dataclass: has no source
            continue
        body = ast.parse(source).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            told = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if named and told:
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def default_text(field: "dataclasses.Field[object]") -> str:
    """A field's default as a user would type it."""
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return ""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def options(config: type) -> Iterator[str]:
    """A table of a method's options."""
    rows = [field for field in dataclasses.fields(config) if not _nested(field)]
    if not rows:
        return
    help_of = fields_help(config)
    yield "| option | default | meaning |"
    yield "|---|---|---|"
    for field in rows:
        text = help_of.get(field.name, "").replace("|", "\\|")
        yield f"| `{field.name}` | `{default_text(field)}` | {text} |"
    yield ""


def _nested(field: "dataclasses.Field[object]") -> bool:
    factory = field.default_factory
    return isinstance(factory, type) and dataclasses.is_dataclass(factory)


def section(title: str, intro: str, methods: Mapping[str, type], prefix: str) -> Iterator[str]:
    """One family of methods: what each is, its formula and source, its options."""
    yield f"## {title}"
    yield intro
    yield ""
    for name, method in methods.items():
        module = inspect.getmodule(method)
        assert module is not None and module.__file__ is not None
        file = Path(module.__file__).relative_to(ROOT).as_posix()
        yield f"### `{name}`"
        yield f"{inspect.getdoc(method)} [`{file}`](../{file})"
        yield ""
        yield "```text"
        yield inspect.cleandoc(module.__doc__ or "")
        yield "```"
        yield ""
        config = getattr(method, "Config", None)
        if dataclasses.is_dataclass(config):
            if prefix:
                yield f"Options: `{prefix.format(name)}...=`"
                yield ""
            yield from options(config)


def methods_page() -> str:
    """docs/methods.md."""
    edits = {n: m for n, m in OBJECTIVES.items() if issubclass(m, Edit)}
    objectives = {n: m for n, m in OBJECTIVES.items() if n not in edits}
    parts = [
        NOTICE,
        "# Methods",
        "",
        "Each in a file of its own, with formula, source, defaults and limits. Where a public "
        "implementation differs from its paper, the page says which is which.",
        "",
        *section(
            "Objectives",
            "Losses that training minimises, in any region: `objectives=[npo,graddiff]`. The "
            "retain term of each is `nll`, `kl` or `hidden` (`unlearn.options.NAME.retain`).",
            objectives,
            "unlearn.options.{}.",
        ),
        *section(
            "Edits",
            "Without training. Their learning rate is their strength: 0 is the identity, 1 the "
            "edit as published.",
            edits,
            "unlearn.options.{}.",
        ),
        *section(
            "Wrappers",
            "Around any objective, in its name: `objectives=[npo+sam]`. A wrapped objective has "
            "rows and a search of its own.",
            WRAPPERS,
            "unlearn.wrap.{}.",
        ),
        *section(
            "Localizers",
            "Rank value vectors (or single weights); all get the same budget. `norm`, `random`, "
            "`random_layers` and `complement` are controls; `oracle` and `drift` are privileged.",
            LOCALIZERS,
            "localize.{}.",
        ),
        *section("Attacks", "What brings facts back: `attack.*`.", ATTACKS, ""),
        *section("Data", "Where facts come from: `data=NAME`.", DATA, "data."),
        *section("Protocols", "How facts are planted: `protocol=NAME`.", PROTOCOLS, ""),
        "## Tables",
        "What a report holds, in the order of its page; `artifacts/STUDY/tables/NAME.csv`.",
        "",
        "| table | what it shows |",
        "|---|---|",
        *(f"| `{name}` | {table.title} |" for name, table in TABLES.items()),
    ]
    return "\n".join(parts).rstrip() + "\n"


def configuration_page() -> str:
    """docs/configuration.md."""
    lines = [NOTICE, "# Configuration", "", KEYS_HELP, ""]
    group = ""
    for key in keys():
        first = key.name.partition(".")[0]
        if first != group:
            group = first
            lines += ["", f"## `{group}`", "| key | type | default | meaning |", "|---|---|---|---|"]
        text = key.help.replace("|", "\\|")
        lines.append(f"| `{key.name}` | {key.type} | `{key.default}` | {text} |")
    return "\n".join(lines).rstrip() + "\n"


def tree() -> str:
    """The annotated tree of the README: a clause a package, from its docstring."""
    rows = [(f"{name}/", _clause(ROOT / name / "__init__.py")) for name in PACKAGES]
    lines = []
    for (name, clause), package in zip(rows, PACKAGES, strict=True):
        lines.append((name, clause))
        for path in sorted((ROOT / package).iterdir()):
            if (path / "__init__.py").is_file():
                lines.append((f"  {path.name}/", _clause(path / "__init__.py")))
            elif path.suffix == ".py" and not path.name.startswith("__"):
                lines.append((f"  {path.name}", _clause(path)))
    lines += list(FOLDERS.items())
    width = max(len(name) for name, _ in lines) + 2
    return "".join(f"    {name:<{width}}{clause}\n" for name, clause in lines)


def _clause(file: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    first = " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
    return first[:1].lower() + first[1:] if first[1:2].islower() else first


def readme_page() -> str:
    """README.md with its tree made anew."""
    text = (ROOT / "README.md").read_text()
    head, rest = text.split(TREE[0])
    return head + TREE[0] + tree() + TREE[1] + rest.split(TREE[1])[1]


PAGES = {
    "docs/methods.md": methods_page,
    "docs/configuration.md": configuration_page,
    "README.md": readme_page,
}
"""File -> what it should hold."""


if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / name).write_text(page())
        print(name)
