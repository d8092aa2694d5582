"""The rule that judges a claim, fixed before any result: one-sided against a margin.

Every claim is about a paired difference a - b over seeds, a with the true region, with a 95%
interval; the margin is a difference too small to matter (`Margins`). `lacuna.significance.decide`
has the table. Undetermined whatever the interval says: fewer than three seeds; a failed or
undefined trial; MU95 of a curve that never falls to 95% utility; an attack that could not have
shown a difference (`Assay`). What an interval decides must also stand after Holm's correction for
all claims of its family and role (`judge`). The sign-flip test and block randomisation stand beside
the verdict and are not part of the rule.
"""

from typing import Literal, cast

from lacuna.report.cells import without_paths
from lacuna.results import Comparison, Paired
from lacuna.significance import Assay, Decision, enough, erases_more, no_better, p_value, rises

Rule = Literal["no better", "erases more", "rises"]
"""a is not better than b, more being better; less comes back with a than with b; or a slope is
above 0."""


def decide(record: Paired, rule: Rule, margin: float, assay: Assay | None = None) -> Decision:
    """The verdict on one paired difference by itself, and its reason."""
    effect, interval = record["diff"], record["interval"]
    if obstacle := _obstacle(record):
        return Decision("undetermined", obstacle)
    too_few = enough(record["n_seeds"], interval)
    if too_few is not None or effect is None or interval is None:
        return too_few or Decision("undetermined", "the difference is undefined")
    low, high = interval
    if rule == "erases more":
        found = erases_more(low, high, margin, assay)
    else:
        found = (rises if rule == "rises" else no_better)(low, high, margin)
    measured = f"{effect:+.3g}, 95% interval [{low:.3g}, {high:.3g}] over {record['n_seeds']} seeds"
    return Decision(found.verdict, f"{measured}: {found.reason}")


def sides(record: Paired, rule: Rule, margin: float) -> tuple[float | None, float | None]:
    """One-sided p that the claim holds and that it fails, by the t of the record's interval.

    Below .025 exactly where the interval says so.
    """
    if rule == "no better":
        return p_value(record, margin, "less"), p_value(record, 0.0, "greater")
    if rule == "rises":
        return p_value(record, 0.0, "greater"), p_value(record, margin, "less")
    return p_value(record, 0.0, "less"), p_value(record, -margin, "greater")


def _obstacle(record: Paired) -> str:
    """Why the difference cannot be judged, whatever its interval; empty if it can."""
    missing = [without_paths(reason) for reason in record["missing"]]
    if missing:
        return f"not every pair of seeds has a value: {'; '.join(missing)}"
    compared = cast(Comparison, record)
    uncrossed = {*compared.get("uncrossed_a", []), *compared.get("uncrossed_b", [])}
    if uncrossed:
        seeds = ", ".join(map(str, sorted(uncrossed)))
        return f"utility never fell to 95% at seeds {seeds}: MU95 is not reached"
    return ""
