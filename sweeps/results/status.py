"""How far a study is, seen from anywhere that sees its store: nothing is run or written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lacuna.errors import UserError
from sweeps.errors import CoordinatorError
from sweeps.plan.estimate import estimate_study, foreseen, records_of
from sweeps.plan.planner import Planner
from sweeps.stage import Stage
from sweeps.store.lease import Lease, is_killed

SHOWN = 10
"""Stages that are named, of those that run and of those that failed."""


@dataclass(frozen=True)
class Standing:
    """The stages of one kind."""

    kind: str
    total: int
    done: int
    running: list[Stage]
    failed: list[tuple[Stage, str]]
    """Those whose last attempt failed or lost its process, with the reason."""


def standings(planner: Planner) -> list[Standing]:
    """Each kind of stage, as it stands now. Raises `UserError` where the records cannot be read."""
    _, coordinators, source = records_of(planner)
    done: set[str] = set()
    leases: dict[str, Lease] = {}
    for coordinator in coordinators:
        try:
            done |= coordinator.all_committed().keys()
            leases |= coordinator.newest_leases()
        except CoordinatorError as error:
            raise UserError(f"{source} does not answer ({error}): start its server") from error
    return [_standing(kind, groups, done, leases) for kind, groups in foreseen(planner).items()]


def _standing(
    kind: str, groups: list[list[Stage]], done: set[str], leases: Mapping[str, Lease]
) -> Standing:
    """Of a stage that is known as one of several, such as a test at a rate to be found, any."""
    missing = [group for group in groups if not any(stage.key in done for stage in group)]
    claimed = [(s, leases[s.key]) for s in _each(missing) if s.key in leases]
    return Standing(
        kind,
        len(groups),
        len(groups) - len(missing),
        [stage for stage, lease in claimed if lease.state == "held" and not is_killed(lease)],
        [
            (stage, lease.reason or "its process has ended")
            for stage, lease in claimed
            if lease.state == "failed" or is_killed(lease)
        ],
    )


def _each(groups: list[list[Stage]]) -> Iterator[Stage]:
    seen: set[str] = set()
    for group in groups:
        for stage in group:
            if stage.key not in seen:
                seen.add(stage.key)
                yield stage


def report(planner: Planner) -> list[str]:
    """The study's standing as lines for people."""
    found = standings(planner)
    total, done = sum(one.total for one in found), sum(one.done for one in found)
    left = sum(row.seconds for row in estimate_study(planner).rows) / 3600
    lines = [f"{planner.config.study}: {done} of {total} stages done, about {left:.2g} hours left"]
    lines[0] += " if run one after the other" if done < total else ""
    lines.append(f"{'stage':<10}{'done':>10}{'running':>10}{'failed':>10}")
    for one in found:
        share = f"{one.done}/{one.total}"
        lines.append(f"{one.kind:<10}{share:>10}{len(one.running):>10}{len(one.failed):>10}")
    running = [stage.label for one in found for stage in one.running]
    failed = [f"{stage.label}: {reason}" for one in found for stage, reason in one.failed]
    for title, named in (("running", running), ("failed", failed)):
        more = [f"and {len(named) - SHOWN} more"] if len(named) > SHOWN else []
        lines += [f"{title}: {text}" for text in [*named[:SHOWN], *more]]
    return lines
