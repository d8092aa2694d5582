"""`lacuna store ls|verify|gc`: what the store holds, whether it is whole, what can go."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.words import StorePlace, chosen, ending, root_of, show

if TYPE_CHECKING:
    from sweeps.store.lease import Coordinator
    from sweeps.store.store import Store


@ending("stopped")
def ls(settings: StorePlace = None) -> int:
    """List the published results, a line each.

    Kind, label, key, attempt, size, age, MLflow run."""
    store = _open("ls", settings)
    from sweeps.store.upkeep import listing

    show(listing(store))
    return 0


@ending("stopped")
def verify(settings: StorePlace = None) -> int:
    """Read every byte and name what is damaged (exit status 1).

    Damaged results are set aside: the next study that needs them makes them anew."""
    store = _open("verify", settings)
    from sweeps.store.upkeep import verify as read

    return 1 if read(store, print) else 0


@ending("stopped")
def gc(
    settings: StorePlace = None,
    hours: Annotated[
        float, typer.Option(min=0.0, help="Only what was last touched longer ago.")
    ] = 24.0,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it.")] = False,
) -> int:
    """List what no study can use; --delete removes it.

    Results that were never published, set aside or half-written."""
    store = _open("gc", settings)
    from sweeps.store.upkeep import collect

    collect(store, hours, delete, print)
    return 0


def _open(command: str, settings: Sequence[str] | None) -> "Store[Coordinator]":
    values = chosen(command, settings, "artifacts", "store", "tracking_uri")
    from sweeps.store.upkeep import open_store

    return open_store(root_of(values), values["store"] or None, values["tracking_uri"] or None)
