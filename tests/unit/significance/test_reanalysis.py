"""Table 2 of Lee et al. by a seed-paired test, to the digits on record."""

import pytest

from lacuna.errors import UserError
from lacuna.report.published import CELLS, DIFFERENCES
from lacuna.significance import Printed, holm, reanalyse

LLAMA, OLMO = "Llama-3.1-8B-Instruct", "OLMo-2-1124-7B-Instruct"
UNITS = {"AUES": 0.001, "MU95": 0.01}
MARGINS = {"AUES": 0.02, "MU95": 1.0}


def cell(model: str, objective: str, metric: str) -> Printed:
    means = {
        found.scenario: found.mean
        for found in CELLS
        if (found.table, found.model, found.objective, found.metric)
        == (2, model, objective, metric)
    }
    (gap,) = (
        found
        for found in DIFFERENCES
        if (found.table, found.model, found.objective, found.metric)
        == (2, model, objective, metric)
    )
    assert gap.sd is not None
    return Printed(means["oracle"], means["random"], gap.mean, gap.sd, gap.n, UNITS[metric])


@pytest.mark.parametrize(
    ("model", "objective", "d", "sd", "interval", "p", "verdict"),
    [
        (LLAMA, "wga", 0.007, 0.0226, (-0.021, 0.035), 0.53, "undetermined"),
        (LLAMA, "npo", -0.006, 0.0151, (-0.025, 0.013), 0.42, "holds"),
        (LLAMA, "dpo", -0.005, 0.0097, (-0.017, 0.007), 0.31, "holds"),
        (LLAMA, "rmu", -0.004, 0.0210, (-0.030, 0.022), 0.69, "undetermined"),
        (OLMO, "wga", -0.004, 0.0104, (-0.017, 0.009), 0.44, "holds"),
        (OLMO, "npo", 0.001, 0.0087, (-0.010, 0.012), 0.81, "holds"),
        (OLMO, "dpo", 0.007, 0.0113, (-0.007, 0.021), 0.24, "undetermined"),
        (OLMO, "rmu", 0.002, 0.0049, (-0.004, 0.008), 0.41, "holds"),
    ],
)
def test_aues(
    model: str,
    objective: str,
    d: float,
    sd: float,
    interval: tuple[float, float],
    p: float,
    verdict: str,
) -> None:
    found = reanalyse(cell(model, objective, "AUES"))
    assert round(found.difference, 3) == d
    assert round(found.sd, 4) == sd
    assert (round(found.low, 3), round(found.high, 3)) == interval
    assert round(found.p, 2) == p
    assert found.decision(MARGINS["AUES"]).verdict == verdict
    assert found.p_low < found.p < found.p_high


@pytest.mark.parametrize(
    ("model", "objective", "d", "sd", "p", "verdict"),
    [
        (LLAMA, "wga", 0.33, 1.35, 0.61, "undetermined"),
        (LLAMA, "npo", 0.89, 0.68, 0.042, "fails"),
        (LLAMA, "dpo", -0.34, 1.57, 0.65, "undetermined"),
        (LLAMA, "rmu", 0.11, 0.54, 0.67, "holds"),
        (OLMO, "wga", 0.11, 0.30, 0.46, "holds"),
        (OLMO, "npo", -0.14, 0.12, 0.059, "holds"),
        (OLMO, "dpo", 0.10, 0.48, 0.66, "holds"),
        (OLMO, "rmu", -0.67, 0.80, 0.13, "holds"),
    ],
)
def test_mu95(model: str, objective: str, d: float, sd: float, p: float, verdict: str) -> None:
    found = reanalyse(cell(model, objective, "MU95"))
    assert round(found.difference, 2) == d
    assert round(found.sd, 2) == sd
    assert round(found.p, 3 if p < 0.1 else 2) == p
    assert found.decision(MARGINS["MU95"]).verdict == verdict


def test_the_two_intervals_on_record_and_the_one_nominal_difference() -> None:
    npo = reanalyse(cell(LLAMA, "npo", "MU95"))
    assert (round(npo.low, 2), round(npo.high, 2)) == (0.05, 1.73)
    assert npo.p_low < 0.040 and npo.p_high > 0.061  # what rounding leaves open
    assert npo.decision(1.0).reason == "better, perhaps by less than the margin of 1"
    other = reanalyse(cell(OLMO, "npo", "MU95"))
    assert (round(other.low, 2), round(other.high, 2)) == (-0.29, 0.01)
    p = [
        reanalyse(cell(model, objective, "MU95")).p
        for model in (LLAMA, OLMO)
        for objective in ("wga", "npo", "dpo", "rmu")
    ]
    assert min(value for value in holm(p) if value is not None) == pytest.approx(0.34, abs=0.005)


def test_differences_are_recovered_exactly_where_nothing_is_rounded() -> None:
    # d = .1, -.3, .2: mean 0, mean |d| .2, sd of |d| .1, sd of d sqrt(.14 / 2).
    found = reanalyse(Printed(0.5, 0.5, 0.2, 0.1, 3, 1e-9))
    assert found.sd == pytest.approx(0.07**0.5)
    assert found.p == 1.0
    assert found.p_low == pytest.approx(1.0, abs=1e-6)
    same = reanalyse(Printed(0.7, 0.5, 0.2, 0.0, 4, 0.1))
    assert (same.sd, same.low, same.p) == (
        pytest.approx(0, abs=1e-8),
        pytest.approx(0.2),
        pytest.approx(0, abs=1e-12),
    )


def test_numbers_that_no_differences_give_are_refused() -> None:
    with pytest.raises(UserError, match="impossible for means"):
        reanalyse(Printed(0.6, 0.5, 0.05, 0.01, 5, 0.001))
    with pytest.raises(UserError, match="n = 1"):
        reanalyse(Printed(0.6, 0.5, 0.1, 0.0, 1, 0.001))
