"""The verdict of a study: every claim judged, and a sentence per family."""

from collections.abc import Sequence

from lacuna.report.cells import order, tag
from lacuna.report.claims.family import Judged, families, in_order
from lacuna.report.claims.registration import changes
from lacuna.report.labels import WARNINGS, Labels, labels
from lacuna.report.results import Results
from lacuna.report.table import rounded
from lacuna.results import Claim, Row
from lacuna.significance import benjamini_hochberg, holm

ALPHA = 0.025
"""Level of a one-sided decision: a 95% interval's."""


def judge(results: Results) -> list[Claim]:
    """All claims of a study, in a fixed order; floats at 6 significant digits.

    Those that rest on checkpoints that fail their causal report say so, and so do those that are
    otherwise than the study's plan has them.
    """
    known, stages = labels(results), {stage["key"]: stage for stage in results.stages}
    changed = changes(results)
    found = [
        evidence.judged(results.margins)
        for claims in in_order()
        for evidence in claims.evidence(results)
    ]
    for members in _together(found):
        _correct(members)
    for judged in found:
        own = [stages[key] for key in judged.claim["keys"] if key in stages]
        judged.claim["reason"] += _remark(known, own)
        judged.claim["exploratory"] = changed.of(judged.claim["family"])
    return [rounded(judged.claim) for judged in found]


def _together(found: Sequence[Judged]) -> list[list[Judged]]:
    """Claims that are corrected together: of one family and role."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for judged in found:
        groups.setdefault((judged.claim["family"], judged.claim["role"]), []).append(judged)
    return list(groups.values())


def _correct(members: Sequence[Judged]) -> None:
    """Fill in p of what each verdict says, corrected; leave open what does not stand it."""
    for verdict, p_values in (
        ("holds", [one.p_holds for one in members]),
        ("fails", [one.p_fails for one in members]),
    ):
        adjusted = zip(members, p_values, holm(p_values), benjamini_hochberg(p_values), strict=True)
        for one, p, p_holm, p_bh in adjusted:
            if (claim := one.claim)["verdict"] != verdict or p is None or p_holm is None:
                continue
            claim["p"], claim["p_holm"], claim["p_bh"] = p, p_holm, p_bh
            if p_holm > ALPHA:
                claim["verdict"] = "undetermined"
                claim["reason"] += (
                    f" By itself it {verdict} (p = {p:.3g}), among its {len(members)} claims not "
                    f"(Holm: {p_holm:.3g}, at most {ALPHA:g} is needed)."
                )


def _remark(known: Labels, stages: Sequence[Row]) -> str:
    seeds = sorted({tag(stage, "seed") for stage in stages}, key=order)
    ratios = sorted({tag(stage, "ratio") for stage in stages}, key=order)
    found = [known.of(ratio, seeds) for ratio in ratios]
    failed = [text for text in dict.fromkeys(found) if text.startswith(WARNINGS)]
    return f" Checkpoints are {'; '.join(failed)}." if failed else ""


def headline(verdict: Sequence[Claim]) -> list[str]:
    """One sentence per family: for how many claims it holds, fails, and is undetermined.

    First, where there is one, a line for each reason why claims are exploratory.
    """
    reasons = [claim["exploratory"] for claim in verdict if claim["exploratory"] is not None]
    lines = [
        f"{reasons.count(reason)} of {len(verdict)} claims are {reason}."
        for reason in dict.fromkeys(reasons)
    ]
    for family in families():
        claims = [claim for claim in verdict if claim["family"] == family.name]
        if not claims:
            continue
        parts = []
        for outcome in ("holds", "fails", "undetermined"):
            about = [claim["about"] for claim in claims if claim["verdict"] == outcome]
            names = "" if outcome == "undetermined" else f" ({'; '.join(about)})"
            if about:
                parts.append(f"{outcome} for {len(about)} of {len(claims)}{names}")
        seeds = sorted({claim["n"] for claim in claims})
        counted = "-".join(dict.fromkeys(str(n) for n in (seeds[0], seeds[-1])))
        lines.append(f"{family.sentence}: {'; '.join(parts)}; n = {counted} seeds.")
    return lines
