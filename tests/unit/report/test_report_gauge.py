"""Table `gauge`, from stages made by hand."""

import pytest
from support.reports import Record, made, stage

from lacuna.significance import t_interval


def gauged(correlation: float | None, precision: float) -> Record:
    return {"rank_correlation": correlation, "kept": 0.4, "precision": precision, "auc": 0.6}


def localized(name: str, seed: int, gauge: Record | None) -> Record:
    summary = {"localizer": name, "seed": seed, "ratio": 0.1, "privileges": []}
    more = {} if gauge is None else {"gauge": gauge}
    own = {"precision": 0.9, "auc": 0.95}
    return stage("localized", {"localizer": name, "seed": seed, "ratio": 0.1}, summary | own | more)


def test_what_stays_is_invariant_and_the_spread_of_the_rest_has_an_interval() -> None:
    stages = []
    for seed, worst in ((1, 0.1), (2, 0.3)):
        random = [gauged(0.5, worst), gauged(0.2, 0.8)]
        norm = {"random": random, "balanced": gauged(0.1, 0.25)}
        stages.append(localized("norm", seed, norm))
        same = {"random": [gauged(1.0, 0.9), gauged(0.99999, 0.9)], "balanced": gauged(1.0, 0.9)}
        stages.append(localized("snip", seed, same))
        blind = {"random": [gauged(None, 0.1)], "balanced": gauged(None, 0.1)}
        stages.append(localized("oracle", seed, blind))
    found = {row["localizer"]: row for row in made("gauge", stages)}
    assert [found[name]["invariant"] for name in ("norm", "snip", "oracle")] == [False, True, None]
    norm = found["norm"]
    assert (norm["precision_least"], norm["precision_most"]) == pytest.approx((0.2, 0.8))
    assert norm["rank_correlation"] == pytest.approx(0.2) and norm["kept"] == pytest.approx(0.4)
    low, high = t_interval([0.8, 0.6]) or (0, 0)
    assert norm["n"] == 2 and norm["spread_mean"] == pytest.approx(0.7)
    assert (norm["spread_lo"], norm["spread_hi"]) == pytest.approx((low, high))
    assert norm["balanced_precision"] == pytest.approx(0.25)
    assert found["snip"]["spread_mean"] == 0


def test_a_study_without_rescalings_has_no_such_table() -> None:
    assert made("gauge", [localized("norm", 1, None)]) == []
