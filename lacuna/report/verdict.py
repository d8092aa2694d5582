"""The published claims, each judged by a rule fixed before any result.

Every claim is about a paired difference over seeds with a 95% interval. Where the interval lies
(`position`) decides, with a margin of difference too small to matter (`Margins`):

    equal    the whole interval lies within +- margin
    above    it is not equal, and lies wholly above 0
    below    it is not equal, and lies wholly below 0
    unclear  anything else

| claim | difference | holds | fails |
|---|---|---|---|
| Lee et al.: no better (AUES, MU95) | oracle - random | equal, below | above |
| LACUNA: erases more robustly | others after the attack, oracle - random | below | equal, above |
| LACUNA: likewise against any other place | the same, oracle - that place | below | equal, above |
| LACUNA: localization is imprecise | precision - chance | equal, below | above |
| LACUNA: full-parameter change is blind | raw AUC - 1/2 or its null | equal, below | above |

The third and the last are judged in studies of single weights only.
`unclear` leaves a claim undetermined. `below` upholds the first because it is one-sided: a random
region that is better is no argument for the true one. Fewer than three seeds, a failed or undefined
trial, or (for MU95) a curve that never falls to 95% utility, leave a claim undetermined whatever
its interval. Intervals: AUES by a bootstrap over seeds and people, all others Student's t over
seeds. p is the exact sign-flip test over seeds, given beside the verdict and not part of the rule:
n seeds cannot bring it below 2/2^n. Nothing is corrected for the number of claims; read a family as
a whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lacuna.report.cells import without_paths

Claim = dict[str, Any]
MIN_SEEDS = 3
FAMILIES = {
    "region-aues": "Lee et al., AUES: the true region is no better than a random one",
    "region-mu95": "Lee et al., MU95: the true region is no better than a random one",
    "erasure-logp": "LACUNA, relearning, log-probability: less comes back with the true region",
    "erasure-es": "LACUNA, relearning, extraction: less comes back with the true region",
    "erasure-success": "LACUNA, relearning, Success@k: less comes back with the true region",
    "beyond-logp": "LACUNA, relearning, log-probability: less than with other regions or none",
    "beyond-es": "LACUNA, relearning, extraction: less than with other regions or none",
    "beyond-success": "LACUNA, relearning, Success@k: less than with other regions or none",
    "localization": "LACUNA, localization: regions found or changed are near chance",
    "precision": "LACUNA, localization precision: full-parameter methods move weights blindly",
}
UPHELD = {
    "region-aues": {"equal", "below"},
    "region-mu95": {"equal", "below"},
    "erasure-logp": {"below"},
    "erasure-es": {"below"},
    "erasure-success": {"below"},
    "beyond-logp": {"below"},
    "beyond-es": {"below"},
    "beyond-success": {"below"},
    "localization": {"equal", "below"},
    "precision": {"equal", "below"},
}


def headline(verdict: Sequence[Claim]) -> list[str]:
    """One sentence per family: for how many claims it holds, fails, and is undetermined."""
    lines = []
    for family, statement in FAMILIES.items():
        claims = [claim for claim in verdict if claim["family"] == family]
        parts = []
        for outcome in ("holds", "fails", "undetermined"):
            about = [claim["about"] for claim in claims if claim["verdict"] == outcome]
            names = "" if outcome == "undetermined" else f" ({'; '.join(about)})"
            if about:
                parts.append(f"{outcome} for {len(about)} of {len(claims)}{names}")
        seeds = sorted({claim["n"] for claim in claims})
        if claims:
            counted = "-".join(dict.fromkeys(str(n) for n in (seeds[0], seeds[-1])))
            lines.append(f"{statement}: {'; '.join(parts)}; n = {counted} seeds.")
    return lines


def position(interval: Sequence[float], margin: float) -> str:
    """Where an interval lies: `equal`, `above`, `below` or `unclear` (see the module's table)."""
    low, high = interval
    if -margin <= low and high <= margin:
        return "equal"
    return "above" if low > 0 else "below" if high < 0 else "unclear"


def decide(family: str, record: Mapping[str, Any], margin: float) -> tuple[str, str]:
    """(verdict, reason) of one paired comparison."""
    n, effect, interval = record["n_seeds"], record.get("diff"), record.get("interval")
    missing = [without_paths(reason) for reason in record.get("missing") or []]
    if missing:
        return "undetermined", f"not every pair of seeds has a value: {'; '.join(missing)}"
    if n < MIN_SEEDS or effect is None or interval is None:
        return "undetermined", f"n = {n}: at least {MIN_SEEDS} seeds are needed"
    uncrossed = sorted({*record.get("uncrossed_a", ()), *record.get("uncrossed_b", ())})
    if uncrossed:
        seeds = ", ".join(map(str, uncrossed))
        return "undetermined", f"utility never fell to 95% at seeds {seeds}: MU95 is not reached"
    where = position(interval, margin)
    said = {
        "equal": f"lies within the margin of +-{margin:g}",
        "above": "lies wholly above 0",
        "below": "lies wholly below 0",
        "unclear": f"neither excludes 0 nor lies within the margin of +-{margin:g}",
    }[where]
    low, high = interval
    reason = f"{effect:+.3g}, 95% interval [{low:.3g}, {high:.3g}] over {n} seeds, {said}"
    if where == "unclear":
        return "undetermined", reason
    return ("holds" if where in UPHELD[family] else "fails"), reason


def claim(
    family: str,
    about: str,
    statement: str,
    source: str,
    record: Mapping[str, Any],
    margin: float,
    keys: Sequence[str],
    remarks: str = "",
) -> Claim:
    """One judged claim as it stands in verdict.json."""
    verdict, reason = decide(family, record, margin)
    n, p_min = record["n_seeds"], record.get("p_min")
    bound = "" if p_min is None else f" (p cannot be below 2/2^{n} = {p_min:.3g})"
    method = "bootstrap over seeds and people"
    if record.get("interval_method") != "bootstrap":
        method = "Student's t over seeds"
    return {
        "claim": f"{family}: {about}",
        "family": family,
        "about": about,
        "statement": statement,
        "source": source,
        "effect": record.get("diff"),
        "interval": record.get("interval"),
        "p": record.get("p_sign_flip"),
        "n": n,
        "seeds": list(record.get("seeds") or ()),
        "test": f"exact sign-flip over seeds{bound}; interval: {method}",
        "margin": margin,
        "verdict": verdict,
        "reason": f"{reason}.{remarks}",
        "keys": list(keys),
    }
