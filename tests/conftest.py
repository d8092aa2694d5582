"""One thread: tests share the machine, and tiny matrices gain nothing from more."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite tracking store for all tests: to make its schema takes seconds."""
    from sweeps.tracking.client import prepare

    uri = f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"
    prepare(uri)
    return uri
