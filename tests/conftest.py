"""One thread, marks by folder, and skips for lack of something named.

Tests share the machine, and tiny matrices gain nothing from more threads.
"""

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, here or by a process of ours
os.environ.pop("LACUNA_ARTIFACTS", None)  # the image's, and no test's business

import pytest
import torch
from support.needs import NEEDS, is_met

HERE = Path(__file__).parent
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder (unit, integration, style) and by the kinds of its needs."""
    for item in items:
        item.add_marker(item.path.relative_to(HERE).parts[0])
        for mark in item.iter_markers("needs"):
            item.add_marker(NEEDS[mark.args[0]].kind)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The one place where tests are skipped."""
    for mark in item.iter_markers("needs"):
        if not is_met(mark.args[0]):
            pytest.skip(NEEDS[mark.args[0]].reason)


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite tracking store for all tests: to make its schema takes seconds."""
    from sweeps.tracking.client import prepare

    uri = f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"
    prepare(uri)
    return uri
