"""Pages that are made from the code: `python docs/generate.py`, from the repository's root.

`tests/project/test_docs.py` fails where one of them is stale.
"""

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import calibration  # noqa: E402

from lacuna.attack import ATTACKS  # noqa: E402
from lacuna.data import DATA  # noqa: E402
from lacuna.localize import LOCALIZERS  # noqa: E402
from lacuna.report.tables import TABLES  # noqa: E402
from lacuna.unlearn import OBJECTIVES, WRAPPERS  # noqa: E402
from lacuna.unlearn.edits.base import Edit  # noqa: E402
from sweeps.cli import reference  # noqa: E402
from sweeps.config.keys import field_help, keys  # noqa: E402
from sweeps.plan.protocols import PROTOCOLS  # noqa: E402

NOTICE = "<!-- Made by docs/generate.py; edit the code instead. -->\n"
HEAD = ("| key | type | default | meaning |", "|---|---|---|---|")
TREE = ("<!-- tree -->\n", "<!-- /tree -->")
"""Marks in README.md around the annotated tree."""
PACKAGES = ("lacuna", "sweeps")
ROOM = 76
"""Columns that a clause of the tree may take."""
FOLDERS = {
    "docker/": "locked requirements, image check, cluster files",
    "docs/": "these pages; generated ones say so",
    "examples/": "a whole experiment on one screen",
    "tests/": "unit tests mirror the packages; integration tests run whole studies",
    "benchmarks/": "speed as ratios measured in one run; proofs of the engine under faults",
    "artifacts/": "what studies write; git ignores it",
}


def default_of(field: "dataclasses.Field[object]") -> object:
    """A field's default; MISSING where it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def value_text(value: object) -> str:
    """A value as a user would type it."""
    if value is dataclasses.MISSING or value == "???":
        return "required"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, dict):
        return "{}" if not value else ",".join(f"{k}: {value_text(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def options(config: type) -> Iterator[str]:
    """A table of a method's options."""
    rows = [field for field in dataclasses.fields(config) if not _nested(field)]
    if not rows:
        return
    help_of = field_help(config)
    yield "| option | default | meaning |"
    yield "|---|---|---|"
    for field in rows:
        text = help_of.get(field.name, "").replace("|", "\\|")
        yield f"| `{field.name}` | `{value_text(default_of(field))}` | {text} |"
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
        if not method.__module__.startswith(PACKAGES):  # installed here, and not ours
            continue
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
            "`random_layers` and `complement` are controls; `oracle`, `drift` and the doses are "
            "privileged.",
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
        *(f"| `{name}` | {table.title} |" for name, table in _tables()),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _tables() -> list[tuple[str, type]]:
    """Our tables in the order of the page."""
    ours = [(n, t) for n, t in TABLES.items() if t.__module__.startswith(PACKAGES)]
    return sorted(ours, key=lambda item: item[1].order)


def configuration_page() -> str:
    """docs/configuration.md."""
    lines = [
        NOTICE,
        "# Configuration",
        "",
        "Every key that `lacuna run`, `./reproduce.sh` and `python -m sweeps` take as `key=value`. "
        "An unknown key is refused with the nearest that exists. Defaults are the code's; "
        "`lacuna config STUDY` prints what a study, model and recipe make of them, and from which "
        "file each value comes. Options of methods are on [their page](methods.md).",
    ]
    group = ""
    for key in keys():
        first, _, rest = key.name.partition(".")
        if key.section or rest.startswith(("options.", "wrap.")) or first == "localize":
            continue
        if rest and first != group or not rest and group != "study":
            group = first if rest else "study"
            title = group if rest else "The study"
            lines += [
                "",
                f"## {title}",
                "",
                "| key | type | default | meaning |",
                "|---|---|---|---|",
            ]
        text = key.help.replace("|", "\\|")
        text = f"{text} (with `{key.only_with}`)" if key.only_with else text
        kind = key.type.replace("|", "\\|")
        lines.append(f"| `{key.name}` | {kind} | `{value_text(key.default)}` | {text} |")
    return "\n".join(lines).rstrip() + "\n"


def commands_page() -> str:
    """docs/commands.md."""
    lines = [
        NOTICE,
        "# Commands",
        "",
        "`./reproduce.sh [STUDY]`, `report`, `compare`, `audit`, `ui`, `test` and `setup` are the "
        "same from a fresh checkout: they make the environment first. Exit status: 0 done, 1 not, "
        "2 bad input in one line.",
    ]
    for command, text in reference():
        lines += ["", f"## {command}", "", "```text", text.strip(), "```"]
    return "\n".join(lines) + "\n"


def tree() -> str:
    """The annotated tree of the README: a clause a package, from its docstring."""
    rows = [(f"{name}/", _clause(ROOT / name / "__init__.py")) for name in PACKAGES]
    lines = []
    for (name, clause), package in zip(rows, PACKAGES, strict=True):
        lines.append((name, clause))
        for path in sorted((ROOT / package).iterdir()):
            if (path / "__init__.py").is_file():
                lines.append((f"  {path.name}/", _clause(path / "__init__.py")))
    lines += list(FOLDERS.items())
    width = max(len(name) for name, _ in lines) + 2
    return "".join(f"    {name:<{width}}{clause}\n" for name, clause in lines)


def _clause(file: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    first = " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
    first = re.sub(r"^[A-Z][a-z]+: ", "", first)  # the folder's own name
    while len(first) > ROOM:
        first = re.split(r"[:;,](?=[^:;,]*$)", first)[0]
    return first[:1].lower() + first[1:]


def readme_page() -> str:
    """README.md with its tree made anew."""
    text = (ROOT / "README.md").read_text()
    head, rest = text.split(TREE[0])
    return head + TREE[0] + tree() + TREE[1] + rest.split(TREE[1])[1]


PAGES = {
    "docs/methods.md": methods_page,
    "docs/configuration.md": configuration_page,
    "docs/commands.md": commands_page,
    "docs/calibration.md": lambda: calibration.page(NOTICE),
    "README.md": readme_page,
}
"""File -> what it should hold."""


if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / name).write_text(page())
        print(name)
