"""The register of a study's plans: written before its first test trial, and only added to.

`STUDY/registered.json` holds every plan that the study was run with, in order of time, each with
its sha256. The first of a subject (data, model, protocol) is the one that reports are held to.
"""

from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from lacuna.artifacts import digest, read_json, write_json
from lacuna.errors import UserError
from lacuna.report.claims.registration import planned
from lacuna.results import Registration, StudyPlan
from sweeps.plan.planner import Planner
from sweeps.secrets import redacted_values

REGISTER = "registered.json"


def plan_of(planner: Planner) -> StudyPlan:
    """What the planned study will claim."""
    config = planner.config
    subject = {
        "data": planner.stages.digest,
        "model": digest(planner.stages.identity),
        "protocol": config.protocol,
    }
    return planned(redacted_values(asdict(config)), config.margins, subject)


def register(folder: Path, plan: StudyPlan, known: Collection[str]) -> Registration:
    """Put the plan down if it is new; returns the one that holds, the first of its subject.

    `known` are the keys of test trials that have a result already. Raises `UserError` where the
    register was changed by hand.
    """
    path, sha256 = folder / REGISTER, digest(plan)
    plans: list[Registration] = read_json(path)["plans"] if path.is_file() else []
    for one in plans:
        if digest(one["plan"]) != one["sha256"]:
            raise UserError(
                f"{path}: the plan of {one['registered']} was changed after it was registered: put "
                f"the file back, or run the study below another artifacts="
            )
    if all(one["sha256"] != sha256 for one in plans):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        plans.append({"sha256": sha256, "registered": now, "known": len(known), "plan": plan})
        write_json(path, {"plans": plans})
    return next(one for one in plans if one["plan"]["subject"] == plan["subject"])
