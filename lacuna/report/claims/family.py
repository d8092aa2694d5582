"""Families of claims: what each says, when it holds, and what a study has to say on it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from lacuna.registry import Registry
from lacuna.report.claims.rules import Position, decide
from lacuna.report.results import Margins, Results
from lacuna.results import Claim, Paired


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
    upheld: frozenset[Position]
    """Where the difference's interval has to lie for a claim to hold."""
    margin: Callable[[Margins], float]
    """Half-width around zero of differences too small to matter."""
    primary: bool = True
    """Whether it is the outcome that its question was asked for; others are secondary."""


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

    def judged(self, margins: Margins) -> Claim:
        """The claim as it stands in verdict.json."""
        family, record, margin = self.family, self.record, self.family.margin(margins)
        verdict, reason = decide(record, family.upheld, margin)
        n, p_min = record["n_seeds"], record["p_min"]
        bound = "" if p_min is None else f" (p cannot be below 2/2^{n} = {p_min:.3g})"
        bootstrap = record["interval_method"] == "bootstrap"
        method = "bootstrap over seeds and people" if bootstrap else "Student's t over seeds"
        return {
            "claim": f"{family.name}: {self.about}",
            "family": family.name,
            "about": self.about,
            "statement": self.statement,
            "source": family.source,
            "effect": record["diff"],
            "interval": record["interval"],
            "p": record["p_sign_flip"],
            "n": n,
            "seeds": list(record["seeds"]),
            "test": f"exact sign-flip over seeds{bound}; interval: {method}",
            "margin": margin,
            "verdict": verdict,
            "reason": f"{reason}.{self.remarks}",
            "keys": list(self.keys),
        }


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
        "p_sign_flip": None,
        "p_min": None,
    }
