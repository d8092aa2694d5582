"""The arrows between packages, read from the imports."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from support import ROOT

STAGES = [
    "data",
    "model",
    "region",
    "train",
    "inject",
    "localize",
    "unlearn",
    "evaluate",
    "guard",
    "attack",
    "significance",
    "report",
    "audit",
]
CONTENTS = "pipeline"
"""The table of contents: it may import every stage but the report."""
FLOOR = {
    "errors",
    "costs",
    "registry",
    "seeds",
    "artifacts",
    "tensors",
    "model_types",
    "results",
    "__version__",
}
SCHEMAS = "schemas"
"""Made from the types of all stages; nothing is made from them."""
ORCHESTRATION = {"ray", "mlflow", "hydra", "omegaconf", "sweeps"}
SLOW = {
    "datasets",
    "deepspeed",
    "mlflow",
    "optuna",
    "peft",
    "ray",
    "rouge_score",
    "transformers",
}
"""What takes long to import: imported where it is used, and by whom it is."""
PACKAGES = [
    "secrets",
    "errors",
    "process",
    "watch",
    "text",
    "stage",
    "paths",
    "config",
    "tracking",
    "store",
    "plan",
    "engine",
    "results",
    "study",
    "scan",
    "cli",
    "__main__",
]
"""Of `sweeps/`, in order: each may import itself and those before it. A package's own `__main__` is
a command, and so stands last."""


def imported(tree: ast.AST, late: bool = True) -> Iterator[str]:
    """Dotted names that a module imports anywhere, but for type checkers only.

    Unless `late`, those that functions import when they are called are left out.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and not late:
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imported(ast.Module([other], []), late)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node, late)


def allowed(place: str) -> set[str]:
    """What a file or folder of the library may import from the library."""
    if place in FLOOR or place == "__init__":
        return FLOOR
    if place == SCHEMAS:
        return {*FLOOR, *STAGES, SCHEMAS}
    if place in STAGES:
        return {*FLOOR, *STAGES[: STAGES.index(place) + 1]}
    return {*FLOOR, *STAGES, CONTENTS} - {"report"}


def backward_arrows(root: Path) -> list[str]:
    """Imports that break the order of stages or bring orchestration into the library."""
    found = []
    for file in sorted((root / "lacuna").rglob("*.py")):
        place = file.relative_to(root / "lacuna").parts[0].removesuffix(".py")
        for name in imported(ast.parse(file.read_text())):
            first, *rest = name.split(".")
            if first in ORCHESTRATION or (first == "lacuna" and rest[0] not in allowed(place)):
                found.append(f"{file.relative_to(root)} imports {name}")
    return found


def backward_arrows_of_sweeps(root: Path) -> list[str]:
    """Imports between packages of `sweeps/` that go against their order."""
    found = []
    for file in sorted((root / "sweeps").rglob("*.py")):
        place = file.relative_to(root / "sweeps").parts[0].removesuffix(".py")
        place = "__main__" if file.name == "__main__.py" else place
        if place == "__init__":
            continue
        before = PACKAGES[: PACKAGES.index(place) + 1]
        for name in imported(ast.parse(file.read_text())):
            first, *rest = name.split(".")
            if first == "sweeps" and rest[0] not in before:
                found.append(f"{file.relative_to(root)} imports {name}")
    return found


def circles(root: Path, package: str) -> list[list[str]]:
    """Groups of modules of a package that import each other, late imports included."""
    files = {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for file in (root / package).rglob("*.py")
    }
    arrows: dict[str, set[str]] = {}
    for module, file in files.items():
        names = {n for name in imported(ast.parse(file.read_text())) for n in _modules(name, files)}
        arrows[module] = names - {module}
    reach = {module: _reach(module, arrows) for module in arrows}
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in arrows if a in reach[a]}
    return [list(group) for group in sorted(groups)]


