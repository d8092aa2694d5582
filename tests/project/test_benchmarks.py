"""The benchmarks compare ways to the same result: that it is the same is tested here, time not."""

import copy
from dataclasses import replace

import pytest
import torch

from benchmarks import _plain, evaluate, train_step
from benchmarks._measure import Laps, Shape, build, speedup, summary
from lacuna.evaluate import metrics, read
from lacuna.model import layout
from lacuna.region import draw
from lacuna.train import RegionWeights, TrainConfig, train

TINY = Shape(hidden=32, layers=2, intermediate=64, heads=2, vocabulary=101, length=24, batch=18)


def test_compact_and_plain_masked_training_end_at_the_same_weights() -> None:
    # Clipping so hard that the norm matters: it must be taken after masking.
    found = train_step.compare(TINY, steps=3, seed=1, clip=1e-3)
    assert found.moved > 1e-3
    assert max(found.difference.values()) < 1e-3 * found.moved
    assert {name: len(laps.wall) for name, laps in found.laps.items()} == {
        "compact": 3,
        "all": 3,
        "outputs": 3,
    }


def test_the_comparison_would_notice_a_wrong_region() -> None:
    model = build(TINY, 0)
    other = copy.deepcopy(model)
    loss = train_step._losses(TINY, 0)
    config = TrainConfig(steps=2, lr=1e-3, batch_size=TINY.batch)
    train(model, RegionWeights(model, draw(layout(model), 0.1, 0)), loss(model), config)
    train(other, RegionWeights(other, draw(layout(other), 0.1, 1)), loss(other), config)
    assert train_step.largest_difference(model, other) > 1e-3


def test_weight_decay_leaks_out_of_a_gradient_mask_until_it_is_put_back() -> None:
    model = build(TINY, 0)
    before = copy.deepcopy(model)
    region = draw(layout(model), 0.1, 0)
    config = TrainConfig(lr=1e-2, weight_decay=0.1)
    plain = train_step.Plain(model, region, config, outputs_only=False)
    plain.step(train_step._losses(TINY, 0)(model), 0)
    outside = "model.embed_tokens.weight"
    assert not torch.equal(model.get_parameter(outside), before.get_parameter(outside))
    plain.restore()
    for name, weight in model.named_parameters():
        same = weight == before.get_parameter(name)
        kept = torch.ones(weight.shape[-1], dtype=torch.bool)
        kept[region.columns.get(name.removesuffix(".weight"), [])] = False
        assert same[..., kept].all(), name
        assert not same[..., ~kept].any(), name


def test_compact_training_holds_sixteen_bytes_per_region_weight() -> None:
    found = train_step.compare(TINY, steps=1, seed=0)
    model = build(TINY, 0)
    # 10% of 2 x 64 value vectors of 32 weights; AdamW's step count is a float per matrix.
    assert found.region_weights == 13 * 32
    assert found.held["compact"] == 16 * 13 * 32 + 2 * 4
    assert found.held["all"] == 16 * model.num_parameters() + 4 * len(list(model.parameters()))
    assert found.held["outputs"] == 16 * 2 * 64 * 32 + 2 * 4


def test_one_pass_gives_the_numbers_of_seven_passes() -> None:
    found = evaluate.compare_metrics(TINY, prompt=6, repeats=1, seed=0)
    assert set(found.difference) == set(_plain.PASSES) and len(found.difference) == 7
    assert max(found.difference.values()) < 2e-5, found.difference


def test_the_benchmarks_texts_spread_extraction_strength() -> None:
    model = build(TINY, 0)
    encoded = evaluate.texts(model, TINY, 6, 0)
    said = read(model, encoded, end_token=TINY.vocabulary - 1, spread=False)
    strength = metrics.extraction_strength(said)
    assert len(set(strength)) > 5
    assert strength.min() < 0.3 and strength.max() > 0.7


def test_mixing_in_place_gives_the_weights_of_mixing_state_dicts() -> None:
    found = evaluate.compare_mixing(TINY, 0.1, 0)
    assert found.difference["any weight"] < 1e-7
    assert {len(laps.wall) for laps in found.laps.values()} == {21}


def test_extraction_strength_equals_real_generation_from_every_prefix() -> None:
    found = evaluate.compare_strength(replace(TINY, length=14), prompt=5, repeats=1, seed=0)
    assert list(found.difference.values()) == [0.0]


def test_a_summary_names_median_minimum_maximum_and_count() -> None:
    assert summary([3.0, 1.0, 2.5], "s").split() == ["2.5s", "1s", "3s", "3"]
    assert speedup([4.0, 9.0], [2.0, 3.0]) == [2.0, 3.0]


def test_warm_up_repetitions_are_left_out() -> None:
    assert Laps([9.0, 1.0, 2.0], [8.0, 3.0, 4.0]).after(1) == Laps([1.0, 2.0], [3.0, 4.0])


@pytest.mark.parametrize("words", [["--steps", "0"], ["--threads", "x"], ["--shape", "7b"]])
def test_bad_options_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train_step", *words])
    with pytest.raises(SystemExit) as stopped:
        train_step.main()
    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err
