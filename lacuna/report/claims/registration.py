"""What a study will claim, by which tests and margins, put down before its first test trial.

A plan is plain values with one sha256 over their canonical JSON: every family of claims with its
estimand, rule, margin and role; how all are tested; seeds and random regions; and the resolved
settings. A report made with anything else says at each claim what changed (`exploratory`): a margin
concerns the claims of its family, seeds and settings concern all. Settings that the registered plan
does not know, because they came with a later version, have no bearing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lacuna.artifacts import canonical
from lacuna.report.claims.family import families
from lacuna.report.results import Margins, Results
from lacuna.results import FamilyPlan, Registration, StudyPlan

TEST = (
    "t over seeds, and over people where measures are made of theirs, two-way; one-sided against "
    "the margin at .025; Holm over a family's claims of one role; undetermined below 3 seeds, "
    "where a value is missing, and where an attack could show nothing"
)
APART = frozenset(
    ["study", "seeds", "regions", "margins", "alarm", "resources", "engine", "artifacts", "store",
     "address", "tracking_uri", "plan", "power", "pilot", "data.path", "model.device",
     "model.source"]
)  # fmt: skip
"""Settings that a plan holds elsewhere, and those that no number depends on: where things lie."""
MOST = 5
"""Changes that are named one by one."""
Plain = Mapping[str, Any]


def planned(config: Plain, margins: Margins, subject: Mapping[str, str]) -> StudyPlan:
    """The plan of a study; `subject` says of which data, model and protocol it is."""
    claims: dict[str, FamilyPlan] = {
        family.name: {
            "sentence": family.sentence,
            "estimand": family.difference,
            "rule": family.rule,
            "margin": family.margin(margins),
            "role": "primary" if family.primary else "secondary",
        }
        for family in families()
    }
    return {
        "subject": dict(subject),
        "claims": claims,
        "test": TEST,
        "seeds": [int(seed) for seed in config.get("seeds", [])],
        "regions": int(config.get("regions", 1)),
        "settings": dict(_settings(config, "")),
    }


def _settings(config: Plain, prefix: str) -> Iterator[tuple[str, object]]:
    """Dotted key and value of every setting that numbers depend on."""
    for name, value in config.items():
        key = f"{prefix}{name}"
        if key in APART:
            continue
        if isinstance(value, Mapping) and value:
            yield from _settings(value, f"{key}.")
        else:
            yield key, value


@dataclass(frozen=True)
class Changes:
    """What is otherwise than in the plan that was registered, by family and in general."""

    registration: Registration | None = None
    by_family: Mapping[str, Sequence[str]] = field(default_factory=dict)
    general: Sequence[str] = ()

    def of(self, family: str) -> str | None:
        """Why the claims of a family are exploratory; None where they are as registered."""
        found = [*self.by_family.get(family, []), *self.general]
        if self.registration is None or not found:
            return None
        more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
        return (
            f"exploratory: {'; '.join([*found[:MOST], *more])} changed since the plan of "
            f"{self.registration['registered']} (sha256 {self.registration['sha256'][:12]})"
        )


def changes(results: Results) -> Changes:
    """What the settings and margins of a report have otherwise than was registered, if it was."""
    if results.registration is None:
        return Changes()
    before = results.registration["plan"]
    now = planned(results.config, results.margins, before["subject"])
    return Changes(results.registration, *_changes(before, now))


def _changes(before: StudyPlan, now: StudyPlan) -> tuple[dict[str, list[str]], list[str]]:
    by_family: dict[str, list[str]] = {}
    for name, family in now["claims"].items():
        if name not in before["claims"]:
            by_family[name] = ["the claim, which is not in it,"]
        elif found := list(_differences(before["claims"][name], family)):
            by_family[name] = found
    general = [
        *_differences(
            {name: before[name] for name in ("test", "seeds", "regions")},
            {name: now[name] for name in ("test", "seeds", "regions")},
        ),
        *_differences(before["settings"], now["settings"]),
    ]
    return by_family, general


def _differences(before: Plain, now: Plain) -> Iterator[str]:
    """`name (value, now value)` of what both have and where they differ."""
    for name, value in before.items():
        if name in now and canonical(value) != canonical(now[name]):
            yield f"{name} ({_text(value)}, now {_text(now[name])})"


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)
