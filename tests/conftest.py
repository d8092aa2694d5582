"""One thread, marks by folder, and skips for lack of something named.

Tests share the machine, and tiny matrices gain nothing from more threads.
"""

import gc
import os
from datetime import timedelta
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, here or by a process of ours
os.environ.pop("LACUNA_ARTIFACTS", None)  # the image's, and no test's business

import pytest
import torch
from hypothesis import HealthCheck, settings
from support.needs import NEEDS, is_met

HERE = Path(__file__).parent
FOLDERS = ("integration", "style", "project", "unit")
"""In the order in which they run: the longest tests first, so that no core waits for the last."""
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--whole`: all of what the suite tries a share of (hostile values, mutated files)."""
    parser.addoption("--whole", action="store_true", help="try all, where a share is tried")


def pytest_configure(config: pytest.Config) -> None:
    """What hypothesis tries: the same each time, few; with `--whole` many."""
    for name, examples in (("share", 20), ("whole", 1000)):  # a test makes two or more files each
        settings.register_profile(
            name,
            max_examples=examples,
            deadline=timedelta(seconds=10),
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
    settings.load_profile("whole" if config.getoption("--whole") else "share")


def folder_of(path: Path) -> str:
    """The folder of tests/ in which something lies; empty for tests/ itself."""
    return next(iter(path.relative_to(HERE).parts), "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder and by the kinds of its needs; files of slow ones run first."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, FOLDERS.index(folder_of(item.path))))
    for item in items:
        item.add_marker(folder_of(item.path))
        for mark in item.iter_markers("needs"):
            item.add_marker(NEEDS[mark.args[0]].kind)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m unit` files of the other folders, all of whose tests it leaves out, are not read."""
    asked, folder = config.option.markexpr, folder_of(collection_path)
    return True if asked in FOLDERS and folder in FOLDERS and folder != asked else None


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # of what tests make, little is in cycles, and all of it small


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The one place where tests are skipped."""
    for mark in item.iter_markers("needs"):
        if not is_met(mark.args[0]):
            pytest.skip(NEEDS[mark.args[0]].reason)


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite tracking store for all tests."""
    from support.stores import new_database

    return new_database(tmp_path_factory.mktemp("tracking") / "mlflow.db")
