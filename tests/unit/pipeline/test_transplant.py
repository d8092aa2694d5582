"""Regions exchanged between models: what is so by construction, on models made by hand.

The measure is the share of weights that are the injected model's, so every number can be counted.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from support.tiny import changed, state, tiny_model, tiny_region
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.evaluate import EvaluateConfig, Evaluator
from lacuna.model import layout
from lacuna.pipeline import ModelConfig, transplant
from lacuna.pipeline.common import StageInputs
from lacuna.region import Region, WeightRegion, draw_masks, overlap, scored_shapes
from lacuna.results import LocalizerRow, TransplantRecord
from lacuna.train import editable

INJECTED, RETAINED = Path("injected"), Path("retained")
CONFIG = ModelConfig(device="cpu")


class Counted:
    """Stands in for an evaluator: how much of the injected model's change a model has."""

    def __init__(self, injected: PreTrainedModel, retained: PreTrainedModel) -> None:
        self.planted, before = state(injected), state(retained)
        self.moved = {n: planted != before[n] for n, planted in self.planted.items()}

    def forget_es(self, model: PreTrainedModel) -> float:
        """Share of the moved weights that hold the injected values."""
        now = model.state_dict()
        same = sum(int((now[n] == self.planted[n])[self.moved[n]].sum()) for n in self.moved)
        return same / sum(int(moved.sum()) for moved in self.moved.values())


def shifted(model: PreTrainedModel, region: Region | WeightRegion, by: float) -> PreTrainedModel:
    """Every value of the region moved."""
    weights = editable(model, region)
    weights.write({name: value + by for name, value in weights.read().items()})
    return model


