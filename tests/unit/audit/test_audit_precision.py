"""Localization precision of planted updates, beside updates that know nothing."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Olmo2Config, Olmo2ForCausalLM

from lacuna.audit.precision import EXACT_WEIGHTS, Comparison, precision
from lacuna.audit.rounded import rounded
from lacuna.audit.stream import open_checkpoint
from lacuna.errors import UserError
from lacuna.region import GroupMasks, WeightRegion, draw_masks
from lacuna.seeds import torch_generator

LEAVES = ("self_attn.q_proj", "mlp.up_proj", "mlp.down_proj")
SHAPES = {
    f"model.layers.{layer}.{leaf}.weight": (160, 160) for layer in range(2) for leaf in LEAVES
}
NAME = "Olmo2ForCausalLM"
TOTAL = 6 * 160 * 160
Truths = dict[str, WeightRegion]


def masks() -> GroupMasks:
    return draw_masks(NAME, SHAPES, groups=6, share=0.065, seed=5)


@pytest.fixture(scope="module")
def truths() -> Truths:
    drawn = masks()
    return {"forget": drawn.union((0, 2, 4)), "union": drawn.union(range(6))}


def weights(seed: int, size: float = 0.02) -> dict[str, Tensor]:
    return {n: size * torch.randn(s, generator=torch_generator(seed, n)) for n, s in SHAPES.items()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Mapping[str, Tensor]], Any]:
    def make(name: str, tensors: Mapping[str, Tensor]) -> Any:
        folder = tmp_path / name
        config = Olmo2Config(
            vocab_size=4, hidden_size=160, intermediate_size=160, num_hidden_layers=2,
            num_attention_heads=1, architectures=[NAME],
        )  # fmt: skip
        config.save_pretrained(folder)
        with torch.device("meta"):
            model = Olmo2ForCausalLM(config)
        whole = {n: torch.ones(w.shape) for n, w in model.named_parameters()} | dict(tensors)
        save_file({n: t.contiguous() for n, t in whole.items()}, folder / "model.safetensors")
        return open_checkpoint(folder)

    return make


def plus(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: a[name] + b[name] for name in a}


def within(region: WeightRegion, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor * region.mask(name) for name, tensor in tensors.items()}


def rows(found: Mapping[str, Any], score: str = "raw") -> dict[str, Any]:
    return {row["truth"]: row for row in found["scores"] if row["score"] == score}


def test_an_oracles_update_has_area_one_and_three_quarters_against_the_union(
    truths: Truths, write: Any
) -> None:
    before = weights(0)
    after = plus(before, within(truths["forget"], weights(1, 1e-3)))
    compared = Comparison(before=write("before", before), after=write("after", after))
    found = precision(compared, truths)
    assert found["scored_weights"] == TOTAL and found["scored_tensors"] == 6
    assert not found["exact"] and TOTAL > EXACT_WEIGHTS
    forget, union = rows(found)["forget"], rows(found)["union"]
    assert forget["auc"] >= 0.999 and forget["auc_error"] < 1e-4
    assert union["auc"] == pytest.approx(0.75, abs=0.005)
    assert forget["headline"] and forget["chance"] == pytest.approx(0.195, abs=0.005)
    assert [forget[share] for share in ("0.1%", "1%", "5%", "10%")] == [1, 1, 1, 1]
    assert forget["at_size"] > 0.999
    for kind in ("noise", "random", "magnitude"):
        assert forget[f"{kind}_auc"] == pytest.approx(0.5, abs=0.01)
        assert forget[f"{kind}_10%"] == pytest.approx(forget["chance"], abs=0.02)
    inside = {row["truth"]: row for row in found["inside"]}
    assert inside["forget"]["precision"] == 1 and inside["forget"]["recall"] > 0.999
    assert inside["forget"]["energy_inside"] == pytest.approx(1)
    assert inside["union"]["recall"] == pytest.approx(0.5, abs=0.01)
    assert len(found["tensors"]) == 12
    assert all(row["auc"] > 0.999 for row in found["tensors"] if row["truth"] == "forget")
    assert {row["component"] for row in found["tensors"]} == set(LEAVES)
    assert json.dumps(found, allow_nan=False)


def test_rounding_at_the_end_leaves_one_half_plus_half_the_share_that_moved(
    truths: Truths, write: Any
) -> None:
    before = {name: tensor.bfloat16() for name, tensor in weights(0).items()}
    moved = within(truths["forget"], weights(1, 1e-4))
    after = {name: (before[name].float() + moved[name]).bfloat16() for name in before}
    found = precision(Comparison(before=write("b", before), after=write("a", after)), truths)
    inside = found["inside"][0]
    assert 0.3 < inside["recall"] < 0.9 and inside["precision"] == 1
    row = rows(found)["forget"]
    assert row["auc"] == pytest.approx(0.5 + inside["recall"] / 2, abs=1e-3)
    assert row["auc_error"] < 1e-3


def test_an_update_anywhere_is_blind_by_every_score_and_so_are_its_nulls(
    truths: Truths, write: Any
) -> None:
    base, before = weights(3), plus(weights(3), weights(4, 1e-2))
    compared = Comparison(
        before=write("before", before),
        after=write("after", plus(before, weights(1, 1e-3))),
        base=write("base", base),
        control=(write("c0", weights(8)), write("c1", plus(weights(8), weights(9, 1e-3)))),
    )
    found = precision(compared, truths)
    assert len(found["scores"]) == 2 * 11
    for row in found["scores"]:
        for kind in ("", "noise_", "random_"):
            assert row[f"{kind}auc"] == pytest.approx(0.5, abs=0.01), (row["score"], kind)
            assert row[f"{kind}auc_error"] < 1e-3
    best = found["best"][0]
    assert best["of_scores"] == 11
    assert best["auc"] == max(r["auc"] for r in found["scores"] if r["truth"] == "forget")
    assert best["noise_auc"] == max(
        r["noise_auc"] for r in found["scores"] if r["truth"] == "forget"
    )


def test_where_injection_shows_a_null_update_finds_the_mask_by_reversal_but_not_by_raw(
    truths: Truths, write: Any
) -> None:
    """Weights never injected hardly move towards base by chance, injected ones half the time."""
    base = weights(3)
    before = plus(base, within(truths["forget"], weights(4, 0.2)))
    after = plus(before, weights(1, 1e-2))
    compared = Comparison(
        before=write("before", before), after=write("after", after), base=write("base", base)
    )
    found = precision(compared, truths)
    reversal = rows(found, "reversal")["forget"]
    assert reversal["auc"] > 0.8 and reversal["noise_auc"] > 0.8
    raw = rows(found)["forget"]
    assert raw["auc"] == pytest.approx(0.5, abs=0.01)
    assert raw["magnitude_auc"] > 0.8, "injection lengthens"
    best = found["best"][0]
    assert best["score"] != "raw" and abs(best["auc"] - best["noise_auc"]) < 0.02


def test_a_layers_scale_is_divided_away_and_contrast_needs_the_control(
    truths: Truths, write: Any
) -> None:
    """One layer moves 100 times as far everywhere; inside the mask, everything twice as far."""
    before, noise = weights(0), weights(1, 1e-4)
    for name in noise:
        noise[name] *= (1 + truths["forget"].mask(name)) * (100 if ".1." in name else 1)
    after = plus(before, noise)
    compared = Comparison(before=write("before", before), after=write("after", after))
    found = precision(compared, truths)
    raw, scaled = rows(found)["forget"]["auc"], rows(found, "layernorm")["forget"]["auc"]
    assert scaled > raw + 0.05
    assert {row["score"] for row in found["scores"]} == {"raw", "qtile", "layernorm"}


def test_few_weights_are_counted_exactly_and_agree_with_the_histogram(
    truths: Truths, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, name = truths["forget"], next(iter(SHAPES))
    region = WeightRegion(NAME, {name: SHAPES[name]}, {name: whole.bits[name]})
    before, noise = weights(0), weights(1, 1e-3)
    after = plus(before, {n: t * (1 + whole.mask(n)) for n, t in noise.items()})
    compared = Comparison(before=write("before", before), after=write("after", after))
    exact = precision(compared, {"region": region})
    assert precision(compared, {"region": region}) == exact, "the same seed, the same numbers"
    monkeypatch.setitem(precision.__globals__, "EXACT_WEIGHTS", 0)
    rough = precision(compared, {"region": region})
    assert exact["exact"] and not rough["exact"]
    assert exact["scored_tensors"] == rough["scored_tensors"] == 1
    for a, b in zip(exact["scores"], rough["scores"], strict=True):
        assert a["auc_error"] == 0 and abs(a["auc"] - b["auc"]) <= b["auc_error"] < 3e-4


def test_a_region_for_another_model_is_refused(truths: Truths, write: Any) -> None:
    before = write("before", weights(0))
    region = truths["forget"]
    other = WeightRegion("LlamaForCausalLM", region.shapes, region.bits)
    with pytest.raises(UserError, match="masks are for LlamaForCausalLM, the model is Olmo2"):
        precision(Comparison(before=before, after=before), {"region": other})


@pytest.mark.parametrize("size", [3e-6, 3e-5, 3e-3])
def test_rounding_leaves_half_and_half_the_share_that_still_differs(
    truths: Truths, write: Any, size: float
) -> None:
    before = weights(0)
    moved = within(truths["forget"], weights(1, size))
    pair = Comparison(before=write("before", before), after=write("after", plus(before, moved)))
    forget, union = rounded(pair, truths)
    wide = truths["forget"]
    pairs = [
        (before[n].bfloat16(), plus(before, moved)[n].bfloat16(), wide.mask(n)) for n in SHAPES
    ]
    differs = sum(int((a != b).sum()) for a, b, _ in pairs)
    assert 0 < differs < len(wide)
    assert forget["changed"] == union["changed"] == differs
    assert forget["recall"] == differs / len(wide)
    assert forget["auc"] == pytest.approx(0.5 + forget["recall"] / 2, abs=1e-9)
    assert forget["auc_error"] == pytest.approx(0, abs=1e-4)
    assert rounded(pair, truths, torch.float32)[0]["auc"] == pytest.approx(1, abs=1e-4)
