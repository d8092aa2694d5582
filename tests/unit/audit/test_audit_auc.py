"""AUC and precision of per-weight scores: rank formula, histogram bounds, ties, planted masks."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from lacuna.audit.auc import COARSE, EXACT, Tally, exact_auc, from_sketch, sketch, tally
from lacuna.seeds import torch_generator

N = 60_000


def by_ranks(scores: Tensor, truth: Tensor) -> float:
    """Mann-Whitney with mean ranks: what scikit-learn's roc_auc_score gives."""
    ranks, inside = rankdata(scores.double().numpy()), truth.numpy()
    positives = inside.sum()
    above = ranks[inside].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (~inside).sum()))


def sample(kind: str) -> tuple[Tensor, Tensor]:
    generator = torch_generator(3, kind)
    truth = torch.rand(N, generator=generator) < 0.1
    noise = torch.randn(N, generator=generator)
    scores = {
        "signed": noise + 0.3 * truth,
        "sizes": (noise * (1 + truth)).abs() * 1e-5,
        "heavy": (noise / torch.rand(N, generator=generator).clamp_min(1e-6)) ** 3,
        "ties": (noise + truth).round(),
        "zeros": torch.where(torch.rand(N, generator=generator) < 0.9, 0.0, noise.abs()),
        "minus zero": torch.where(truth, -0.0, 0.0),
        "constant": torch.full((N,), 0.7),
        "ranks": torch.argsort(torch.argsort(noise + truth)) / (N - 1),
    }
    return scores[kind], truth


KINDS = ["signed", "sizes", "heavy", "ties", "zeros", "minus zero", "constant", "ranks"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_exact_area_is_the_rank_formula_and_the_histogram_keeps_its_bound(kind: str) -> None:
    scores, truth = sample(kind)
    wanted = by_ranks(scores, truth)
    assert exact_auc(scores, truth) == pytest.approx(wanted, abs=1e-12)
    whole = tally(scores, [truth], EXACT).auc()
    rough = tally(scores, [truth]).auc()
    assert whole is not None and rough is not None and whole.error == 0
    assert abs(rough.value - wanted) <= rough.error + 1e-12
    assert rough.error < (1e-12 if kind in ("ties", "minus zero", "constant") else 5e-4)


def test_the_bound_is_reached_where_one_bin_holds_everything_in_order() -> None:
    truth = torch.arange(100) >= 50
    scores = 1 + torch.arange(100) * 2.0**-23  # all in one coarse bin, perfectly ordered
    found = tally(scores, [truth]).auc()
    assert found is not None and (found.value, found.error) == (0.5, 0.5)
    assert exact_auc(scores, truth) == 1.0


def test_the_least_numbers_of_either_sign_are_not_taken_for_equal() -> None:
    """Subnormals of one size share the bin of 0 whatever their sign."""
    least = torch.tensor([1e-44, -1e-44])
    for scores, truth, wanted in (
        (least, torch.tensor([True, False]), 1.0),
        (least, torch.tensor([False, True]), 0.0),
    ):
        found = tally(scores, [truth]).auc()
        assert exact_auc(scores, truth) == wanted
        assert found is not None and abs(found.value - wanted) <= found.error == 0.5
    same = tally(torch.tensor([-1e-44, -1e-44]), [torch.tensor([True, False])]).auc()
    assert same is not None and (same.value, same.error) == (0.5, 0.0)
    zeros = tally(torch.tensor([-0.0, 0.0]), [torch.tensor([True, False])]).auc()
    assert zeros is not None and (zeros.value, zeros.error) == (0.5, 0.0)


def test_a_truth_of_one_class_has_no_area() -> None:
    scores = torch.rand(10)
    for truth in (torch.zeros(10, dtype=torch.bool), torch.ones(10, dtype=torch.bool)):
        assert exact_auc(scores, truth) is None


@pytest.mark.parametrize("bits", [EXACT, COARSE])
def test_tallies_of_parts_add_up_to_the_tally_of_the_whole(bits: int) -> None:
    scores, truth = sample("signed")
    whole = tally(scores, [truth], bits)
    parts = [tally(*part, bits) for part in ((scores[:9], [truth[:9]]), (scores[9:], [truth[9:]]))]
    added = parts[0] + parts[1]
    assert np.array_equal(whole.keys, added.keys)
    assert np.array_equal(whole.counts, added.counts)
    assert np.array_equal(whole.rest, added.rest)


def test_an_untouched_tensor_ties_with_untouched_weights_of_others_and_below_touched_ones() -> None:
    """The public code puts a constant tensor into the middle of the histogram's range."""
    moved, truth = torch.tensor([0.0, 0.0, 1.0, 2.0]), torch.tensor([False, False, True, True])
    still = torch.zeros(100)
    nothing = torch.zeros(100, dtype=torch.bool)
    found = (tally(moved, [truth]) + tally(still, [nothing])).auc()
    assert found is not None and found.value == 1.0 and found.error == 0


@pytest.mark.parametrize("bits", [EXACT, COARSE])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.1, 1.0])
def test_precision_is_the_share_of_the_top_within_its_bound(bits: int, share: float) -> None:
    scores, truth = sample("sizes")
    count = max(1, int(share * N))
    wanted = truth[scores.argsort(descending=True)[:count]].double().mean().item()
    found = tally(scores, [truth], bits).precision(share)
    assert abs(found.value - wanted) <= found.error + 1e-12
    assert found.error == 0 if bits == EXACT else found.error < 0.05


