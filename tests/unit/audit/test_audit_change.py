"""Where weights changed and how concentrated: known changes planted in small checkpoints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import state, tiny_model
from transformers import PreTrainedModel

from lacuna.audit.change import compare
from lacuna.audit.precision import Comparison
from lacuna.audit.stream import Checkpoint, open_checkpoint, place
from lacuna.audit.summary import differing_files, findings, summarise
from lacuna.errors import UserError
from lacuna.model import layout
from lacuna.region import draw
from lacuna.seeds import torch_generator

DOWN = "model.layers.1.mlp.down_proj"
Edit = Callable[[PreTrainedModel], None]
Make = Callable[..., Checkpoint]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(
        name: str, edit: Edit | None = None, dtype: torch.dtype = torch.float32
    ) -> Checkpoint:
        model = tiny_model(dtype=dtype)
        if edit is not None:
            with torch.no_grad():
                edit(model)
        model.save_pretrained(tmp_path / name, max_shard_size="5KB")
        return open_checkpoint(tmp_path / name)

    return write


def noise(model: PreTrainedModel, size: float = 0.01, seed: int = 0) -> None:
    generator = torch_generator(seed, "change")
    for weight in model.parameters():
        weight += size * torch.randn(weight.shape, generator=generator)


def two_columns(model: PreTrainedModel) -> None:
    weight = model.get_submodule(DOWN).weight
    weight[:, 5] += 0.3
    weight[:, 7] -= 0.1


@pytest.mark.parametrize("size", [50, 2**19])
def test_sums_are_those_of_the_tensors_whatever_the_block(
    make: Make, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint.blocks, "__defaults__", (size,))
    before, after = make("before"), make("after", noise)
    found = compare(before, after)
    names = list(before.shapes)
    change = torch.cat([(after.read(n) - before.read(n)).double().reshape(-1) for n in names])
    weights = torch.cat([before.read(n).double().reshape(-1) for n in names])
    whole = found.whole.to_json()
    assert whole["weights"] == whole["changed"] == len(change) and whole["changed_share"] == 1
    assert whole["distance"] == pytest.approx(float(change.norm()), rel=1e-5)
    assert whole["largest"] == pytest.approx(float(change.abs().max()), rel=1e-5)
    assert whole["relative"] == pytest.approx(float(change.norm() / weights.norm()), rel=1e-5)
    spread = change.abs().sum() ** 2 / (len(change) * change.square().sum())
    assert whole["effective_fraction"] == pytest.approx(float(spread), rel=1e-5)
    assert whole["effective_fraction"] == pytest.approx(2 / torch.pi, rel=0.03)
    assert whole["gini"] == pytest.approx(2**0.5 - 1, rel=0.03), "that of a half-normal"
    lengths = (after.read(f"{DOWN}.weight") - before.read(f"{DOWN}.weight")).norm(dim=0)
    assert found.vectors[DOWN].tolist() == pytest.approx(lengths.tolist(), rel=1e-4)


def test_a_change_of_two_columns_is_found_where_it_is(make: Make) -> None:
    before, after = make("before"), make("after", two_columns)
    summary = summarise(Comparison(before=before, after=after), {})
    whole = summary["changes"][0]
    assert whole["changed"] == 32 and len(summary["changes"]) == 1
    assert whole["effective_fraction"] == pytest.approx(6.4**2 / (whole["weights"] * 1.6), rel=1e-4)
    assert whole["gini"] > 0.99
    assert [row["changed"] for row in summary["layers"]] == [0, 32]
    assert summary["layers"][0]["effective_fraction"] is None
    by_component = {row["component"]: row["changed"] for row in summary["components"]}
    assert by_component.pop("mlp.down_proj") == 32 and not any(by_component.values())
    vectors = summary["vectors"]
    assert vectors["vectors"] == 48 and vectors["changed"] == 2
    first, second = vectors["furthest"]
    assert (first["module"], first["column"], second["column"]) == (DOWN, 5, 7)
    assert first["share_of_square"] == pytest.approx(0.9)
    assert summary["precision"] is None and summary["overlap"] == {}
    assert json.dumps(summary, allow_nan=False)


def test_layers_and_components_add_up_to_the_model(make: Make) -> None:
    found = compare(make("before"), make("after", noise))
    for at in (0, 1):
        parts = found.by(lambda name, at=at: place(name)[at])
        assert sum(part.weights for part in parts.values()) == found.whole.weights
        assert sum(part.squares for part in parts.values()) == pytest.approx(found.whole.squares)


def test_a_model_restored_to_base_is_at_distance_zero(make: Make) -> None:
    base, before, after = make("base"), make("before", noise), make("after")
    summary = summarise(Comparison(before=before, after=after, base=base), {})
    rows = {row["pair"]: row for row in summary["changes"]}
    assert rows["base to after"]["distance"] == 0 and rows["base to after"]["changed"] == 0
    assert rows["base to before"]["distance"] == rows["before to after"]["distance"] > 0
    said = findings(summary)
    assert "The distance from base to after is zero: the model was restored to base." in said


def test_untouched_weights_under_another_decoder_are_exposed(make: Make, tmp_path: Path) -> None:
    before = make("before")
    shutil.copytree(before.folder, tmp_path / "guarded")
    settings = tmp_path / "guarded" / "generation_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "suppress_tokens": [7]}))
    after = open_checkpoint(tmp_path / "guarded")
    summary = summarise(Comparison(before=before, after=after), {})
    assert summary["changes"][0]["distance"] == 0
    assert summary["vectors"]["furthest"] == []
    said = findings(summary)
    assert said[0].startswith("No weight differs between before and after")
    assert said[1] == "Files besides the weights differ: generation_config.json."
    assert differing_files(before.folder, before.folder) == []


def test_precisions_are_compared_as_stored(make: Make) -> None:
    """A float32 model and its own rounding differ by rounding only, and nearly everywhere."""
    found = compare(make("before"), make("after", dtype=torch.bfloat16)).whole.to_json()
    assert 0.9 < found["changed_share"] < 1 and found["relative"] < 2**-8


def test_nan_weights_are_refused_by_name(make: Make) -> None:
    before, after = make("before"), make("after")
    name = f"{DOWN}.weight"
    tensors = load_file(after.files[name])
    tensors[name][0, 0] = float("nan")
    save_file(tensors, after.files[name])
    with pytest.raises(UserError, match=f"after: {name} has 1 weights that are NaN"):
        compare(before, open_checkpoint(after.folder))


def test_a_value_vector_region_is_found_by_the_vectors_that_moved(make: Make) -> None:
    model = tiny_model()
    region = draw(layout(model), 0.25, 3)

    def inside(model: PreTrainedModel) -> None:
        for module, columns in region.columns.items():
            model.get_submodule(module).weight[:, columns] += 0.1

    before, after = make("before"), make("after", inside)
    summary = summarise(Comparison(before=before, after=after), {"region": region})
    found = summary["overlap"]["region"]
    assert (found["precision"], found["recall"], found["auc"]) == (1, 1, 1)
    (row,) = [row for row in summary["precision"]["scores"] if row["headline"]]
    assert (row["auc"], row["chance"], row["at_size"]) == (1, region.fraction, 1)
    assert state(model).keys() == before.shapes.keys()
    still = summarise(Comparison(before=before, after=before), {"region": region})
    assert still["overlap"] == {"region": None}
    assert still["precision"]["scores"][0]["auc"] == 0.5
