"""What the page says in words: the verdict's lead, what was planted, what it cost."""

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup
from support.reports import failed_trial, injected, study

from lacuna.report import Results, judge
from lacuna.report.claims.family import families
from lacuna.report.html.page import cost
from lacuna.report.html.planted import planted
from lacuna.report.html.verdict import Finding, verdict_body
from lacuna.results import Claim

MATCHED = next(family for family in families() if family.name == "region-matched")


def claim(about: str, verdict: str, n: int = 3) -> Claim:
    (first, *_) = [one for one in judge(study()) if one["family"] == "region-matched"]
    return {**first, "about": about, "verdict": verdict, "n": n}  # type: ignore[typeddict-item]


def said(verdict: Sequence[Claim]) -> str:
    return str(verdict_body(study(), verdict, []))


def test_the_lead_counts_primary_claims_by_outcome() -> None:
    names = ("holds", "fails", "holds", "undetermined")
    claims = [claim(f"m{i} at 0.1", name) for i, name in enumerate(names)]
    assert "Of 4 primary claims, 2 hold, 1 fails and 1 stays open." in said(claims)
    assert "Of 1 primary claim, 1 holds." in said(claims[:1])
    secondary: list[Claim] = [{**claims[0], "role": "secondary"}]
    assert "The study has no primary claim." in said(secondary)
    assert "No claim could be judged." in said([])


def test_a_finding_says_its_claim_once_and_each_cell_by_its_short_name() -> None:
    claims = [claim("npo at 0.1", "holds", 6), claim("wga at 0.1", "undetermined", 3)]
    found = Finding(MATCHED, "primary", claims, None)
    assert found.clause == "The true region is no better than random ones"
    assert found.about == "Lee et al., AUES to equal depth; at 0.1"
    assert [(one.word, list(one.about)) for one in found.outcomes] == [
        ("Holds", ["npo"]),
        ("Open", ["wga"]),
    ]
    assert found.n == "3-6"


def test_exploratory_claims_are_said_to_be_before_any_verdict() -> None:
    changed: Claim = {**claim("npo at 0.1", "holds"), "exploratory": "exploratory: seeds"}
    text = said([changed, claim("wga at 0.1", "holds")])
    assert text.index("1 of 2 claims are exploratory: seeds.") < text.index("<article>")
    assert isinstance(verdict_body(study(), [changed], []), Markup)


def test_what_was_planted_is_said_with_floor_ceiling_and_checks() -> None:
    levels, outside, leak = planted(study())
    assert levels == (
        "Mean extraction strength of the facts to forget: injected 1.000 (ceiling, n = 2), "
        "retained 0.020 (floor, n = 1)."
    )
    assert outside.startswith("Outside the target region 2 of 2 injected models")
    assert leak.startswith("With the region put back, 2 of 2 know no more")
    leaked = injected(3)
    leaked["summary"] |= {"outside_equal": False, "causal": {"passed": False}}
    leaked["summary"]["leak"] |= {"passed": False}
    _, outside, leak, causal = planted(replace(study(), stages=[*study().stages, leaked]))
    assert "2 of 3" in outside and "2 of 3" in leak
    assert causal == (
        "In 0 of 1 the causal report finds the facts in their own place; not at seed 3."
    )
    assert planted(Results("x", {}, [])) == []


def test_costs_count_each_stage_once_and_the_failed_ones() -> None:
    stages = [stage | {"seconds": 1800.0} for stage in study().stages[:2]]
    (sentence,) = cost(Results("x", {}, [*stages, stages[0], failed_trial("oracle", 9)]))
    assert sentence.startswith("3 different stages, 1 of them failed;")
    assert "took 1.00 hours" in sentence
    assert cost(study()) == []
