"""Plans put down before the first test trial, and verdicts that say what changed since."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from support.reports import study

from lacuna.artifacts import digest, read_json, write_json
from lacuna.errors import UserError
from lacuna.report import Margins, Results, headline, judge, render
from lacuna.report.claims.registration import planned
from lacuna.results import Registration
from lacuna.significance import LEVELS
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner
from sweeps.results.registration import REGISTER, plan_of, register

CONFIG = {
    "study": "x", "seeds": [1, 2, 3], "regions": 2, "artifacts": "/here", "objectives": ["npo"],
    "data": {"name": "synthetic", "path": "/there"}, "attack": {"matched": (0.3, 0.6)},
    "unlearn": {"lrs": {}},
}  # fmt: skip
SUBJECT = {"data": "d" * 64, "model": "m" * 64, "protocol": "lee"}


def registered(config: dict[str, Any] | None = None, **margins: float) -> Registration:
    plan = planned(config or CONFIG, Margins(**margins), SUBJECT)
    when = "2026-01-02T03:04:05+00:00"
    return {"sha256": digest(plan), "registered": when, "known": 0, "plan": plan}


def verdict(config: dict[str, Any] | None = None, **margins: float) -> dict[str, str | None]:
    """Family -> why its claims are exploratory, of a study registered with `CONFIG`."""
    results = replace(
        study(),
        config=config or CONFIG,
        margins=Margins(**margins),
        registration=registered(),
    )
    return {claim["family"]: claim["exploratory"] for claim in judge(results)}


def test_a_plan_holds_every_family_with_its_estimand_margin_and_role() -> None:
    plan = planned(CONFIG, Margins(matched=0.004), SUBJECT)
    claim = plan["claims"]["region-matched"]
    assert (claim["margin"], claim["rule"], claim["role"]) == (0.004, "no better", "primary")
    assert "all arms of a seed reach" in claim["estimand"]
    assert plan["claims"]["region-aues"]["role"] == "secondary"
    assert (plan["seeds"], plan["regions"], plan["subject"]) == ([1, 2, 3], 2, SUBJECT)
    assert plan["settings"] == {
        "objectives": ["npo"], "data.name": "synthetic", "attack.matched": (0.3, 0.6),
        "unlearn.lrs": {},
    }  # fmt: skip
    assert len(digest(plan)) == 64 and LEVELS


def test_a_study_that_is_as_registered_says_nothing() -> None:
    assert set(verdict().values()) == {None}
    moved = CONFIG | {"artifacts": "/elsewhere", "data": {"name": "synthetic", "path": "/b"}}
    assert set(verdict(moved | {"a later key": 3}).values()) == {None}


def test_a_margin_changed_after_a_look_is_said_at_the_claims_of_its_family_only() -> None:
    found = verdict(aues=0.05)
    said = found.pop("region-aues")
    assert said == (
        "exploratory: margin (0.02, now 0.05) changed since the plan of "
        f"2026-01-02T03:04:05+00:00 (sha256 {registered()['sha256'][:12]})"
    )
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": [1, 2, 3, 4]}, "seeds ([1,2,3], now [1,2,3,4]) changed"),
        ({"regions": 3}, "regions (2, now 3) changed"),
        ({"attack": {"matched": (0.6, 0.3)}}, "attack.matched ([0.3,0.6], now [0.6,0.3]) changed"),
    ],
)
def test_seeds_regions_and_settings_concern_every_claim(change: dict[str, Any], words: str) -> None:
    found = verdict(CONFIG | change)
    assert len(found) > 3 and all(words in (said or "") for said in found.values())


def test_a_family_that_was_not_planned_is_exploratory() -> None:
    plan = registered()
    del plan["plan"]["claims"]["region-depth"]
    results = replace(study(), config=CONFIG, registration=plan)
    said = {claim["family"]: claim["exploratory"] for claim in judge(results)}
    assert said["region-aues"] is None
    if "region-depth" in said:
        assert "the claim, which is not in it," in (said["region-depth"] or "")


def test_many_changes_are_cut_short_and_counted_in_the_headline() -> None:
    other = CONFIG | {f"k{n}": n for n in range(8)}
    results = replace(
        study(),
        config=CONFIG | {f"k{n}": -1 for n in range(8)},
        registration=registered(other),
    )
    claims = judge(results)
    first, *_ = headline(claims)
    assert first.startswith(f"{len(claims)} of {len(claims)} claims are exploratory: k0 (0, now")
    assert "and 3 more changed since" in first


def test_the_page_shows_the_plans_hash_and_what_changed(tmp_path: Path) -> None:
    plan = registered() | {"known": 4}
    results = replace(study(), config=CONFIG | {"regions": 5}, registration=plan)
    render(results, tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    assert plan["sha256"] in page and "when 4 test trials had a result already" in page
    assert "<strong>exploratory: regions (2, now 5)" in page
    render(Results(**{**asdict(results), "margins": Margins(), "registration": None}), tmp_path)
    assert "registered" not in (tmp_path / "report" / "index.html").read_text()


def test_the_register_keeps_the_first_plan_of_a_subject_and_adds_others(tmp_path: Path) -> None:
    first = planned(CONFIG, Margins(), SUBJECT)
    second = planned(CONFIG, Margins(aues=0.05), SUBJECT)
    other = planned(CONFIG, Margins(aues=0.05), SUBJECT | {"data": "e" * 64})
    found = register(tmp_path, first, [])
    assert (found["sha256"], found["known"]) == (digest(first), 0)
    before = (tmp_path / REGISTER).read_bytes()
    assert register(tmp_path, first, ["k"]) == read_json(tmp_path / REGISTER)["plans"][0]
    assert (tmp_path / REGISTER).read_bytes() == before, "once registered, it stays as it is"
    assert register(tmp_path, second, ["k"])["sha256"] == digest(first)
    assert register(tmp_path, other, ["k", "l"])["known"] == 2
    plans = read_json(tmp_path / REGISTER)["plans"]
    assert [one["sha256"] for one in plans] == [digest(plan) for plan in (first, second, other)]


def test_a_register_that_was_edited_is_refused_in_one_line(tmp_path: Path) -> None:
    plan = planned(CONFIG, Margins(), SUBJECT)
    register(tmp_path, plan, [])
    record = read_json(tmp_path / REGISTER)
    record["plans"][0]["plan"]["claims"]["region-aues"]["margin"] = 0.5
    write_json(tmp_path / REGISTER, record)
    with pytest.raises(UserError, match="was changed after it was registered") as caught:
        register(tmp_path, plan, [])
    assert "\n" not in str(caught.value)


def test_a_planned_study_has_a_plan_that_does_not_hang_on_where_it_lies() -> None:
    def plan(*words: str) -> str:
        return digest(plan_of(make_planner(configure(["study=smoke", *words]))))

    assert plan() == plan("artifacts=/tmp/elsewhere", "resources.workers=1")
    assert (
        len({plan(), plan("margins.es=0.5"), plan("seeds=[3,4]"), plan("data.num_forget=3")}) == 4
    )
