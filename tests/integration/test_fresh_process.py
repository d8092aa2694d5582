"""What only a process of its own can tell: what an import brings, and what a hash seed changes."""

import pytest
from support.tiny import elsewhere

from lacuna.data import DATA


def test_to_plan_and_to_look_a_stage_up_needs_nothing_that_is_slow_to_import() -> None:
    said = elsewhere(
        "import sys, sweeps.engine.worker\n"
        "from sweeps.cli import main\n"
        "assert main(['plan', 'smoke', 'artifacts=nowhere']) == 0\n"
        "slow = {'datasets', 'mlflow', 'peft', 'ray', 'scipy.stats', 'transformers'}\n"
        "print(sorted(slow & sys.modules.keys()))"
    )
    assert "plan of study smoke: nothing is trained" in said
    assert said.splitlines()[-1] == "[]"


def test_importing_every_module_of_the_library_brings_no_orchestration() -> None:
    assert (
        elsewhere(
            "import importlib, pkgutil, sys, lacuna\n"
            "for module in pkgutil.walk_packages(lacuna.__path__, 'lacuna.'):\n"
            "    importlib.import_module(module.name)\n"
            "forbidden = {'ray', 'mlflow', 'hydra', 'omegaconf', 'sweeps'}\n"
            "print(sorted(forbidden & sys.modules.keys()), 'lacuna.pipeline' in sys.modules)"
        )
        == "[] True"
    )


@pytest.fixture(scope="module")
def told() -> list[str]:
    """Digests of what another process generates, whose hashes of strings differ from ours."""
    return elsewhere(
        "from lacuna.data import DATA\n"
        "for name in ('synthetic', 'profiles'):\n"
        "    print(DATA[name].load(DATA[name].Config(seed=5)).digest())"
    ).splitlines()


@pytest.mark.parametrize(("place", "name"), [(0, "synthetic"), (1, "profiles")])
def test_another_process_generates_the_same_bytes(place: int, name: str, told: list[str]) -> None:
    source = DATA[name]
    digests = [source.load(source.Config(seed=seed)).digest() for seed in (5, 6)]
    assert digests[0] == told[place] != digests[1]