def _modules(name: str, files: Mapping[str, Path]) -> Iterator[str]:
    """The module that an imported name is, or lies in; a package stands for its `__init__`."""
    if name in files:
        yield name
    elif name.rpartition(".")[0] in files:
        yield name.rpartition(".")[0]


def _reach(module: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """All that a module imports, at any distance."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for other in arrows[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def importers(root: Path, package: str) -> set[str]:
    """Files of the orchestration that import a package, late imports included."""
    return {
        str(file.relative_to(root))
        for file in (root / "sweeps").rglob("*.py")
        if any(n.split(".")[0] == package for n in imported(ast.parse(file.read_text())))
    }


def test_a_stage_imports_only_stages_before_it_and_the_floor() -> None:
    assert all((ROOT / "lacuna" / stage / "__init__.py").is_file() for stage in STAGES)
    assert backward_arrows(ROOT) == []


def test_the_check_bites_on_a_backward_arrow_a_late_one_and_a_banned_package(
    tmp_path: Path,
) -> None:
    sources = {
        "lacuna/region/draw.py": "from lacuna.evaluate import read\n",
        "lacuna/seeds.py": "from lacuna import data\n",
        "lacuna/unlearn/objectives/npo.py": "def late():\n    import ray.tune\n",
        "lacuna/pipeline/trials.py": "from lacuna.report import page\n"
        "from lacuna.attack import attack\n",
        "lacuna/data/base.py": "from typing import TYPE_CHECKING\nfrom lacuna.errors import U\n"
        "if TYPE_CHECKING:\n    import mlflow\n",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert backward_arrows(tmp_path) == [
        "lacuna/pipeline/trials.py imports lacuna.report.page",
        "lacuna/region/draw.py imports lacuna.evaluate.read",
        "lacuna/seeds.py imports lacuna.data",
        "lacuna/unlearn/objectives/npo.py imports ray.tune",
    ]


def test_packages_of_the_orchestration_import_only_those_before_them() -> None:
    assert backward_arrows_of_sweeps(ROOT) == []


def test_no_two_modules_import_each_other() -> None:
    assert circles(ROOT, "sweeps") == circles(ROOT, "lacuna") == []


def test_the_search_for_circles_bites(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    sources = {"a": "from sweeps.b import x\n", "b": "def late():\n    import sweeps.a\n", "c": ""}
    for name, text in sources.items():
        (tmp_path / "sweeps" / f"{name}.py").write_text(text)
    assert circles(tmp_path, "sweeps") == [["sweeps.a", "sweeps.b"]]


def at_once(root: Path) -> list[str]:
    """Modules that import something slow as soon as they are imported themselves."""
    return [
        f"{file.relative_to(root)} imports {name}"
        for package in ("lacuna", "sweeps")
        for file in sorted((root / package).rglob("*.py"))
        for name in imported(ast.parse(file.read_text()), late=False)
        if name.split(".")[0] in SLOW
    ]


def test_what_is_slow_to_import_is_imported_where_it_is_used() -> None:
    found = at_once(ROOT)
    assert {name.split()[0] for name in found} == {"sweeps/engine/execute.py"}
    assert len(found) == 2, "transformers and peft, in workers that execute a stage"


def test_the_check_for_slow_imports_bites_at_once_and_not_later(tmp_path: Path) -> None:
    (tmp_path / "lacuna").mkdir()
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ray\n"
    late = "def load():\n    from transformers import AutoModel\n"
    sources = {"late": late, "now": "import peft.tuners\n", "typed": typed}
    for name, text in sources.items():
        (tmp_path / "lacuna" / f"{name}.py").write_text(text)
    assert at_once(tmp_path) == ["lacuna/now.py imports peft.tuners"]


def test_one_package_imports_ray_and_one_imports_mlflow() -> None:
    assert {Path(name).parent.as_posix() for name in importers(ROOT, "ray")} == {
        "sweeps/engine/on_ray"
    }
    assert {Path(name).parts[1] for name in importers(ROOT, "mlflow")} == {"tracking"}