class Bench:
    """A retained model, a target region, and the model with that region injected."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.target: Region | WeightRegion = tiny_region(tiny_model())
        if kind == "weight":
            shape = layout(tiny_model())
            masks = draw_masks(shape.architecture, scored_shapes(shape), 4, 0.1, seed=0)
            self.target = masks.union([0, 2])
        self.models = {"retained": tiny_model(), "injected": self.injected()}
        self.evaluator = cast(Evaluator, Counted(self.models["injected"], self.models["retained"]))

        def load(folder: Path, config: ModelConfig) -> Any:
            return SimpleNamespace(model=tiny_copy(self.models[folder.name]))

        monkeypatch.setattr(transplant, "load", load)
        monkeypatch.setattr(transplant, "target_of", lambda folder, shape: self.target)

    def injected(self) -> PreTrainedModel:
        return shifted(tiny_model(), self.target, 0.5)

    def record(self, model: PreTrainedModel, seed: int = 1) -> TransplantRecord:
        before = state(model)
        found = transplant.transplant(self.evaluator, model, INJECTED, RETAINED, CONFIG, seed)
        assert found is not None and not changed(before, model), "the model is put back"
        return found


def tiny_copy(model: PreTrainedModel) -> PreTrainedModel:
    made = tiny_model()
    made.load_state_dict(state(model))
    return made


@pytest.fixture(params=["vector", "weight"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(request.param, monkeypatch)


def numbers(record: TransplantRecord) -> list[float]:
    assert (record["floor_es"], record["ceiling_es"]) == (0.0, 1.0)
    return [record[name] for name in ("own_es", "restored_es", "stored_es", "control_es")]


def test_at_the_injected_model_everything_is_there_and_at_the_retained_one_nothing(
    bench: Bench,
) -> None:
    assert numbers(bench.record(bench.injected())) == [1, 1, 1, 1]
    # its own region brings nothing, nor does one that injection left alone; the injected one all
    assert numbers(bench.record(tiny_model())) == [0, 1, 0, 0]


def test_what_changed_inside_the_region_is_undone_by_restoring_it(bench: Bench) -> None:
    erased = shifted(bench.injected(), bench.target, 1.0)
    assert numbers(bench.record(erased)) == [0, 1, 0, 0]


def test_what_changed_outside_leaves_the_region_as_it_was(bench: Bench) -> None:
    other = transplant.outside(bench.target, 5)
    hidden = shifted(bench.injected(), other, 1.0)
    found = bench.record(hidden)
    assert found["stored_es"] == 1.0 and found["restored_es"] == found["own_es"] == 1.0


def test_the_control_region_is_as_large_clear_of_the_target_and_drawn_by_seed(
    bench: Bench,
) -> None:
    first = transplant.outside(bench.target, 1)
    assert len(first) == len(bench.target)
    assert overlap(first, bench.target)["precision"] == 0  # type: ignore[arg-type]
    again, other = (transplant.outside(bench.target, seed) for seed in (1, 2))
    places = [read(tiny_model(), region) for region in (first, again, other)]
    assert places[0] == places[1] != places[2]
    # half of all that is outside the target moves; the control brings its part of that back
    everywhere = shifted(bench.injected(), transplant.outside(bench.target, 1), 1.0)
    bench.evaluator = cast(Evaluator, Counted(bench.injected(), everywhere))
    found = transplant.transplant(bench.evaluator, everywhere, INJECTED, RETAINED, CONFIG, 1)
    assert found is not None and found["own_es"] == 0 and found["control_es"] == 1.0
    assert found["restored_es"] == 0.0


def read(model: PreTrainedModel, region: Region | WeightRegion) -> list[float]:
    values = editable(model, region).read().values()
    return torch.cat([value.reshape(-1) for value in values]).tolist()


def test_a_target_without_room_outside_it_and_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("vector", monkeypatch)
    with pytest.raises(UserError, match="leaves no room"):
        transplant.outside(transplant.outside(bench.target, 1).complement(), 1)
    monkeypatch.setattr(transplant, "target_of", lambda folder, shape: None)
    given = (bench.evaluator, tiny_model(), INJECTED, RETAINED, CONFIG, 1)
    assert transplant.transplant(*given) is None


def test_a_target_is_necessary_and_sufficient_and_a_region_clear_of_it_neither(
    bench: Bench,
) -> None:
    there, here = bench.injected(), tiny_model()
    before = state(there), state(here)
    clear = transplant.outside(bench.target, 3)
    regions = {"oracle": bench.target, "clear": clear}
    found = transplant.swaps(bench.evaluator, there, here, regions)
    assert not changed(before[0], there) and not changed(before[1], here)
    assert found["oracle"] == {
        "without_es": 0.0,
        "alone_es": 1.0,
        "floor_es": 0.0,
        "ceiling_es": 1.0,
    }
    assert (found["clear"]["without_es"], found["clear"]["alone_es"]) == (1.0, 0.0)


def test_half_of_the_target_is_worth_its_half(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("vector", monkeypatch)
    assert isinstance(bench.target, Region)
    keep = bench.target.flat().nonzero()[: len(bench.target) // 2, 0]
    flat = torch.zeros_like(bench.target.flat())
    flat[keep] = True
    half = Region.from_flat(bench.target.layout, flat)
    share = len(half) / len(bench.target)
    found = transplant.swaps(bench.evaluator, bench.injected(), tiny_model(), {"half": half})
    assert found["half"]["alone_es"] == pytest.approx(share)
    assert found["half"]["without_es"] == pytest.approx(1 - share)


@pytest.mark.parametrize("on", [True, False])
def test_localized_regions_are_exchanged_where_the_study_asks_for_it(
    on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench("vector", monkeypatch)
    monkeypatch.setattr(transplant, "Evaluator", lambda *_: bench.evaluator)
    rows: dict[str, LocalizerRow] = {"oracle": {"localizer": "oracle", "privileges": []}}
    corpus = cast(Any, None)
    given = StageInputs(
        corpus=corpus, model=CONFIG, config=None, evaluate=EvaluateConfig(transplant=on), seed=1
    )
    loaded = cast(Any, SimpleNamespace(model=bench.injected()))
    regions = {"oracle": bench.target}
    transplant.add_swaps(rows, regions, loaded, RETAINED, corpus, given)
    assert ("swap" in rows["oracle"]) == on
    if on:
        assert rows["oracle"]["swap"]["alone_es"] == 1.0
