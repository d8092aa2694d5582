"""Coordinators for the tests of the store."""

from collections.abc import Iterator

import pytest
from support.stores import MemoryCoordinator, new_database

from sweeps.store.coordinator import FolderCoordinator
from sweeps.store.lease import Coordinator
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.tracking.client import connect


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_database(tmp_path_factory.mktemp("mlflow") / "mlflow.db")


@pytest.fixture(params=["memory", "folder", "mlflow"])
def coordinator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Coordinator]:
    """Each coordinator, with no name in it."""
    if request.param == "memory":
        yield MemoryCoordinator()
        return
    if request.param == "folder":
        yield FolderCoordinator(tmp_path_factory.mktemp("records"))
        return
    client = connect(request.getfixturevalue("database"))
    yield MlflowCoordinator(client)
    for model in client.search_registered_models(max_results=1000):
        client.delete_registered_model(model.name)
