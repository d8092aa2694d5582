"""Families of claims: what each says, when it holds, and what a study has to say on it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from lacuna.registry import Registry
from lacuna.report.claims.rules import Rule, decide, sides
from lacuna.report.results import Margins, Results
from lacuna.results import Claim, Paired
from lacuna.significance import Assay, p_value


@dataclass(frozen=True, kw_only=True)
class Family:
    """Claims of one form: one rule and one margin, whatever cells they are about."""

    name: str
    sentence: str
    """What they say together, as the headline begins."""
    source: str
    """The paper that makes them."""
    difference: str
    """What is judged: mean over seeds of one number minus another."""
    rule: Rule
    """What the difference's interval has to say for a claim to hold."""
    margin: Callable[[Margins], float]
    """Half-width around zero of differences too small to matter."""
    primary: bool = True
    """Whether it is the outcome that its question was asked for; others are secondary."""


@dataclass(frozen=True)
class Judged:
    """A claim judged by itself, and what the correction for its family needs."""

    claim: Claim
    p_holds: float | None
    """One-sided p that it holds; None where it cannot be decided."""
    p_fails: float | None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a study has to say on one claim."""

    family: Family
    about: str
    """The cells it is about: `npo at 0.1`."""
    statement: str
    """The claim in a sentence."""
    record: Paired
    """The difference that decides."""
    keys: Sequence[str]
    """Of the stages that it comes from."""
    remarks: str = ""
    """What a reader needs beside the difference."""
    assay: Assay | None = None
    """Of a claim about an attack: whether it could have shown a difference."""
    primary: bool = True
    """Whether it is its family's one primary outcome for the objective."""

    def judged(self, margins: Margins) -> Judged:
        """The claim by itself, as it stands in verdict.json but for the family's correction."""
        family, record, margin = self.family, self.record, self.family.margin(margins)
        found = decide(record, family.rule, margin, self.assay)
        holds, fails = sides(record, family.rule, margin)
        decidable = found.verdict != "undetermined" or self._open_by_interval(margin)
        claim: Claim = {
            "claim": f"{family.name}: {self.about}",
            "family": family.name,
            "about": self.about,
            "statement": self.statement,
            "source": family.source,
            "effect": record["diff"],
            "interval": record["interval"],
            "role": "primary" if family.primary and self.primary else "secondary",
            "p": p_value(record),
            "p_holm": None,
            "p_bh": None,
            "p_blocks": record["p_blocks"],
            "p_sign_flip": record["p_sign_flip"],
            "n": record["n_seeds"],
            "seeds": list(record["seeds"]),
            "test": _test(record),
            "margin": margin,
            "verdict": found.verdict,
            "reason": f"{found.reason}.{self.remarks}",
            "exploratory": None,
            "keys": list(self.keys),
        }
        return Judged(claim, holds if decidable else None, fails if decidable else None)

    def _open_by_interval(self, margin: float) -> bool:
        """Whether the interval leaves the claim open, rather than an obstacle or the assay."""
        found = decide(self.record, self.family.rule, margin)
        judged = decide(self.record, self.family.rule, margin, self.assay)
        return self.record["interval"] is not None and found == judged


def _test(record: Paired) -> str:
    people = " and people" if record["interval_method"] == "two-way t" else ""
    floors = [
        f"{name} p cannot be below {least:.3g}"
        for name, least in (("sign-flip", record["p_min"]), ("blocks", record["p_blocks_min"]))
        if least is not None
    ]
    return "; ".join([f"t over seeds{people}", *floors])


class Claims:
    """Families judged side by side. Subclasses declare what stands here and define `evidence`."""

    order: ClassVar[int] = 1000
    """Place in the verdict: lowest first."""
    families: ClassVar[tuple[Family, ...]]

    @staticmethod
    def evidence(results: Results) -> Iterable[Evidence]:
        """Every claim that the study has cells for, in the order of the verdict."""
        raise NotImplementedError


CLAIMS: Registry[type[Claims]] = Registry("claim")


def in_order() -> list[type[Claims]]:
    """All registered claims, in the order of the verdict."""
    return [CLAIMS[name] for name in sorted(CLAIMS, key=lambda name: (CLAIMS[name].order, name))]


def families() -> list[Family]:
    """All families, in the order of the verdict."""
    return [family for claims in in_order() for family in claims.families]


def unpaired(n: int, reason: str) -> Paired:
    """The record of a difference that was never taken, of n seeds."""
    return {
        "n_seeds": n,
        "seeds": [],
        "missing": [reason],
        "values_a": [],
        "values_b": [],
        "mean_a": None,
        "sd_a": None,
        "mean_b": None,
        "sd_b": None,
        "abs_diff_mean": None,
        "abs_diff_sd": None,
        "diff": None,
        "diff_sd": None,
        "interval": None,
        "interval_method": "t",
        "standard_error": None,
        "df": None,
        "p_sign_flip": None,
        "p_min": None,
        "p_blocks": None,
        "p_blocks_min": None,
    }
