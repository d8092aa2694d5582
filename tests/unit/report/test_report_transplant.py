"""Tables `transplant` and `necessity`, the figure and the claim, from stages made by hand."""

from pathlib import Path
from typing import Any

import pytest
from support.reports import Record, failed_trial, made, stage, trial

from lacuna.report import Results, render
from lacuna.report.claims import judge
from lacuna.significance import t_interval


def record(
    own: float = 0.1, restored: float = 0.9, stored: float = 0.3, control: float = 0.2
) -> Record:
    """ES between a floor of .1 and a ceiling of .9."""
    return {
        "own_es": own, "restored_es": restored, "stored_es": stored, "control_es": control,
        "floor_es": 0.1, "ceiling_es": 0.9,
    }  # fmt: skip


def exchanged(scenario: str, seed: int, stored: float, **more: Any) -> Record:
    return trial(scenario, seed, transplant=record(stored=stored), **more)


def control(model: str, seed: int, transplants: dict[str, Record] | None = None) -> Record:
    more = {} if transplants is None else {"transplants": transplants}
    tags = {"model": model, "seed": seed, "ratio": 0.1}
    summary = {"model": model, "seed": seed, "forget_es": 0.9, "attacks": [], "fq": None} | more
    return stage("control", tags, summary | {"retain_es": 1.0, "mu": 0.6})


ORACLE = [exchanged("oracle", seed, es) for seed, es in ((1, 0.1), (2, 0.18), (3, 0.26))]
RANDOM = [exchanged("random", seed, 0.9) for seed in (1, 2, 3)]
CONTROLS = [
    control("injected", seed, {"injected": record(0.9, 0.9, 0.9, 0.9), "retained": record()})
    for seed in (1, 2, 3)
]


def rows(*stages: Record) -> dict[tuple[str, str], Record]:
    return {(row["objective"], row["scenario"]): row for row in made("transplant", list(stages))}


def test_shares_lie_between_the_retained_and_the_injected_model() -> None:
    found = rows(*ORACLE, *RANDOM, *CONTROLS, control("retained", 1))
    oracle = found["npo", "oracle"]
    assert oracle["stored"] == pytest.approx([0, 0.1, 0.2]) and oracle["seeds"] == [1, 2, 3]
    assert oracle["stored_mean"] == pytest.approx(0.1) and oracle["n"] == 3
    low, high = t_interval([0, 0.1, 0.2]) or (0, 0)
    assert (oracle["stored_lo"], oracle["stored_hi"]) == pytest.approx((low, high))
    assert (oracle["restored_mean"], oracle["own_mean"]) == (1.0, 0.0)
    assert oracle["control"] == pytest.approx([0.125] * 3)
    assert (oracle["floor_es"], oracle["ceiling_es"]) == pytest.approx((0.1, 0.9))
    assert found["npo", "random"]["stored_mean"] == 1.0
    assert [name for name in found if name[0] == "control"] == [
        ("control", "injected"),
        ("control", "retained"),
    ]
    assert found["control", "injected"]["control_mean"] == 1.0


def test_what_failed_or_brought_nothing_leaves_no_mean() -> None:
    flat = trial("oracle", 4, transplant=record() | {"ceiling_es": 0.1})
    for odd in (failed_trial("oracle", 4), flat):
        row = rows(*ORACLE, odd)["npo", "oracle"]
        assert row["stored"] == pytest.approx([0, 0.1, 0.2, None])
        assert (row["n"], row["stored_mean"], row["seeds"]) == (3, None, [1, 2, 3, 4])
    assert made("transplant", [trial("oracle", 1)]) == []


def test_several_random_regions_count_as_their_mean() -> None:
    again = [exchanged("random", seed, 0.5, region=2) for seed in (1, 2, 3)]
    assert rows(*RANDOM, *again)["npo", "random"]["stored"] == pytest.approx([0.75] * 3)


