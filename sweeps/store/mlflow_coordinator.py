"""A coordinator on an MLflow registry: registered-model names are unique there, in one atomic
step, which its tags are not."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from sweeps.store.coordinator import NameCoordinator
from sweeps.tracking.client import create_name, patiently

if TYPE_CHECKING:
    from sweeps.tracking.client import MlflowClient


class MlflowCoordinator(NameCoordinator):
    """Works across processes, drivers and hosts."""

    def __init__(self, client: "MlflowClient", store: str = "store", session: str = "") -> None:
        """`client` is connected (`sweeps.tracking.client.connect`), its schema made."""
        super().__init__(store, session)
        self.client = client

    def create(self, name: str, tags: Mapping[str, str], attempts: int = 4) -> bool:
        """A registered model without versions."""
        return create_name(self.client, name, tags, attempts)

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Each in a request of its own."""
        for tag, value in tags.items():
            patiently(partial(self.client.set_registered_model_tag, name, tag, value))

    def search(self, prefix: str) -> dict[str, dict[str, str]]:
        """One search, a page per 1,000 names."""
        found: dict[str, dict[str, str]] = {}
        token = None
        while True:
            search = partial(
                self.client.search_registered_models,
                f"name LIKE '{prefix}%'",
                max_results=1000,
                page_token=token,
            )
            page = patiently(search)
            found |= {model.name.removeprefix(prefix): dict(model.tags) for model in page}
            token = page.token
            if not token:
                return found
