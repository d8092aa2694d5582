"""The two-way t by hand, against the formula for a mean, and where it falls back."""

import numpy as np
import pytest
from scipy import stats

from lacuna.errors import UserError
from lacuna.significance import (
    Arms,
    Strength,
    matched_difference,
    t_interval,
    two_way_of_arms,
    two_way_t,
)
from lacuna.significance.two_way import TwoWay


def known(found: TwoWay | None) -> TwoWay:
    assert found is not None
    return found


def test_without_people_it_is_students_t() -> None:
    deltas = [1.0, 2.0, 3.0, 4.0]
    found = known(two_way_t(deltas))
    assert [found.low, found.high] == pytest.approx(t_interval(deltas))
    assert (found.df, found.n, found.method) == (3.0, 4, "Student's t over seeds")
    assert found.variance == {"seeds": pytest.approx(5 / 3 / 4)}
    test = stats.ttest_1samp(deltas, 0)
    assert found.p() == pytest.approx(test.pvalue)
    assert found.p(1.0, "greater") == pytest.approx(
        stats.ttest_1samp(deltas, 1.0, alternative="greater").pvalue
    )


def test_a_table_small_enough_to_compute_by_hand() -> None:
    # Two seeds with differences 1 and 3: variance 2, V_seeds = 1. Influences of three people
    #     4  0 -4        mean over seeds  3  0 -3: variance 9, V_people = 9 / 3 = 3
    #     2  0 -2        interaction +-1, 0, +-1: sum of squares 4 over 1 x 2, so 2 / (2 x 3) = 1/3
    # V = 1 + 3 - 1/3 = 11/3, and df = V^2 / (1 / 1 + 9 / 2 + (1/9) / 2) = (121/9) / (50/9).
    table = [[4.0, 0.0, -4.0], [2.0, 0.0, -2.0]]
    found = known(two_way_t([1.0, 3.0], {"forget": table}))
    assert found.variance == {"seeds": pytest.approx(1.0), "forget": pytest.approx(8 / 3)}
    assert found.df == pytest.approx(121 / 50)
    half = float(stats.t.ppf(0.975, 121 / 50)) * (11 / 3) ** 0.5
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))
    assert found.method == "two-way t over seeds and people"
    # A second split of four people with influences of opposite sign in both seeds: the seeds hold
    # it all, and it adds nothing.
    more = known(
        two_way_t([1.0, 3.0], {"forget": table, "retain": [[1, -1, 1, -1], [-1, 1, -1, 1]]})
    )
    assert more.variance["retain"] == 0.0
    assert (more.low, more.high, more.df) == pytest.approx((found.low, found.high, found.df))


def test_its_variance_is_unbiased_with_few_seeds() -> None:
    """Three seeds, six people: V is that of the mean over all that seeds and people could be."""
    generator = np.random.default_rng(4)
    means, variances = [], []
    for _ in range(3000):
        table = generator.normal(0, 1, 6) + generator.normal(0, 0.5, (3, 1))
        table = table + generator.normal(0, 1, (3, 6))
        found = known(two_way_t(table.mean(axis=1), {"all": table - table.mean(1, keepdims=True)}))
        means.append(found.estimate)
        variances.append(found.standard_error**2)
    true = 1 / 6 + 0.25 / 3 + 1 / 18
    assert np.var(means) == pytest.approx(true, rel=0.08)
    assert np.mean(variances) == pytest.approx(true, rel=0.05)


def test_p_values_agree_with_the_interval() -> None:
    found = known(two_way_t([1.0, 3.0, 2.5], {"forget": [[1.0, 0.5, -1.5]] * 3}))
    assert found.p(found.low) == pytest.approx(0.05)
    assert found.p(found.high, "less") == pytest.approx(0.025)
    assert found.p(found.high, "greater") == pytest.approx(0.975)
    assert found.p(found.estimate) == pytest.approx(1.0)


def test_what_does_not_vary_has_an_interval_of_no_width() -> None:
    found = known(two_way_t([0.0, 0.0, 0.0], {"forget": np.zeros((3, 5))}))
    assert (found.low, found.high, found.df) == (0.0, 0.0, 2.0)
    assert (found.p(), found.p(0.1), found.p(0.1, "less")) == (1.0, 0.0, 0.0)


def test_bad_input_is_named() -> None:
    assert two_way_t([0.1]) is None
    assert two_way_of_arms([]) is None
    with pytest.raises(UserError, match="differences hold a value that is not finite"):
        two_way_t([0.1, float("nan")])
    with pytest.raises(UserError, match=r"shape \(2, 1\): give 2 seeds by at least 2 people"):
        two_way_t([0.1, 0.2], {"forget": [[0.1], [0.2]]})


