"""What a stage asks of a cluster, checked before it would wait for ever."""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from lacuna.errors import UserError
from sweeps.stage import Stage

PATIENCE = 10.0  # seconds; Ray itself would try for minutes
BOOTSTRAP = Path("~/ray_bootstrap_config.yaml").expanduser()
Node = Mapping[str, float]
"""Resources by Ray's names: `CPU`, `GPU`, ..."""


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


def node_types(
    file: Path = BOOTSTRAP, environment: Mapping[str, str] = os.environ
) -> Sequence[Node] | None:
    """Resources of the node types an autoscaler may add.

    Empty without an autoscaler; None if they cannot be known from here.

    `ray up` leaves its configuration on the head, where drivers run. A KubeRay cluster does not
    show its own to its pods.
    """
    if not file.is_file():
        return None if "KUBERAY_GEN_RAY_START_CMD" in environment else []
    types = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(types, dict)
    growing = [
        kind.get("resources") or {}
        for kind in types.get("available_node_types", {}).values()
        if kind.get("max_workers", 1)
    ]
    return growing if all(growing) else None  # a cloud knows what an empty entry stands for


def check_fits(stage: Stage, nodes: Sequence[Node], types: Sequence[Node] | None = ()) -> str:
    """What the stage waits for, if an autoscaler has to add a node for it; else an empty text.

    `types` is `node_types`'s answer. Raises `UserError` for a stage that no node can hold, now or
    later: Ray would let it wait for ever.
    """
    needs = resources_of(stage)
    if _some_holds(nodes, needs):
        return ""
    if types is None or _some_holds(types, needs):
        unknown = ", if it has such" if types is None else ""
        return f"{stage.label} waits for the cluster to add a node with {_amounts(needs)}{unknown}"
    nodes = [*nodes, *types]
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in needs}
    raise UserError(
        f"{stage.label} needs {_amounts(needs)}, but no Ray node has that (most: {_amounts(most)}):"
        f" lower resources or resources.{stage.kind}, or join a cluster that has it (address=...)"
    )


def _some_holds(nodes: Iterable[Node], needs: Node) -> bool:
    return any(all(node.get(name, 0) >= need for name, need in needs.items()) for node in nodes)


def _amounts(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in resources.items())