def test_precision_cuts_through_ties_in_random_order() -> None:
    scores = torch.tensor([3.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    truth = torch.tensor([True, True, False, False, False, True, False, False, False, False])
    found = tally(scores, [truth], EXACT)
    assert found.precision(0.3).value == pytest.approx((1 + 2 / 4) / 3)
    assert found.precision(1.0).value == pytest.approx(0.3)
    assert found.precision(1e-9).value == 1.0, "at least one weight"


def test_a_planted_change_has_area_one_and_three_of_six_groups_three_quarters() -> None:
    generator = torch_generator(0, "planted")
    group = (torch.rand(N, generator=generator) / 0.05).long()  # groups 0 to 5, others above
    forget, union = (group < 6) & (group % 2 == 0), group < 6
    moved = torch.randn(N, generator=generator) * forget
    areas = [tally(moved.abs(), [forget, union]).auc(k) for k in (0, 1)]
    assert areas[0] is not None and areas[0].value == 1.0
    assert areas[1] is not None and areas[1].value == pytest.approx(0.75, abs=0.005)


@pytest.mark.parametrize("size", [1e-5, 1e-4, 1e-3])
def test_rounding_to_bf16_makes_the_area_one_half_plus_half_the_share_that_moved(
    size: float,
) -> None:
    generator = torch_generator(1, "rounding")
    before = (torch.randn(N, generator=generator) * 0.02).bfloat16().float()
    truth = torch.rand(N, generator=generator) < 0.2
    after = before + size * torch.randn(N, generator=generator) * truth
    change = (after.bfloat16().float() - before).abs()
    share = (change[truth] > 0).double().mean().item()
    found = tally(change, [truth]).auc()
    assert 0 < share < 1 and found is not None
    assert found.value == pytest.approx(0.5 + share / 2, abs=1e-3)
    assert found.error < 1e-9, "inside against outside is never within one bin but 0's"


def test_a_change_anywhere_is_blind() -> None:
    generator = torch_generator(2, "anywhere")
    truth = torch.rand(N, generator=generator) < 0.2
    found = tally(torch.randn(N, generator=generator).abs(), [truth])
    area = found.auc()
    assert area is not None and area.value == pytest.approx(0.5, abs=0.01)
    assert found.precision(0.05).value == pytest.approx(0.2, abs=0.03)


def gini(values: Tensor) -> float:
    """Mean absolute difference over twice the mean."""
    wide = values.double()
    return float((wide[:, None] - wide[None, :]).abs().mean() / (2 * wide.mean()))


def test_gini_is_half_the_relative_mean_difference() -> None:
    values = sample("sizes")[0][:800]
    wanted = gini(values)
    assert tally(values, bits=EXACT).gini() == pytest.approx(wanted, abs=1e-6)
    assert tally(values, bits=COARSE).gini() == pytest.approx(wanted, abs=1 / 2048)
    parts = sketch(values[:300]) + sketch(values[300:])
    assert from_sketch(parts).gini() == pytest.approx(wanted, abs=1 / 512)
    assert from_sketch(parts).total == 800


def test_gini_of_equal_of_concentrated_and_of_no_change() -> None:
    assert tally(torch.ones(50), bits=EXACT).gini() == pytest.approx(0)
    one = torch.zeros(50)
    one[7] = 3
    assert from_sketch(sketch(one)).gini() == pytest.approx(1 - 1 / 50)
    assert tally(torch.zeros(50)).gini() is None


def test_the_values_of_bins_are_within_them() -> None:
    scores = torch.tensor([-2.0, -1e-3, 0.0, 5e-6, 1.5])
    found = tally(scores)
    assert isinstance(found, Tally)
    assert found.values() == pytest.approx(scores.tolist(), rel=2**-11)
    assert tally(scores, [scores > 0]).values() == pytest.approx(scores.tolist(), rel=1e-12)
    assert tally(scores, bits=EXACT).values() == pytest.approx(scores.tolist(), rel=1e-12)
