"""The verdict of a study: every claim judged, and a sentence per family."""

from collections.abc import Sequence

from lacuna.report.cells import order, tag
from lacuna.report.claims.family import families, in_order
from lacuna.report.labels import FAILED, Reports, label, reports
from lacuna.report.results import Results
from lacuna.report.table import rounded
from lacuna.results import Claim, Row


def judge(results: Results) -> list[Claim]:
    """All claims of a study, in a fixed order; floats at 6 significant digits.

    Those that rest on checkpoints that fail their causal report say so.
    """
    known, stages = reports(results.stages), {stage["key"]: stage for stage in results.stages}
    verdict: list[Claim] = []
    for claims in in_order():
        for evidence in claims.evidence(results):
            claim = evidence.judged(results.margins)
            claim["reason"] += _remark(known, [stages[k] for k in claim["keys"] if k in stages])
            verdict.append(rounded(claim))
    return verdict


def _remark(known: Reports, stages: Sequence[Row]) -> str:
    seeds = sorted({tag(stage, "seed") for stage in stages}, key=order)
    ratios = sorted({tag(stage, "ratio") for stage in stages}, key=order)
    labels = [label(known, ratio, seeds) for ratio in ratios]
    failed = [text for text in labels if text.startswith(FAILED)]
    return f" Checkpoints are {'; '.join(failed)}." if failed else ""


def headline(verdict: Sequence[Claim]) -> list[str]:
    """One sentence per family: for how many claims it holds, fails, and is undetermined."""
    lines = []
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
