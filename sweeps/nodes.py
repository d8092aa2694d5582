"""What a stage asks of a cluster, checked before it would wait for ever."""

import socket
from collections.abc import Mapping

from lacuna.errors import UserError
from sweeps.graph import Stage

PATIENCE = 10.0  # seconds; Ray itself would try for minutes


def check_address(address: str) -> None:
    """Raises `UserError` unless something listens at `address` (HOST:PORT)."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UserError(f"address={address} is not HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError as error:
        raise UserError(
            f"nothing answers at address={address} ({error}): start one with `ray start --head`"
        ) from error


def resources_of(stage: Stage) -> dict[str, float]:
    """What a stage asks of one node, in Ray's names."""
    return {"CPU": stage.cpus} | ({"GPU": stage.gpus} if stage.gpus else {})


def check_fits(stage: Stage, nodes: list[dict[str, float]]) -> None:
    """Raises `UserError` for a stage that no node can hold: Ray would let it wait for ever."""
    needs = resources_of(stage)
    if any(all(node.get(name, 0) >= need for name, need in needs.items()) for node in nodes):
        return
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in needs}
    raise UserError(
        f"{stage.label} needs {_amounts(needs)}, but no Ray node has that (most: {_amounts(most)}):"
        f" lower resources or resources.{stage.kind}, or join a cluster that has it (address=...)"
    )


def _amounts(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in resources.items())
