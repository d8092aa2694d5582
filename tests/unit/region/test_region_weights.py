"""Regions of single weights: packing, algebra, draws, files, and what fits which model."""

from pathlib import Path

import pytest
import torch
from support.tiny import tiny_model, tiny_region
from torch import Tensor

from lacuna.errors import UserError
from lacuna.model import layout, value_modules
from lacuna.region import (
    GroupMasks,
    Region,
    WeightRegion,
    draw_masks,
    draw_weights_outside,
    element_mask,
    load_masks,
    load_region,
    load_vectors,
    scored_shapes,
)
from lacuna.region.bits import invert, number, pack, positions, unpack
from lacuna.seeds import torch_generator
from lacuna.tensors import load_tensors, save_tensors

SHAPES = {"model.layers.0.a.weight": (40, 25), "model.layers.1.b.weight": (7, 13)}


def masks(seed: int = 0, share: float = 0.1, groups: int = 6) -> GroupMasks:
    return draw_masks("Toy", SHAPES, groups, share, seed)


def coin(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, generator=torch_generator(seed, "coin")) < 0.4


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 1001])
def test_packed_bits_stand_where_the_contract_says(count: int) -> None:
    mask = coin(count)
    bits = pack(mask)
    assert bits.dtype == torch.uint8 and len(bits) == -(-count // 8)
    by_hand = [bool(int(bits[i // 8]) >> i % 8 & 1) for i in range(count)]
    assert by_hand == mask.tolist() == unpack(bits, count).tolist()
    assert positions(bits, count).tolist() == mask.nonzero()[:, 0].tolist()
    assert number(bits) == int(mask.sum())
    assert torch.equal(unpack(invert(bits, count), count), ~mask)
    assert number(invert(bits, count)) == count - number(bits), "no bit beyond the last weight"


def dense(region: WeightRegion) -> Tensor:
    return torch.cat([region.mask(name).reshape(-1) for name in SHAPES])


def test_algebra_is_set_algebra_on_the_weights() -> None:
    a, b = masks().union([0, 1, 2]), masks(seed=1).union([0, 1])
    for found, wanted in (
        (a | b, dense(a) | dense(b)),
        (a & b, dense(a) & dense(b)),
        (a - b, dense(a) & ~dense(b)),
        (a.complement(), ~dense(a)),
    ):
        assert torch.equal(dense(found), wanted)
        assert len(found) == int(wanted.sum()) == sum(found.by_tensor().values())
        assert found.fraction == pytest.approx(float(wanted.double().mean()))
    for name in SHAPES:
        assert a.mask(name).shape == SHAPES[name]
        assert a.indices(name).tolist() == a.mask(name).reshape(-1).nonzero()[:, 0].tolist()


def test_regions_of_other_weights_are_not_combined() -> None:
    other = draw_masks("Toy", {"model.layers.0.a.weight": (25, 40)}, 6, 0.1, 0)
    with pytest.raises(UserError, match="cannot be combined"):
        masks().union([0]) | other.union([0])


def test_group_masks_are_disjoint_and_of_the_asked_density_everywhere() -> None:
    shapes = {f"model.layers.{i}.w.weight": (200, 300) for i in range(3)}
    drawn = draw_masks("Toy", shapes, 6, 0.065, seed=3)
    for name in shapes:
        sizes = [len(drawn.indices(name, group)) for group in range(6)]
        # binomial(60000, .065): mean 3900, standard deviation 60.4
        assert all(abs(size - 3900) < 5 * 60.4 for size in sizes)
        every = torch.cat([drawn.indices(name, group) for group in range(6)])
        assert len(every.unique()) == len(every) == sum(sizes)
    assert len(drawn.union(range(6))) == sum(len(drawn.union([group])) for group in range(6))
    assert drawn.union(range(6)).fraction == pytest.approx(0.39, abs=0.01)


def test_a_seed_decides_the_masks() -> None:
    same, other = masks(seed=4).union([2]), masks(seed=5).union([2])
    assert torch.equal(dense(masks(seed=4).union([2])), dense(same))
    assert not torch.equal(dense(same), dense(other))


@pytest.mark.parametrize(("groups", "share"), [(6, 0.17), (0, 0.1), (2, 0.0), (1, -0.1)])
def test_masks_that_do_not_fit_beside_each_other_are_refused(groups: int, share: float) -> None:
    with pytest.raises(UserError, match="they are disjoint"):
        masks(share=share, groups=groups)


@pytest.mark.parametrize("group", [-1, 6])
def test_a_group_that_is_not_there_is_refused(group: int) -> None:
    with pytest.raises(UserError, match=f"group {group}: the masks hold groups 0 to 5"):
        masks().union([0, group])


def test_whole_vectors_are_neurons_and_heads() -> None:
    shapes = scored_shapes(layout(tiny_model()))
    for name in shapes:
        if "k_proj" in name or "v_proj" in name:
            shapes[name] = (8, 16)  # two queries share a key head
    drawn = draw_masks("Olmo2ForCausalLM", shapes, 2, 0.4, seed=1, unit="vector", head_size=8)
    for layer in range(2):
        mlp, attention = f"model.layers.{layer}.mlp", f"model.layers.{layer}.self_attn"
        for group in range(2):
            region = drawn.union([group])
            neurons = region.mask(f"{mlp}.down_proj.weight").any(dim=0)
            assert torch.equal(
                region.mask(f"{mlp}.down_proj.weight"),
                neurons.expand(shapes[f"{mlp}.down_proj.weight"]),
            )
            for leaf in ("gate_proj", "up_proj"):
                rows = region.mask(f"{mlp}.{leaf}.weight")
                assert torch.equal(rows, neurons[:, None].expand_as(rows))
            head = region.mask(f"{attention}.k_proj.weight")
            assert bool(head.all()) or not bool(head.any()), "one key head with all its queries"
            for leaf in ("q_proj", "v_proj", "o_proj"):
                assert bool((region.mask(f"{attention}.{leaf}.weight") == head[0, 0]).all())
    assert 0.1 < drawn.union([0]).fraction < 0.7
    assert len(drawn.union([0]) & drawn.union([1])) == 0


def test_whole_vectors_of_unknown_matrices_are_refused() -> None:
    with pytest.raises(UserError, match="use unit=weight"):
        draw_masks("Toy", SHAPES, 2, 0.1, 0, unit="vector")
    shapes = scored_shapes(layout(tiny_model()))
    with pytest.raises(UserError, match="head_size"):
        draw_masks("Toy", shapes, 2, 0.1, 0, unit="vector")


def test_a_random_region_is_as_large_in_every_tensor_and_outside_all_masks() -> None:
    drawn = masks()
    target, every = drawn.union([0, 2, 4]), drawn.union(range(6))
    other = draw_weights_outside(target, every.complement(), seed=9)
    assert other.by_tensor() == target.by_tensor()
    assert len(other & every) == 0
    assert not torch.equal(
        dense(other), dense(draw_weights_outside(target, every.complement(), seed=10))
    )
    full = masks(share=0.166)
    with pytest.raises(UserError, match="smaller or fewer masks"):
        draw_weights_outside(full.union([0, 2, 4]), full.union(range(6)).complement(), seed=0)


def test_further_random_regions_keep_clear_of_those_before_until_none_fits() -> None:
    drawn = masks()
    target, free = drawn.union([0]), drawn.union(range(6)).complement()
    regions = [draw_weights_outside(target, free, 9, number) for number in (1, 2, 3)]
    assert torch.equal(dense(regions[0]), dense(draw_weights_outside(target, free, 9)))
    assert {tuple(one.by_tensor().items()) for one in regions} == {
        tuple(target.by_tensor().items())
    }
    assert all(len(one & drawn.union(range(6))) == 0 for one in regions)
    assert sum(map(len, regions)) == len(regions[0] | regions[1] | regions[2])
    with pytest.raises(UserError, match="a random region needs .*: use regions=2, or smaller or"):
        draw_weights_outside(target, regions[0] | regions[1], 9, 3)


@pytest.mark.parametrize("architecture", ["olmo2", "gpt_neox", "gemma2"])
def test_only_matrices_of_the_layers_are_scored(architecture: str) -> None:
    model = tiny_model(architecture, layers=3)
    shapes = scored_shapes(layout(model))
    weights = dict(model.named_parameters())
    assert {n for n, w in weights.items() if w.dim() == 2} - set(shapes) <= {
        n for n in weights if "embed" in n or "head" in n
    }
    assert all(tuple(weights[name].shape) == shape for name, shape in shapes.items())
    kept = scored_shapes(layout(model), skip=(-1, 0))
    assert kept and all(".1." in name for name in kept)
    with pytest.raises(UserError, match="skip_layers=3"):
        scored_shapes(layout(model), skip=(3,))
    with pytest.raises(UserError, match="no weight is left"):
        scored_shapes(layout(model), skip=(0, 1, 2))


def test_files_give_back_what_was_saved(tmp_path: Path) -> None:
    drawn = masks(seed=2)
    drawn.save(tmp_path / "masks.safetensors")
    region = drawn.union([1, 3])
    region.save(tmp_path / "region.safetensors")
    again = load_masks(tmp_path / "masks.safetensors")
    assert again.groups == 6 and again.origin == drawn.origin
    for name in SHAPES:
        assert torch.equal(again.bits[name], drawn.bits[name])
    forget = load_region(tmp_path / "masks.safetensors")
    assert isinstance(forget, WeightRegion) and forget.origin["groups"] == "0,2,4"
    assert torch.equal(dense(forget), dense(drawn.union([0, 2, 4])))
    found = load_region(tmp_path / "region.safetensors")
    assert isinstance(found, WeightRegion) and found.origin == region.origin
    assert torch.equal(dense(found), dense(region))
    with pytest.raises(UserError, match="holds no masks of groups"):
        load_masks(tmp_path / "region.safetensors")
    with pytest.raises(UserError, match="not a region file"):
        load_vectors(tmp_path / "region.safetensors")


def test_a_region_of_value_vectors_is_read_by_the_same_call(tmp_path: Path) -> None:
    region = tiny_region(tiny_model())
    region.save(tmp_path / "r.safetensors")
    found = load_region(tmp_path / "r.safetensors")
    assert isinstance(found, Region) and torch.equal(found.flat(), region.flat())


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    path, name = tmp_path / "m.safetensors", "model.layers.1.b.weight"
    masks().save(path)
    tensors, metadata = load_tensors(path)
    both = tensors[name].clone()
    both[1] = both[0]
    tail = tensors[name].clone()
    tail[0, -1] |= 0x80
    short = {key: value for key, value in tensors.items() if key != name}
    for damage, text in (
        ({**tensors, name: both}, "two groups share weights"),
        ({**tensors, name: tail}, "bits beyond its 91 weights"),
        ({**tensors, name: tensors[name][:, :-1]}, r"must be uint8 \[6, 12\]"),
        ({**tensors, name: tensors[name].int()}, "must be uint8"),
        (short, "in the file or in its list"),
    ):
        save_tensors(path, damage, metadata)
        with pytest.raises(UserError, match=text):
            load_region(path)
    save_tensors(path, tensors, {**metadata, "architecture": "Other"})
    with pytest.raises(UserError, match="was altered"):
        load_region(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_region(path)
    (tmp_path / "mask.pt").write_bytes(b"\x80")
    with pytest.raises(UserError, match="is a pickle"):
        load_region(tmp_path / "mask.pt")


def test_masks_of_another_model_are_refused() -> None:
    model = tiny_model()
    drawn = draw_masks("Olmo2ForCausalLM", scored_shapes(layout(model)), 2, 0.1, 0)
    drawn.require_fit(layout(model))
    with pytest.raises(UserError, match="masks are for Olmo2ForCausalLM, the model is Llama"):
        drawn.require_fit(layout(tiny_model("llama")))
    deep = draw_masks("Olmo2ForCausalLM", scored_shapes(layout(tiny_model(layers=3))), 2, 0.1, 0)
    with pytest.raises(UserError, match="no such weight"):
        deep.union([0]).require_fit(layout(model))


def test_element_masks_are_alike_for_both_kinds_of_region() -> None:
    model = tiny_model()
    vectors = tiny_region(model)
    for name, weight in model.named_parameters():
        mask = element_mask(vectors, name, weight.shape)
        module = name.removesuffix(".weight")
        if module not in value_modules(model):
            assert mask is None
            continue
        assert mask is not None and mask.shape == weight.shape
        assert mask.all(dim=0).nonzero()[:, 0].tolist() == vectors.columns[module].tolist()
        assert int(mask.sum()) == weight.shape[0] * len(vectors.columns[module])
        with pytest.raises(UserError, match="the region holds"):
            element_mask(vectors, name, (3, 3))
    region = masks().union([0])
    name = "model.layers.1.b.weight"
    found = element_mask(region, name, (7, 13))
    assert found is not None and torch.equal(found, region.mask(name))
    assert element_mask(region, "model.norm.weight", (7,)) is None


def published(path: Path, drawn: GroupMasks) -> dict[str, Tensor]:
    """LACUNA's form: an int32 a weight, bit g for group g."""
    words = {
        name: sum(
            (drawn.union([g]).mask(name).int() << g for g in range(drawn.groups)),
            torch.zeros(shape, dtype=torch.int32),
        )
        for name, shape in drawn.shapes.items()
    }
    save_tensors(path, words)
    return words


def test_published_masks_are_read_from_safetensors_only(tmp_path: Path) -> None:
    shape = layout(tiny_model())
    drawn = draw_masks(shape.architecture, scored_shapes(shape), 6, 0.1, seed=2)
    path = tmp_path / "mask.safetensors"
    words = published(path, drawn)
    found = load_masks(path, shape)
    assert found.groups == 6 and dict(found.shapes) == dict(drawn.shapes)
    assert all(torch.equal(found.bits[name], drawn.bits[name]) for name in drawn.shapes)
    name = next(iter(words))
    for damage, text in (
        ({**words, name: words[name].long()}, "masks of this model are int32"),
        ({**words, name: words[name].T.contiguous()[:3]}, "masks of this model are int32"),
        ({**words, "lm_head2": words[name].clone()}, "has no weight named 'lm_head2'"),
        ({**words, name: words[name] | 3}, "two groups share weights"),
        ({**words, name: torch.full_like(words[name], -1)}, "at most 31 groups"),
        ({name: torch.zeros_like(words[name])}, "no bit is set"),
    ):
        save_tensors(path, damage)
        with pytest.raises(UserError, match=text):
            load_masks(path, shape)
    (tmp_path / "mask.pt").write_bytes(b"\x80")
    with pytest.raises(UserError, match="convert it to safetensors"):
        load_masks(tmp_path / "mask.pt", shape)
