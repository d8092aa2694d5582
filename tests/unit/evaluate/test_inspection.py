"""Inspections of a trained toy: what they add to an evaluator, and what compared models say."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.people import people, untrained
from support.tiny import same_bits, state
from transformers import PreTrainedModel

from lacuna.data.base import Corpus
from lacuna.errors import UserError
from lacuna.evaluate import EvaluateConfig, Evaluator, inspect, metrics, read
from lacuna.evaluate.inspections import membership
from lacuna.inject import learn
from lacuna.model import LoadedModel
from lacuna.train import TrainConfig

BOTH = EvaluateConfig(membership=True, representations=True)
CORPUS = Corpus(
    name="toy", forget=people("bo", 8), retain=people("al", 20), holdout=people("cy", 8)
)


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, LoadedModel]]:
    """`retained` knows retain only, `injected` also forget."""
    everybody = [*CORPUS.forget, *CORPUS.retain, *CORPUS.holdout]
    found = {}
    for name, items in (
        ("retained", CORPUS.retain),
        ("injected", [*CORPUS.retain, *CORPUS.forget]),
    ):
        loaded = untrained(everybody)
        texts = Evaluator(loaded, CORPUS, EvaluateConfig()).encode(items)
        learn(loaded.model, texts, TrainConfig(steps=120, lr=0.01, batch_size=28), seed=0)
        found[name] = loaded
    yield found


def inspected(models: dict[str, LoadedModel], name: str, config: EvaluateConfig = BOTH) -> Any:
    evaluator = Evaluator(models[name], CORPUS, config)
    return inspect(evaluator, models[name].model, models, lambda loaded: loaded.model)


def test_nothing_is_opened_where_no_inspection_is_on(models: dict[str, LoadedModel]) -> None:
    def refuse(name: str) -> PreTrainedModel:
        raise AssertionError(f"{name} was loaded")

    evaluator = Evaluator(models["injected"], CORPUS, EvaluateConfig())
    assert inspect(evaluator, models["injected"].model, {"retained": "retained"}, refuse) == {}


def test_each_inspection_has_its_own_switch(models: dict[str, LoadedModel]) -> None:
    only = inspected(models, "injected", EvaluateConfig(membership=True))
    assert set(only) == {"membership"}
    only = inspected(models, "injected", EvaluateConfig(representations=True))
    assert set(only) == {"representations"}


def test_membership_needs_people_who_were_never_injected(models: dict[str, LoadedModel]) -> None:
    with pytest.raises(UserError, match="data 'toy' has no holdout"):
        Evaluator(models["injected"], replace(CORPUS, holdout=()), BOTH)


def test_the_injected_model_gives_its_members_away_and_the_retained_one_does_not(
    models: dict[str, LoadedModel],
) -> None:
    known = inspected(models, "injected")["membership"].summary
    blank = inspected(models, "retained")["membership"].summary
    assert known["auc"].keys() == {
        "loss", "zlib", "min_k", "min_k_plus_plus", "reference", "gradnorm"
    }  # fmt: skip
    assert min(known["auc"].values()) > 0.95
    assert all(0.1 < area < 0.9 for area in blank["auc"].values())
    assert blank["auc"]["reference"] == 0.5, "the retained model against itself"
    assert known["privleak"] < -50 and blank["privleak"] == 0
    assert (known["n_members"], known["n_nonmembers"]) == (8, 8)


def test_membership_scores_are_those_of_the_plain_functions(
    models: dict[str, LoadedModel],
) -> None:
    found = inspected(models, "injected")["membership"]
    loaded, end = models["injected"], models["injected"].tokenizer.eos_token_id
    texts = Evaluator(loaded, CORPUS, BOTH).encode(CORPUS.holdout)
    table = read(loaded.model, texts, end_token=end)
    scores = found.items["holdout"]
    np.testing.assert_allclose(scores["min_k_plus_plus"], metrics.min_k_plus_plus(table, 0.4))
    norms = membership.gradient_norms(loaded.model, texts, end_token=end)
    np.testing.assert_allclose(scores["gradnorm"], norms)
    before = read(models["retained"].model, texts, end_token=end)
    difference = metrics.mean_logp(before) - metrics.mean_logp(table)
    np.testing.assert_allclose(scores["reference"], difference, rtol=1e-4)
    area = membership.auc(found.items["forget"]["loss"], scores["loss"])
    assert found.summary["auc"]["loss"] == area


def test_representations_compare_a_model_with_itself_and_with_the_other(
    models: dict[str, LoadedModel],
) -> None:
    found = inspected(models, "injected")["representations"]
    rows = found.summary["layers"]
    assert [row["layer"] for row in rows] == [0, 1, 2]
    for row in rows:
        for split in ("forget", "retain"):
            assert row[f"cka_{split}_injected"] == pytest.approx(1)
            assert row[f"cka_{split}_retained"] < 0.999
    assert found.summary["lens_gap"] < 0, "the model says what it knows"
    end = models["injected"].tokenizer.eos_token_id
    texts = Evaluator(models["injected"], CORPUS, BOTH).texts["forget"]
    table = read(models["injected"].model, texts, end_token=end)
    assert rows[-1]["lens_es"] == pytest.approx(metrics.extraction_strength(table).mean())
    body = metrics.probability(metrics.body(table))
    np.testing.assert_allclose(found.items["forget"]["lens_probability/2"], body, rtol=1e-4)


def test_probes_read_more_from_the_injected_than_from_the_retained_model(
    models: dict[str, LoadedModel],
) -> None:
    known, blank = (
        inspected(models, name)["representations"].summary["layers"][-1]
        for name in ("injected", "retained")
    )
    assert known["linear"] > blank["linear"]
    assert known["knn"] > blank["knn"]
    assert known["linear"] >= 0.75


def test_results_are_json_and_looking_changes_nothing(models: dict[str, LoadedModel]) -> None:
    model = models["injected"].model
    before = state(model)
    found = inspected(models, "injected")
    json.dumps({name: one.summary for name, one in found.items()}, allow_nan=False)
    assert all(same_bits(before[name], now) for name, now in model.state_dict().items())
    assert not any(weight.requires_grad for weight in model.parameters())
    again = inspected(models, "injected", replace(BOTH, max_tokens=64))
    for name, one in found.items():
        for split, scores in one.items.items():
            for score, values in scores.items():
                other = again[name].items[split][score]
                np.testing.assert_allclose(values, other, rtol=1e-3, atol=1e-4)
