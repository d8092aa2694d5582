"""Tables about tests: the paper's cells over seeds, and random regions against each other."""

import pytest
from support.reports import made

from lacuna.report import Results
from lacuna.report.cells import ALIKE
from lacuna.significance import paired

# statistics of Lee et al.'s Table 2 worked out by hand from its printed numbers:
# difference, paired sd, ends of the interval, p; as published, both models
WANTED = {
    ("Llama-3.1-8B-Instruct", "wga", "AUES"): (0.007, 0.0226, -0.021, 0.035, 0.53, "undetermined"),
    ("Llama-3.1-8B-Instruct", "npo", "AUES"): (-0.006, 0.0151, -0.025, 0.013, 0.42, "holds"),
    ("Llama-3.1-8B-Instruct", "dpo", "AUES"): (-0.005, 0.0097, -0.017, 0.007, 0.31, "holds"),
    ("Llama-3.1-8B-Instruct", "rmu", "AUES"): (-0.004, 0.0210, -0.030, 0.022, 0.69, "undetermined"),
    ("OLMo-2-1124-7B-Instruct", "wga", "AUES"): (-0.004, 0.0104, -0.017, 0.009, 0.44, "holds"),
    ("OLMo-2-1124-7B-Instruct", "npo", "AUES"): (0.001, 0.0087, -0.010, 0.012, 0.81, "holds"),
    ("OLMo-2-1124-7B-Instruct", "dpo", "AUES"): (0.007, 0.0113, -0.007, 0.021, 0.24, None),
    ("OLMo-2-1124-7B-Instruct", "rmu", "AUES"): (0.002, 0.0049, -0.004, 0.008, 0.41, "holds"),
}


def test_table_2_tested_over_its_seeds() -> None:
    rows = {(r["model"], r["objective"], r["metric"]): r for r in made("reanalysis", [])}
    assert len(rows) == 16
    for place, (diff, sd, low, high, p, verdict) in WANTED.items():
        row = rows[place]
        assert row["diff"] == pytest.approx(diff, abs=1e-9)
        assert row["sd"] == pytest.approx(sd, abs=6e-5)
        assert (row["lo"], row["hi"]) == pytest.approx((low, high), abs=6e-4)
        assert row["p"] == pytest.approx(p, abs=6e-3)
        assert verdict in (row["no_better"], None)
    npo = rows["Llama-3.1-8B-Instruct", "npo", "MU95"]
    assert (npo["diff"], npo["p"], npo["no_better"]) == (
        pytest.approx(0.89), pytest.approx(0.042, abs=1e-3), "fails",
    )  # fmt: skip


def test_random_regions_that_differ_count_as_false_positives() -> None:
    place = {"ratio": 0.1, "objective": "npo", "scenario_a": ALIKE, "scenario_b": "random"}
    record = paired([0.31, 0.30, 0.29, 0.30], [0.0] * 4) | place | {"metric": "aues"}
    record |= {"p_alpha_permutation": [0.01, 0.2, 0.04, None], "p_alpha_permutation_mean": None}
    rows = made("alike", Results("x", {}, [], [record]))
    found = {row["test"]: (row["n_tests"], row["p"], row["significant"]) for row in rows}
    assert found["published: permutation over alphas, by seed"] == (3, 0.01, pytest.approx(2 / 3))
    assert found["sign-flip over seeds"] == (1, 0.125, 0.0)
    n, p, share = found["t over seeds"]
    assert (n, p < 0.001, share) == (1, True, 1.0)
    assert found["block randomisation"] == (0, None, None)


def test_without_further_regions_there_is_nothing_alike() -> None:
    assert made("alike", []) == []
