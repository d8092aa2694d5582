"""Regions: budgets, draws, set algebra, selection by score, files, overlap."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from lacuna.errors import UserError
from lacuna.model import Layout
from lacuna.region import Region, budget, draw, draw_outside, load_region, overlap, ranking, top
from lacuna.tensors import save_tensors

WIDE = Layout("Toy", {"a": (4, 60), "b": (4, 60), "c": (4, 80)})
SMALL = Layout("Toy", {"a": (2, 4), "b": (2, 3)})


def region(columns: Mapping[str, list[int]], layout: Layout = SMALL) -> Region:
    """A region of the given columns."""
    return Region(layout, {name: torch.tensor(list_) for name, list_ in columns.items()})


def chosen(found: Region) -> dict[str, list[int]]:
    return {name: columns.tolist() for name, columns in found.columns.items()}


@pytest.mark.parametrize(
    ("ratio", "count"), [(0.005, 1), (0.01, 2), (0.1, 20), (0.333, 67), (1.0, 200)]
)
def test_a_draw_meets_its_budget_exactly(ratio: float, count: int) -> None:
    drawn = draw(WIDE, ratio, seed=0)
    assert len(drawn) == budget(WIDE, ratio) == count
    assert drawn.fraction == count / 200
    for columns in drawn.columns.values():
        assert columns.tolist() == sorted(set(columns.tolist()))


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.1, float("nan"), 0.001])
def test_a_ratio_that_selects_nothing_or_too_much_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match=f"region.ratio={ratio}"):
        budget(WIDE, ratio)


def test_a_seed_decides_the_draw_and_every_vector_is_equally_likely() -> None:
    assert torch.equal(draw(WIDE, 0.1, 3).flat(), draw(WIDE, 0.1, 3).flat())
    assert not torch.equal(draw(WIDE, 0.1, 3).flat(), draw(WIDE, 0.1, 4).flat())
    hits = sum(draw(WIDE, 0.1, seed).flat().int() for seed in range(300))
    # binomial(300, 0.1): mean 30, standard deviation 5.2; 5 of them allow for 200 vectors
    assert isinstance(hits, torch.Tensor)
    assert int(hits.min()) > 4 and int(hits.max()) < 56
    assert int(hits.sum()) == 300 * 20


@pytest.mark.parametrize("like", ["uniform", "layers"])
@pytest.mark.parametrize("ratio", [0.01, 0.2, 0.45])
def test_a_draw_outside_is_as_large_and_disjoint(like: str, ratio: float) -> None:
    target = draw(WIDE, ratio, seed=1)
    for seed in range(5):
        other = draw_outside(target, seed, like=like)  # type: ignore[arg-type]
        assert len(other) == len(target)
        assert len(other & target) == 0
        if like == "layers":
            assert other.by_layer() == target.by_layer()


def test_a_region_over_one_half_leaves_no_room_outside() -> None:
    with pytest.raises(UserError, match=r"use at most 0\.5"):
        draw_outside(draw(WIDE, 0.51, 0), seed=1)
    assert len(draw_outside(draw(WIDE, 0.5, 0), seed=1)) == 100


def test_a_layer_with_over_one_half_leaves_no_room_in_that_layer() -> None:
    crowded = region({"a": [0, 1, 2]})
    assert crowded.fraction < 0.5
    assert len(draw_outside(crowded, seed=0) & crowded) == 0
    with pytest.raises(UserError, match="3 of 4 vectors of a"):
        draw_outside(crowded, seed=0, like="layers")


def test_region_algebra_is_set_algebra() -> None:
    x, y = region({"a": [0, 2], "b": [1]}), region({"a": [2, 3]})
    assert chosen(x | y) == {"a": [0, 2, 3], "b": [1]}
    assert chosen(x & y) == {"a": [2]}
    assert chosen(x - y) == {"a": [0], "b": [1]}
    assert chosen(x.complement()) == {"a": [1, 3], "b": [0, 2]}
    assert len(x | x.complement()) == 7 and len(x & x.complement()) == 0
    assert chosen(x.complement().complement()) == chosen(x)
    assert x.by_layer() == {"a": 2, "b": 1} and y.by_layer() == {"a": 2, "b": 0}
    assert x.fraction == 3 / 7
    assert chosen(Region.from_flat(SMALL, x.flat())) == chosen(x)


def test_regions_of_different_models_do_not_mix() -> None:
    for other in (WIDE, Layout("Other", SMALL.shapes)):
        with pytest.raises(UserError, match="draw a region for this model"):
            region({"a": [0]}) | region({"a": [0]}, other)


def test_a_saved_region_comes_back_with_its_origin(tmp_path: Path) -> None:
    drawn = draw(WIDE, 0.1, seed=5)
    drawn.save(tmp_path / "r.safetensors")
    loaded = load_region(tmp_path / "r.safetensors", WIDE)
    assert chosen(loaded) == chosen(drawn)
    assert loaded.layout == WIDE
    assert loaded.origin == drawn.origin == {"seed": "5", "drawn": "target"}


def test_a_region_of_another_model_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    draw(WIDE, 0.1, seed=5).save(tmp_path / "r.safetensors")
    with pytest.raises(UserError, match=f"{WIDE.fingerprint}.*{SMALL.fingerprint}"):
        load_region(tmp_path / "r.safetensors", SMALL)


def test_a_file_that_is_no_region_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match="x.safetensors does not exist"):
        load_region(path)
    save_tensors(path, {"a": torch.tensor([1])}, {"architecture": "Toy"})
    with pytest.raises(UserError, match="not a region file: it lacks fingerprint, fraction"):
        load_region(path)


@pytest.mark.parametrize("columns", [{"a": [4]}, {"a": [-1]}, {"z": [0]}, {"b": [1, 1]}])
def test_a_region_file_with_impossible_columns_is_refused(
    tmp_path: Path, columns: dict[str, list[int]]
) -> None:
    region(columns).save(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=f"x.safetensors.*{next(iter(columns))}"):
        load_region(tmp_path / "x.safetensors")


SCORES = {"a": torch.tensor([5.0, 1.0, 5.0, 2.0]), "b": torch.tensor([5.0, 4.0, 3.0])}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (2, {"a": [0, 2]}),  # three tie at 5: the lower index wins
        (3, {"a": [0, 2], "b": [0]}),
        (5, {"a": [0, 2], "b": [0, 1, 2]}),
        (7, {"a": [0, 1, 2, 3], "b": [0, 1, 2]}),
    ],
)
def test_the_best_scores_of_the_whole_model_are_taken(
    count: int, expected: dict[str, list[int]]
) -> None:
    assert chosen(top(SMALL, SCORES, count)) == expected


def test_each_layer_gives_its_share() -> None:
    assert chosen(top(SMALL, SCORES, 3, scope="layer")) == {"a": [0, 2], "b": [0]}
    matched = top(SMALL, SCORES, 4, scope="matched", like=region({"a": [3], "b": [0, 1, 2]}))
    assert chosen(matched) == {"a": [0], "b": [0, 1, 2]}


@pytest.mark.parametrize("count", range(1, 8))
def test_equal_shares_follow_the_width_and_meet_any_budget(count: int) -> None:
    found = top(SMALL, SCORES, count, scope="layer").by_layer()
    assert sum(found.values()) == count
    assert abs(found["a"] - count * 4 / 7) < 1


def test_matched_shares_scale_with_the_budget_until_a_layer_is_full() -> None:
    like = region({"a": [3], "b": [0, 1, 2]})
    for count, expected in ((1, (0, 1)), (2, (1, 1)), (3, (1, 2)), (4, (1, 3))):
        found = top(SMALL, SCORES, count, scope="matched", like=like)
        assert tuple(found.by_layer().values()) == expected
    with pytest.raises(UserError, match="5 vectors would need 4 of the 3 of b"):
        top(SMALL, SCORES, 5, scope="matched", like=like)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_of_a_diverged_model_select_nothing(bad: float) -> None:
    scores = {"a": torch.zeros(4), "b": torch.tensor([0.0, bad, 0.0])}
    with pytest.raises(UserError, match="scores of b are not finite"):
        top(SMALL, scores, 2)


def test_overlap_counts_hits_against_found_and_against_truth() -> None:
    found, truth = region({"a": [0, 1, 2, 3]}), region({"a": [2], "b": [0, 1]})
    assert overlap(found, truth) == {
        "precision": 1 / 4,
        "recall": 1 / 3,
        "by_layer": [
            {"layer": 0, "precision": 1 / 4, "recall": 1.0},
            {"layer": 1, "precision": None, "recall": 0.0},
        ],
    }
    assert overlap(truth, truth)["precision"] == overlap(truth, truth)["recall"] == 1.0


def test_ranking_by_hand_with_ties() -> None:
    """Best first: {true}, {true, false, false}, {false, false, false}."""
    scores = {"a": torch.tensor([9.0, 5.0, 5.0, 1.0]), "b": torch.tensor([5.0, 1.0, 1.0])}
    found = ranking(scores, region({"a": [0, 1]}))
    # pairs won: 5 of 5 and 3 + 2/2 of 5; precision 1 at recall 1/2, 2/4 at recall 1
    assert found == {"auc": pytest.approx(9 / 10), "average_precision": pytest.approx(3 / 4)}


@pytest.mark.parametrize(
    ("sign", "auc", "average"),
    [(1, 1.0, 1.0), (0, 0.5, 3 / 7), (-1, 0.0, (1 / 5 + 2 / 6 + 3 / 7) / 3)],
)
def test_ranking_at_its_limits(sign: int, auc: float, average: float) -> None:
    truth = region({"a": [1, 3], "b": [2]})
    noise = torch.arange(7.0) / 10
    inside = (truth.flat().double() + noise.double() * 0.1) * sign
    found = ranking(dict(zip("ab", inside.split([4, 3]), strict=True)), truth)
    assert found["auc"] == auc
    assert found["average_precision"] == pytest.approx(average)  # worst: ranks 5, 6 and 7


def test_ranking_is_blind_to_any_increasing_change_of_the_scores() -> None:
    truth = draw(WIDE, 0.2, seed=1)
    noise = torch.rand(200, generator=torch.Generator().manual_seed(0)) + 0.3 * truth.flat()
    scores = dict(zip("abc", noise.split([60, 60, 80]), strict=True))
    found = ranking(scores, truth)
    assert 0.6 < (found["auc"] or 0) < 1
    assert ranking({n: s.exp() * 5 - 2 for n, s in scores.items()}, truth) == found


def test_ranking_against_nothing_or_everything_is_undefined() -> None:
    nothing = region({})
    for truth in (nothing, nothing.complement()):
        assert ranking(SCORES, truth) == {"auc": None, "average_precision": None}
