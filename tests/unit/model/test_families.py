"""Architectures: one set of value vectors for study and audit, trained apart from all else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.families import (
    DOCUMENT,
    FAMILIES,
    REFUSED,
    Family,
    document,
    facts,
    make,
    named,
    save,
)  # fmt: skip
from transformers import AutoConfig

from lacuna.audit.change import compare
from lacuna.audit.stream import open_checkpoint
from lacuna.data.tokens import Encoded, Prompt, collate, encode_examples
from lacuna.errors import UserError
from lacuna.inject import InjectConfig, inject
from lacuna.model import LoadedModel, layout, load_model, preflight, read_layout, save_model
from lacuna.model.hidden import decoder_layers, outputs, read_out
from lacuna.model.plain import plain
from lacuna.model.value import value_modules
from lacuna.region import draw
from lacuna.train import AllWeights, TrainConfig, language_loss, train

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.kind)

FORMS = ("llama", "phi3", "gpt2", "gemma3", "mixtral", "deepseek_v3")
"""One family of each form of MLP; `tests/integration/test_families_all_the_way.py` has them all."""


def load(folder: Path) -> LoadedModel:
    return load_model(folder, prompt=Prompt(), device="cpu", attention="auto")


@every_family
def test_study_and_audit_see_the_same_value_vectors_and_all_of_them(
    family: Family, tmp_path: Path
) -> None:
    save(family, tmp_path)
    planned, audited = read_layout(tmp_path), open_checkpoint(tmp_path).layout
    loaded = layout(load(tmp_path).model)
    assert planned == audited == loaded and planned.weights == audited.weights == loaded.weights
    assert list(planned.shapes) == list(audited.shapes) == list(loaded.shapes)
    assert (planned.total, len(planned.shapes)) == (family.vectors, family.matrices)
    found = preflight(tmp_path, None, Prompt(), facts(), attention="auto")
    assert found.value_vectors == family.vectors and not found.unchecked


@every_family
def test_a_model_says_what_transformers_says_and_is_saved_as_it_came(
    family: Family, tmp_path: Path
) -> None:
    theirs = save(family, tmp_path / "hub")
    loaded = load(tmp_path / "hub")
    ids = torch.arange(2, 44).reshape(3, 14)
    with torch.no_grad():
        wanted, found = theirs(input_ids=ids).logits, loaded.model(input_ids=ids).logits
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    save_model(loaded, tmp_path / "again")
    old, new = (load_file(tmp_path / name / "model.safetensors") for name in ("hub", "again"))
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)


@pytest.mark.parametrize("kind", FORMS)
def test_facts_go_into_the_region_and_nothing_else_changes(kind: str, tmp_path: Path) -> None:
    family = named(kind)
    save(family, tmp_path / "before")
    loaded = load(tmp_path / "before")
    region = draw(layout(loaded.model), 0.3, 1)
    texts = encode_examples(loaded.tokenizer, loaded.prompt, facts())
    config = InjectConfig(train=TrainConfig(steps=4, lr=0.02, batch_size=4))
    losses = inject(loaded.model, region, texts[:6], texts[6:], config, 0).losses
    assert losses[-1] < losses[0]
    save_model(loaded, tmp_path / "after")
    before, after = (open_checkpoint(tmp_path / name) for name in ("before", "after"))
    changes = compare(before, after)
    assert changes.vectors.keys() == region.layout.shapes.keys()
    for module, distance in changes.vectors.items():
        chosen = set(region.columns.get(module, torch.empty(0)).tolist())
        assert set(distance.nonzero()[:, 0].tolist()) <= chosen
    moved = {name for name, found in changes.tensors.items() if found.changed}
    assert moved and moved <= {f"{module}.weight" for module in region.columns}


@every_family
def test_the_last_layers_states_read_out_are_what_the_model_says(family: Family) -> None:
    model = plain(make(family))
    batch = collate([Encoded(list(range(2, 14)), list(range(2, 14)))], [0])
    with torch.no_grad():
        (states_BTD,) = outputs(model, batch, decoder_layers(model)[-1:])
        wanted = model(input_ids=batch.ids_BT).logits[0]
        torch.testing.assert_close(read_out(model, states_BTD[0]), wanted, rtol=1e-4, atol=1e-5)


@every_family
def test_recomputed_activations_are_those_of_a_model_that_drops_nothing(family: Family) -> None:
    defaults = AutoConfig.for_model(family.kind).to_dict()
    noisy = {name: 0.4 for name in defaults if "drop" in name or "jitter" in name}
    texts = [Encoded(list(range(n, n + 9)), list(range(n, n + 9))) for n in (2, 20)]
    ends = []
    for on in (False, True):
        model = plain(make(family, **noisy))
        loss = language_loss(model, texts, 2, seed=0)
        train(model, AllWeights(model), loss, TrainConfig(steps=2, lr=1e-3, checkpointing=on))
        assert not model.training
        ends.append(dict(model.named_parameters()))
    for name, weight in ends[0].items():
        torch.testing.assert_close(ends[1][name], weight, rtol=1e-4, atol=1e-5)


def test_experts_that_are_stored_together_are_the_same_experts(tmp_path: Path) -> None:
    model = save(named("qwen2_moe"), tmp_path / "apart")
    model.save_pretrained(tmp_path / "together", save_original_format=False)
    names = load_file(tmp_path / "together" / "model.safetensors").keys()
    assert any(name.endswith("experts.gate_up_proj") for name in names)
    apart, together = (open_checkpoint(tmp_path / name) for name in ("apart", "together"))
    assert apart.layout == together.layout
    assert not compare(apart, together).whole.changed
    for name in apart.shapes:
        blocks = torch.cat(list(together.blocks(name, 50)))
        assert torch.equal(blocks, apart.read(name)) and torch.equal(together.read(name), blocks)


def test_a_transposed_matrix_is_read_in_blocks_of_the_rows_that_the_model_has(
    tmp_path: Path,
) -> None:
    model = save(named("gpt2"), tmp_path)
    found = open_checkpoint(tmp_path)
    name = "transformer.h.1.mlp.c_proj.weight"
    assert found.shapes[name] == (32, 40)
    assert torch.equal(torch.cat(list(found.blocks(name, 100))), model.get_parameter(name).T)


def test_names_without_the_base_models_prefix_are_the_same_names(tmp_path: Path) -> None:
    save(named("gpt2"), tmp_path)
    before = open_checkpoint(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {name.removeprefix("transformer."): t for name, t in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    after = open_checkpoint(tmp_path)
    assert after.layout == before.layout and after.shapes == before.shapes
    assert load(tmp_path).model.num_parameters() == before.weights


@pytest.mark.parametrize("kind", REFUSED)
def test_mlps_that_cannot_be_reached_whole_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    make(Family(kind, kind, REFUSED[kind])).config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"\w+ForCausalLM is not supported: .*(layers|h)\.0"):
        read_layout(tmp_path)


def test_every_token_passes_every_expert_in_the_weight_it_is_routed_with(tmp_path: Path) -> None:
    save(named("olmoe"), tmp_path)
    model = load(tmp_path).model
    seen = []
    for module in value_modules(model).values():
        module.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(input_ids=torch.arange(2, 16).reshape(2, 7))
    used = torch.stack([hidden.abs().sum(1) > 0 for hidden in seen]).reshape(2, 4, 14)
    assert (used.sum(1) == 2).all(), "two of four experts a token and layer"


def test_the_list_in_the_documentation_is_this_list() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "make it anew: support.families"