def arms(seed: int, names: list[list[str]] | None = None, retain_gap: float = 0.0) -> list[Arms]:
    """Four seeds of six people with two questions each, ES falling along five alphas."""
    generator = np.random.default_rng(seed)
    alphas = np.linspace(0, 1, 5)[:, None]
    place = np.repeat(generator.normal(0, 0.1, 6), 2)  # some people profit from the place
    found = []
    for s in range(4):
        people = np.repeat((names or [[f"p{i}" for i in range(6)]] * 4)[s], 2).tolist()
        slope = 0.8 + generator.normal(0, 0.02, (2, 12))
        es = [1 - alphas * (slope[0] + place), 1 - alphas * slope[1]]
        kept = [1 - alphas**2 * generator.uniform(0.2, 0.4, 12) for _ in range(2)]
        kept[1] = kept[1] - retain_gap * (alphas > 0)
        found.append(Arms(Strength.of(es, people), Strength.of(kept, people)))
    return found


def test_influences_on_a_mean_are_peoples_values_minus_the_mean() -> None:
    one = arms(0)[0]

    def end(fs: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.asarray(fs[0, :, -1] - fs[1, :, -1])

    forget = one.forget
    gaps = (forget.sum_KPA[1, :, -1] - forget.sum_KPA[0, :, -1]) / forget.count_P
    np.testing.assert_allclose(one.influence("forget", end), gaps - gaps.mean(), atol=1e-12)
    np.testing.assert_allclose(one.influence("retain", end), 0, atol=1e-12)


def test_shared_people_widen_the_interval_and_unshared_ones_give_students_t() -> None:
    shared = arms(1)
    wide = known(two_way_of_arms(shared, matched_difference))
    plain = t_interval([one.whole(matched_difference) for one in shared])
    assert plain is not None
    assert wide.high - wide.low > plain[1] - plain[0]
    assert set(wide.variance) == {"seeds", "forget", "retain"}
    apart = arms(1, [[f"{s}-{i}" for i in range(6)] for s in range(4)])
    own = known(two_way_of_arms(apart, matched_difference))
    assert [own.low, own.high] == pytest.approx(plain)
    assert own.method == "Student's t over seeds"


def test_a_split_whose_people_differ_adds_nothing_while_the_other_counts() -> None:
    shared, apart = arms(1), arms(1, [[f"{s}-{i}" for i in range(6)] for s in range(4)])
    mixed = [Arms(a.forget, b.retain) for a, b in zip(shared, apart, strict=True)]
    assert set(known(two_way_of_arms(mixed)).variance) == {"seeds", "forget"}


@pytest.mark.parametrize("seed", range(4))
def test_order_of_seeds_and_people_does_not_matter_and_scale_passes_through(seed: int) -> None:
    generator = np.random.default_rng(seed)
    deltas, influence = generator.normal(0.1, 1, 5), generator.normal(0, 1, (5, 7))
    found = known(two_way_t(deltas, {"forget": influence}))
    order, people = generator.permutation(5), generator.permutation(7)
    mixed = known(two_way_t(deltas[order], {"forget": influence[order][:, people]}))
    assert (mixed.low, mixed.high, mixed.df) == pytest.approx((found.low, found.high, found.df))
    scaled = known(two_way_t(-3 * deltas, {"forget": -3 * influence}))
    assert (scaled.low, scaled.high) == pytest.approx((-3 * found.high, -3 * found.low))
    assert scaled.p() == pytest.approx(found.p())


def test_it_covers_people_like_them_where_students_t_does_not() -> None:
    """Six people's own effects, shared by eight seeds: the truth is 0 over all people."""
    generator = np.random.default_rng(0)
    covered = {"two-way": 0, "t": 0}
    for _ in range(400):
        table = generator.normal(0, 1, 8)[:, None] * 0.3 + generator.normal(0, 1, 12)
        table = table + generator.normal(0, 0.3, (8, 12))
        deltas = table.mean(axis=1)
        wide = known(two_way_t(deltas, {"forget": table - deltas[:, None]}))
        low, high = t_interval(deltas) or [0, 0]
        covered["two-way"] += wide.low <= 0 <= wide.high
        covered["t"] += low <= 0 <= high
    assert covered["two-way"] / 400 > 0.92
    assert covered["t"] / 400 < 0.7


def test_degrees_of_freedom_do_not_fall_below_one() -> None:
    """People's parts nearly cancel: by the formula alone the interval would be without end."""
    people = {"retain": [[0.9, -0.3, -0.3, -0.3], [0.03, -0.01, -0.01, -0.01], [0.0] * 4]}
    found = two_way_t([0.01, 0.0, 0.0], people)
    assert found is not None and found.df == 1.0
    assert found.high - found.low == pytest.approx(2 * 12.7062 * found.standard_error, rel=1e-4)
