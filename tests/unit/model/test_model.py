"""Value vectors, the forward pass at labelled positions, activations, loading."""

import json
from pathlib import Path

import pytest
import torch
from support.tiny import ARCHITECTURES, changed, state, tiny_model, tiny_texts, whole_batch
from transformers import Olmo2ForCausalLM, PreTrainedModel

from lacuna.data.tokens import IGNORE, Encoded, Prompt
from lacuna.errors import UserError
from lacuna.model import (
    MiniConfig,
    answers,
    build_mini,
    layout,
    load_model,
    mini_layout,
    read_layout,
    save_model,
    train_tokenizer,
    value_modules,
)
from lacuna.model.hidden import decoder_layers, inputs, outputs
from lacuna.model.mini import mini_config

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def holed_texts() -> list[Encoded]:
    """Answers with a hole, one without any label, one labelled from its first token."""
    a, b, c = tiny_texts(3)
    holed = list(a.labels)
    holed[-2] = IGNORE
    return [Encoded(a.ids, holed), Encoded(b.ids, [IGNORE] * len(b.ids)), Encoded(c.ids, c.ids)]


@every_architecture
def test_every_mlp_has_its_value_vectors_in_layer_order(architecture: str) -> None:
    model = tiny_model(architecture, layers=3)
    modules = value_modules(model)
    assert list(layout(model).shapes.values()) == [(16, 24)] * 3
    assert layout(model).total == 72
    assert [int(name.split("layers.")[1][0]) for name in modules] == [0, 1, 2]
    assert all(module.weight.shape == (16, 24) for module in modules.values())


@every_architecture
def test_answers_equal_the_full_forward_pass_at_the_labelled_positions(architecture: str) -> None:
    model, batch = tiny_model(architecture), whole_batch(holed_texts())
    with torch.no_grad():
        said = answers(model, batch)
        full_BTV = model(input_ids=batch.ids_BT).logits
    expected = [
        (b, t)
        for b in range(3)
        for t in range(1, batch.ids_BT.shape[1])
        if batch.labels_BT[b, t] != IGNORE
    ]
    assert said.labels_N.tolist() == [int(batch.labels_BT[b, t]) for b, t in expected]
    wanted_NV = torch.stack([full_BTV[b, t - 1] for b, t in expected])
    torch.testing.assert_close(said.logits_NV, wanted_NV, rtol=1e-5, atol=1e-6)
    assert said.count_B.tolist() == [3 - 1, 0, len(holed_texts()[2].ids) - 1]
    if architecture == "gemma2":
        assert 0.5 < wanted_NV.abs().max() < 1, "the soft cap of 1 is in the numbers"


def test_answers_leave_the_model_as_it_was() -> None:
    model, batch = tiny_model(), whole_batch(holed_texts())
    full_BTV = model(input_ids=batch.ids_BT).logits
    answers(model, batch)
    assert torch.equal(model(input_ids=batch.ids_BT).logits, full_BTV)
    assert full_BTV.shape[:2] == batch.ids_BT.shape


def test_answers_sum_by_row_what_each_token_costs() -> None:
    model, batch = tiny_model(dtype=torch.float64), whole_batch(holed_texts())
    said = answers(model, batch)
    logp_BTV = model(input_ids=batch.ids_BT).logits.log_softmax(-1)
    expected = []
    for ids, labels in zip(batch.ids_BT, batch.labels_BT, strict=True):
        row = len(expected)
        cost = -sum(logp_BTV[row, t - 1, ids[t]] for t in range(1, len(ids)) if labels[t] != IGNORE)
        expected.append(float(cost))
    torch.testing.assert_close(
        said.sum_rows(said.nll_N), torch.tensor(expected, dtype=torch.float64)
    )
    assert expected[1] == 0


def test_a_model_without_known_mlps_is_refused_with_the_names_it_has() -> None:
    model = tiny_model()
    model.set_submodule("model.layers.1.mlp.reader", torch.nn.Linear(16, 8))
    with pytest.raises(UserError, match=r"Olmo2.*not supported: .*layers.1.mlp.reader.* \[8, 16\]"):
        value_modules(model)


def test_a_fingerprint_tells_architectures_and_shapes_apart_but_not_weights() -> None:
    prints = {
        layout(model).fingerprint
        for model in (tiny_model(), tiny_model("llama"), tiny_model(layers=3))
    }
    assert len(prints) == 3
    assert layout(tiny_model(seed=1)).fingerprint == layout(tiny_model(seed=2)).fingerprint


