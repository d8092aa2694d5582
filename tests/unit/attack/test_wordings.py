"""McNemar's test on wordings: known values, ends and symmetry."""

import pytest

from lacuna.attack.wordings import mcnemar
from lacuna.errors import UserError


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [
        (10, 2, 2 * (1 + 12 + 66) / 2**12),  # P(X <= 2), X ~ Binomial(12, 1/2), doubled
        (1, 0, 1.0),
        (5, 0, 2 / 32),
        (0, 0, 1.0),
        (12, 12, 1.0),
        (40, 20, 0.009823274507519235),  # chi^2 = 400 / 60
        (30, 30, 1.0),
    ],
)
def test_known_values(b: int, c: int, p: float) -> None:
    assert mcnemar(b, c).p == pytest.approx(p, rel=1e-9)
    assert mcnemar(b, c).excess == c - b


def test_exchanging_the_wordings_changes_the_sign_alone() -> None:
    for b, c in ((10, 2), (40, 20)):
        assert mcnemar(c, b) == (-mcnemar(b, c).excess, mcnemar(b, c).p)


def test_a_count_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match="counts -1 and 3: must be 0 or more"):
        mcnemar(-1, 3)
