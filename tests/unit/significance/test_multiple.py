"""Holm and Benjamini-Hochberg by hand and by what they promise."""

import numpy as np
import pytest

from lacuna.errors import UserError
from lacuna.significance import benjamini_hochberg, holm


def test_adjusted_values_by_hand() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    # Sorted .005 .01 .03 .04. Holm: times 4, 3, 2, 1 = .02 .03 .06 .04, raised to .06.
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # Benjamini-Hochberg: times 4/1, 4/2, 4/3, 4/4 = .02 .02 .04 .04.
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_nothing_exceeds_one_and_an_undefined_test_counts() -> None:
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02, None, 0.5]) == [pytest.approx(0.06), None, 1.0]
    assert benjamini_hochberg([0.02, None, 0.5]) == [
        pytest.approx(0.06),
        None,
        pytest.approx(0.75),
    ]
    assert holm([None]) == benjamini_hochberg([None]) == [None]
    assert holm([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_order_is_kept_and_does_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    p, order = generator.random(9) ** 2, generator.permutation(9)
    for adjust in (holm, benjamini_hochberg):
        found = np.array(adjust(p.tolist()), float)
        assert (found >= p).all()
        assert (np.diff(found[np.argsort(p)]) >= 0).all()
        np.testing.assert_allclose(np.array(adjust(p[order].tolist()), float), found[order])
    assert (np.array(benjamini_hochberg(p.tolist())) <= np.array(holm(p.tolist()))).all()


def test_four_true_nulls_are_falsely_rejected_in_one_family_of_twenty() -> None:
    p = np.random.default_rng(0).random((4000, 4))
    assert np.mean((p <= 0.05).any(axis=1)) > 0.15
    rejected = [min(value for value in holm(row.tolist()) if value is not None) for row in p]
    assert np.mean(np.array(rejected) <= 0.05) == pytest.approx(0.05, abs=0.012)


def test_what_is_no_p_value_is_refused() -> None:
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="is not a p-value"):
            holm([0.1, value])
