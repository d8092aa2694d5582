"""The verdict as the page begins with it: what each family's claims say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from lacuna.report.claims.family import Family, families
from lacuna.report.claims.places import shortened
from lacuna.report.figure import Panel
from lacuna.report.html.environment import render
from lacuna.report.results import Results
from lacuna.results import Claim

WORDS: Mapping[str, str] = {"holds": "Holds", "fails": "Fails", "undetermined": "Open"}


@dataclass(frozen=True)
class Outcome:
    """The claims of a family that came out alike."""

    verdict: str
    word: str
    about: Sequence[str]


@dataclass(frozen=True)
class Finding:
    """What the claims of one family and role say together, with their forest plot if it has one."""

    family: Family
    role: str
    claims: Sequence[Claim]
    panel: Panel | None

    @property
    def clause(self) -> str:
        """What they claim: `The true region is no better than random ones`."""
        clause = self.family.sentence.rpartition(": ")[2]
        return clause[:1].upper() + clause[1:]

    @property
    def about(self) -> str:
        """Whose claim it is, in which measure, and what all of its cells share."""
        shared = shortened([claim["about"] for claim in self.claims])[1]
        return "; ".join(filter(None, (self.family.sentence.rpartition(": ")[0], shared)))

    @property
    def outcomes(self) -> list[Outcome]:
        """Those that any claim has."""
        return [Outcome(one, word, about) for one, word in WORDS.items() if (about := self.of(one))]

    @property
    def n(self) -> str:
        """Seeds with a value: `6`, or `3-6` where claims differ."""
        seeds = sorted({claim["n"] for claim in self.claims})
        return "-".join(dict.fromkeys(str(n) for n in (seeds[0], seeds[-1])))

    def of(self, verdict: str) -> list[str]:
        """The cells of the claims that came out so, by short names."""
        names, _ = shortened([claim["about"] for claim in self.claims])
        pairs = zip(names, self.claims, strict=True)
        return [name for name, claim in pairs if claim["verdict"] == verdict]


def verdict_body(results: Results, verdict: Sequence[Claim], forests: Sequence[Panel]) -> Markup:
    """A sentence for all primary claims, a block for each family, the rest below or folded."""
    found = _findings(verdict, {panel.title: panel for panel in forests})
    reasons = [claim["exploratory"] for claim in verdict if claim["exploratory"] is not None]
    return render(
        "verdict.html.jinja",
        findings=found,
        lead=_lead([one for one in found if one.role == "primary"]),
        exploratory=[
            f"{reasons.count(reason)} of {len(verdict)} claims are {reason}."
            for reason in dict.fromkeys(reasons)
        ],
        words_of=WORDS,
        verdict=verdict,
        families=families(),
        margins=results.margins,
        registration=results.registration,
    )


def _findings(verdict: Sequence[Claim], forests: Mapping[str, Panel]) -> list[Finding]:
    """In the order of the verdict; a forest plot stands beneath its family's sentence."""
    found = []
    for family in families():
        for role in ("primary", "secondary"):
            own = [c for c in verdict if (c["family"], c["role"]) == (family.name, role)]
            panel = forests.get(family.sentence) if role == "primary" else None
            if own:
                shown = None if panel is None else replace(panel, title="")
                found.append(Finding(family, role, own, shown))
    return found


def _lead(primary: Sequence[Finding]) -> str:
    """How the claims that the study was asked for came out, in a sentence."""
    claims = [claim for one in primary for claim in one.claims]
    if not claims:
        return "The study has no primary claim."
    counts = [(word, sum(len(one.of(name)) for one in primary)) for name, word in WORDS.items()]
    said = {
        "Holds": ("holds", "hold"),
        "Fails": ("fails", "fail"),
        "Open": ("stays open", "stay open"),
    }
    parts = [f"{count} {said[word][count != 1]}" for word, count in counts if count]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Of {len(claims)} primary claim{'s' * (len(claims) > 1)}, {listed}."