def claim(*stages: Record) -> Record:
    found = [c for c in judge(Results("x", {}, list(stages))) if c["family"] == "erased-or-hidden"]
    assert len(found) == 1
    return dict(found[0])


def test_what_is_taken_out_of_the_true_region_is_erased() -> None:
    found = claim(*ORACLE, *RANDOM)
    assert found["effect"] == pytest.approx(-0.9) and found["verdict"] == "holds"
    assert (found["role"], found["margin"], found["n"]) == ("secondary", 0.5, 3)
    assert "by more than the margin" in found["reason"]
    assert found["p_blocks"] == pytest.approx(2 / 8)


def test_what_is_still_in_its_place_is_hidden() -> None:
    hidden = [exchanged("oracle", seed, es) for seed, es in ((1, 0.85), (2, 0.83), (3, 0.87))]
    found = claim(*hidden, *RANDOM)
    assert found["verdict"] == "fails" and "less by 0.5 or more is excluded" in found["reason"]


def test_a_claim_with_a_failed_trial_is_open_and_a_study_without_transplants_has_none() -> None:
    found = claim(*ORACLE[:2], failed_trial("oracle", 3), *RANDOM)
    assert found["verdict"] == "undetermined" and "loss is not finite" in found["reason"]
    plain = [trial(name, seed) for name in ("oracle", "random") for seed in (1, 2, 3)]
    assert all(c["family"] != "erased-or-hidden" for c in judge(Results("x", {}, plain)))


def localized(name: str, seed: int, swap: Record | None, tag: str | None = None) -> Record:
    summary = {"localizer": name, "seed": seed, "ratio": 0.1, "privileges": [], "recall": 0.5}
    more = {} if swap is None else {"swap": swap}
    return stage("localized", {"localizer": tag or name, "seed": seed, "ratio": 0.1},
                 summary | more)  # fmt: skip


def swap(without: float, alone: float) -> Record:
    return {"without_es": without, "alone_es": alone, "floor_es": 0.1, "ceiling_es": 0.9}


def test_necessity_is_what_is_lost_and_sufficiency_what_is_brought() -> None:
    survey = "norm+oracle+random"
    stages = [localized("norm", seed, None) for seed in (1, 2)]  # a scenario's own region
    for seed, alone in ((1, 0.3), (2, 0.5)):
        stages.append(localized("norm", seed, swap(0.7, alone), survey))
        stages.append(localized("oracle", seed, swap(0.1, 0.9), survey))
        stages.append(localized("random", seed, swap(0.9, 0.1), survey))
    found = {row["localizer"]: row for row in made("necessity", stages)}
    norm, oracle, random = (found[name] for name in ("norm", "oracle", "random"))
    assert norm["necessity"] == pytest.approx([0.25, 0.25])
    assert norm["sufficiency"] == pytest.approx([0.25, 0.5]) and norm["n"] == 2
    assert (norm["sufficiency_mean"], norm["recall_mean"]) == pytest.approx((0.375, 0.5))
    low, high = t_interval([0.25, 0.5]) or (0, 0)
    assert (norm["sufficiency_lo"], norm["sufficiency_hi"]) == pytest.approx((low, high))
    for row, share in ((oracle, 1), (random, 0)):
        assert (row["necessity_mean"], row["sufficiency_mean"]) == (share, share)
    assert made("necessity", stages[:2]) == []


def test_a_page_shows_the_shares_and_what_is_below_the_floor_without_a_bar(tmp_path: Path) -> None:
    below = [exchanged("oracle", seed, 0.0) for seed in (1, 2, 3)]
    render(Results("x", {"seed": 1}, [*below, *RANDOM, *CONTROLS]), tmp_path)
    page = (tmp_path / "report/index.html").read_text()
    assert "what the true region still holds (stored; dashed: all)" in page
    assert "what comes back with the true region restored" in page
    assert "<title>oracle (n=3), npo: 0 ± 0</title>" in page
    assert "<title>random (n=3), npo: 1 ± 0</title>" in page
    assert (tmp_path / "tables/transplant.csv").exists()
