"""A gold standard that recites what it must never have seen: the study stops, or says so."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.reports import Record, control, stage, study
from support.studies import planned

from lacuna.errors import UserError
from lacuna.report import Results, render
from lacuna.report.claims.judge import judge
from lacuna.report.labels import KNOWS, recited
from lacuna.report.tables import tables
from sweeps.config.compose import configure
from sweeps.results.collect import refuse_knowing
from sweeps.stage import Stage


def retained(es: float, seed: int = 0) -> Record:
    return stage("retained", {"model": "retained", "seed": seed}, {"seed": seed, "forget_es": es})


def knowing(es: float, floor: float = 0.25) -> Results:
    return replace(study(), stages=[*study().stages, retained(0.01, 1), retained(es)], floor=floor)


@pytest.mark.parametrize(
    ("es", "floor", "found"),
    [(0.24, 0.25, None), (0.26, 0.25, 0.26), (0.9, 1, None), (0.1, 0, 0.1)],
)
def test_what_recites_more_than_the_floor_knows(es: float, floor: float, found: float) -> None:
    assert recited(knowing(es, floor)) == found


def test_a_base_model_that_knows_is_told_too() -> None:
    base = control("base", 1)
    base["summary"] |= {"forget_es": 0.8}
    assert recited(Results("x", {}, [base, retained(0.1)])) == 0.8


def test_every_number_after_it_is_labelled(tmp_path: Path) -> None:
    known = knowing(0.83)
    made = [one for one in tables(known) if "seeds" in one.names or "seed" in one.names]
    assert len(made) > 4
    for table in made:
        assert "checkpoint" in table.names, table.name
        assert all(str(row["checkpoint"]).startswith(KNOWS) for row in table.rows), table.name
    claims = judge(known)
    assert claims and all(f"{KNOWS} (forget ES 0.83)" in claim["reason"] for claim in claims)
    render(known, tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    assert f'class="text failed">{KNOWS}' in page.replace("\n", "")
    assert not any("checkpoint" in table.names for table in tables(knowing(0.2)))


def stopped(es: float, *words: str) -> None:
    planner = planned(*words)
    stages: list[Stage] = planner.setup()
    results = {one.key: {"forget_es": es, "seed": 0} for one in stages}
    refuse_knowing(planner, stages, results)  # type: ignore[arg-type]


def test_a_study_stops_after_its_retained_models_unless_told_to_go_on() -> None:
    stopped(0.2)
    with pytest.raises(UserError, match=r"retained.*forget ES 0\.3 .*alarm\.stop=false") as caught:
        stopped(0.3)
    assert "\n" not in str(caught.value)
    stopped(0.3, "alarm.floor=0.4")
    stopped(0.3, "alarm.stop=false")
    with pytest.raises(UserError, match=r"alarm\.floor=1\.5"):
        configure(["study=smoke", "alarm.floor=1.5"])


def test_an_alarm_is_in_no_key() -> None:
    keys = [[one.key for one in planned(*w).setup()] for w in ((), ("alarm.stop=false",))]
    assert keys[0] == keys[1]
