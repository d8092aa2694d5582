"""Checks whether this machine can run a study, before anything is trained."""

import shutil
from pathlib import Path

import torch

from lacuna.attack import asked, leave_out
from lacuna.errors import UserError
from sweeps.plan.estimate import Estimate, Row
from sweeps.plan.planner import Planner
from sweeps.plan.stages import SPREAD
from sweeps.text import size_text


def check_host(estimate: Estimate) -> None:
    """Raises `UserError` if stages that are not stored need a GPU or disk space that is missing.

    On a cluster its nodes are asked instead, by the engine.
    """
    missing = [row for row in estimate.rows if row.stages > row.stored]
    if estimate.planner.config.address is None:
        _gpus(estimate, missing)
    _disk(estimate, missing)


def _gpus(estimate: Estimate, missing: list[Row]) -> None:
    planner = estimate.planner
    needs = {row.kind: row for row in missing if row.memory and row.gpus}
    if not needs:
        return
    largest = max(needs.values(), key=lambda row: row.memory)
    found, reason = _found()
    wanted = max(row.gpus for row in needs.values())
    if found < wanted:
        raise UserError(
            f"study {planner.config.study} on {planner.config.model.source or 'embedded'} needs "
            f"{wanted:g} GPU a stage (the largest, {largest.kind}, takes "
            f"{size_text(largest.memory)} and activations), found {found or 'none'}{reason}: join "
            f"a cluster with address=HOST:PORT, or run study=mini, which needs no GPU"
        )
    room = min(torch.cuda.get_device_properties(i).total_memory for i in range(found))
    for kind, row in needs.items():
        if row.memory > room:
            raise UserError(
                f"stage {kind} of study {planner.config.study} takes {size_text(row.memory)} "
                f"and activations, a GPU here has {size_text(room)}: {_relief(planner, kind)}run a "
                f"smaller model (model=olmo2_1b)"
            )


def _relief(planner: Planner, kind: str) -> str:
    """What a user can set so that a stage of this kind needs less memory; may be empty."""
    ways, config = [], planner.config
    training = {name: each for name, each in asked(config.attack).items() if each.trains_all}
    own = "trial" if kind in ("search", "test") else kind
    spreads = own in SPREAD and own not in planner.protocol.one_device
    if spreads and (own != "trial" or "full" in config.scenarios):
        ways.append(f"spread its training ({SPREAD[own]}.zero=3 {SPREAD[own]}.workers=GPUS)")
    if kind in ("test", "control") and training:
        ways.append(f"attack LoRA weights only ({leave_out(training)})")
    return "".join(f"{way}, or " for way in ways)


def _found() -> tuple[int, str]:
    """Number of GPUs that torch can use; if it fails to start them, its reason in brackets."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return 0, f" ({str(error).strip().split('. ')[0].rstrip('.')})"
    return torch.cuda.device_count(), ""


def _disk(estimate: Estimate, missing: list[Row]) -> None:
    """Checks the store's file system; skipped for URLs, whose free space is unknown."""
    config = estimate.planner.config
    if config.store and "://" in config.store:
        return
    place = Path(config.store or config.artifacts)
    while not place.exists():
        place = place.parent
    needed, free = sum(row.disk for row in missing), shutil.disk_usage(place).free
    if needed > free:
        raise UserError(
            f"study {config.study} will store {size_text(needed)}, {place} has {size_text(free)} "
            f"free: make room, or name another place (store=FOLDER or URL)"
        )
