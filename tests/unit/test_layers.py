"""The arrows between stages: read from the imports, and proved in a fresh process."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGES = [
    "data",
    "model",
    "region",
    "train",
    "inject",
    "localize",
    "unlearn",
    "evaluate",
    "attack",
    "significance",
    "report",
    "audit",
]
CONTENTS = "pipeline"
"""The table of contents: it may import every stage but the report."""
FLOOR = {"errors", "registry", "seeds", "artifacts", "tensors", "__version__"}
ORCHESTRATION = {"ray", "mlflow", "hydra", "omegaconf", "sweeps"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports anywhere, but for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imported(ast.Module([other], []))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node)


def allowed(place: str) -> set[str]:
    """What a file or folder of the library may import from the library."""
    if place in FLOOR or place == "__init__":
        return FLOOR
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
        "lacuna/unlearn/npo.py": "def late():\n    import ray.tune\n",
        "lacuna/pipeline/trial.py": "from lacuna.report import page\n"
        "from lacuna.attack import attack\n",
        "lacuna/data/base.py": "from typing import TYPE_CHECKING\nfrom lacuna.errors import U\n"
        "if TYPE_CHECKING:\n    import mlflow\n",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert backward_arrows(tmp_path) == [
        "lacuna/pipeline/trial.py imports lacuna.report.page",
        "lacuna/region/draw.py imports lacuna.evaluate.read",
        "lacuna/seeds.py imports lacuna.data",
        "lacuna/unlearn/npo.py imports ray.tune",
    ]


def test_two_modules_import_ray_and_one_imports_mlflow() -> None:
    """`gang` runs inside a worker and knows Ray Train; `engine` drives, and knows Tune."""
    assert importers(ROOT, "ray") == {"sweeps/engine.py", "sweeps/gang.py"}
    assert importers(ROOT, "mlflow") == {"sweeps/tracking.py"}


def test_importing_every_module_of_the_library_brings_no_orchestration() -> None:
    code = (
        "import importlib, pkgutil, sys, lacuna\n"
        "for module in pkgutil.walk_packages(lacuna.__path__, 'lacuna.'):\n"
        "    importlib.import_module(module.name)\n"
        f"print(sorted({ORCHESTRATION} & sys.modules.keys()), 'lacuna.pipeline' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[] True", result.stderr