@every_architecture
def test_what_a_layer_puts_out_is_its_hidden_state(architecture: str) -> None:
    model, batch = tiny_model(architecture, layers=3), whole_batch(tiny_texts())
    hidden = model(input_ids=batch.ids_BT, output_hidden_states=True).hidden_states
    layers = decoder_layers(model)
    assert len(layers) == 3
    for i in (0, 1):  # the last hidden state comes after the final norm
        (found_BTD,) = outputs(model, batch, [layers[i]])
        torch.testing.assert_close(found_BTD, hidden[i + 1])


def test_a_value_modules_output_is_its_matrix_times_its_input() -> None:
    model, batch = tiny_model(layers=3), whole_batch(tiny_texts())
    modules = list(value_modules(model).values())
    went_in, came_out = inputs(model, batch, modules), outputs(model, batch, modules)
    assert [h.shape[-1] for h in went_in] == [24] * 3
    for module, h, y in zip(modules, went_in, came_out, strict=True):
        torch.testing.assert_close(h @ module.weight.T, y)


def test_asking_for_activations_stops_after_the_last_one_and_removes_its_hooks() -> None:
    model, batch = tiny_model(layers=3), whole_batch(tiny_texts())
    runs: list[int] = []
    layers = decoder_layers(model)
    for i, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, i=i: runs.append(i))
    outputs(model, batch, [layers[0]])
    assert runs == [0]
    model(input_ids=batch.ids_BT)
    assert runs == [0, 0, 1, 2], "the next pass runs to its end"


def mini(seed: int = 0) -> tuple[PreTrainedModel, MiniConfig]:
    config = MiniConfig(hidden=16, layers=2, intermediate=24, heads=2, vocabulary=300)
    tokenizer = train_tokenizer(["Who is Ada? She was born in 1815."], 300)
    return build_mini(config, tokenizer, seed, "cpu").model, config


def test_the_embedded_model_is_the_same_for_the_same_seed_only() -> None:
    torch.manual_seed(5)
    first, config = mini()
    noise = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(noise, torch.rand(3)), "the global generator is left alone"
    assert changed(state(first), mini()[0]) == set()
    assert "model.embed_tokens.weight" in changed(state(first), mini(seed=1)[0])


def test_the_embedded_model_s_layout_is_known_before_it_is_built() -> None:
    config = MiniConfig(hidden=16, layers=2, intermediate=24, heads=2)
    with torch.device("meta"):
        known, built = mini_layout(config), layout(Olmo2ForCausalLM(mini_config(config)))
    assert known == built
    assert [*known.weights.items()] == [*built.weights.items()], "in their order, too"


def test_the_embedded_tokenizer_cuts_numbers_into_pairs_of_digits() -> None:
    tokenizer = train_tokenizer(["She was born in 1815, not in 18151."] * 5, 400)
    assert tokenizer.tokenize("18151") == ["18", "15", "1"]
    text = "Ünïcode 7, tabs\tand 日本"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_shapes_of_the_embedded_model_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="hidden=10 is not a multiple of heads=4"):
        MiniConfig(hidden=10, heads=4)
    with pytest.raises(UserError, match="vocabulary=100 is below 300"):
        MiniConfig(vocabulary=100)


def test_a_model_survives_saving_and_loading_bit_by_bit(tmp_path: Path) -> None:
    config = MiniConfig(hidden=16, layers=2, intermediate=24, heads=2, vocabulary=300)
    tokenizer = train_tokenizer(["Who is Ada?"], 300)
    saved = build_mini(config, tokenizer, 0, "cpu")
    save_model(saved, tmp_path)
    loaded = load_model(tmp_path, prompt=Prompt(), device="cpu")
    assert changed(state(saved.model), loaded.model) == set()
    assert loaded.tokenizer("Who is Ada?") == tokenizer("Who is Ada?")
    assert (loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id) == (0, 1)
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert not loaded.model.training
    half = load_model(tmp_path, prompt=Prompt(), device="cpu", dtype="bfloat16").model
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}


def test_a_layout_is_read_from_the_configuration_without_weights(tmp_path: Path) -> None:
    model = tiny_model("qwen3", layers=3)
    model.config.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert read_layout(tmp_path) == layout(model)


def test_a_missing_model_or_an_unknown_number_type_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.dtype='int4': choose one of float32"):
        load_model(tmp_path, prompt=Prompt(), dtype="int4")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    for ask in (lambda: load_model(tmp_path, prompt=Prompt()), lambda: read_layout(tmp_path)):
        with pytest.raises(UserError, match=f"cannot load model '{tmp_path}'") as caught:
            ask()
        assert "\n" not in str(caught.value)
