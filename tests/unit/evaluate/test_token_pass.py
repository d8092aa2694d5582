"""The one pass: equal to the naive table, whatever shares a batch."""

from collections.abc import Callable
from dataclasses import fields
from importlib import import_module

import numpy as np
import pytest
import torch
from support.tiny import VOCABULARY, tiny_model, tiny_texts
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.evaluate import TokenTable, metrics, read
from lacuna.evaluate.token_pass import numbers
from lacuna.inject import learn
from lacuna.train import TrainConfig

END = 1


def awkward_texts() -> list[Encoded]:
    """Holes, one-token answers, no end, no labels, a label nobody predicts, one token in all."""
    texts = tiny_texts(6, answer=(6, 1, 3))
    a, b, c, d, e, f = texts
    holed = [label if i % 2 else IGNORE for i, label in enumerate(a.labels)]
    return [
        Encoded(a.ids, holed),
        b,
        Encoded(c.ids[:-1], c.labels[:-1]),
        Encoded(d.ids, [IGNORE] * len(d.ids)),
        Encoded(e.ids, e.ids),
        Encoded([7], [7]),
        Encoded(f.ids[:4], f.labels[:4]),
    ]


def naive(model: PreTrainedModel, texts: list[Encoded]) -> dict[str, list[float]]:
    """Every statistic from the full log-softmax, one text at a time, one token at a time."""
    rows: dict[str, list[float]] = {
        name: [] for name in ("nll", "greedy", "mean", "variance", "end")
    }
    for text in texts:
        logp_TV = model(input_ids=torch.tensor([text.ids])).logits[0].double().log_softmax(-1)
        labelled = [t for t in range(1, len(text.ids)) if text.labels[t] != IGNORE]
        for t in labelled:
            logp_V, label = logp_TV[t - 1], text.labels[t]
            p_V = logp_V.exp()
            mean = float((p_V * logp_V).sum())
            rows["nll"].append(-float(logp_V[label]))
            rows["greedy"].append(float(logp_V.argmax() == label))
            rows["mean"].append(mean)
            rows["variance"].append(float((p_V * (logp_V - mean) ** 2).sum()))
            rows["end"].append(float(t == labelled[-1] and label == END))
    return rows


@pytest.mark.parametrize("architecture", ["olmo2", "gemma2", "gpt_neox"])
@pytest.mark.parametrize("max_tokens", [1, 25, 4096])
def test_reading_equals_the_naive_table_however_it_is_batched(
    architecture: str, max_tokens: int
) -> None:
    model, texts = tiny_model(architecture), awkward_texts()
    table = read(model, texts, end_token=END, max_tokens=max_tokens)
    assert table.offsets.tolist() == np.cumsum([0, 4, 2, 3, 0, 4, 0, 1]).tolist()
    with torch.no_grad():
        expected = naive(model, texts)
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(table, name), values, rtol=2e-5, atol=2e-6)


def test_reading_does_not_depend_on_order_or_company() -> None:
    model, texts = tiny_model(), awkward_texts()
    table = read(model, texts, end_token=END)
    order = [4, 1, 6, 0, 2, 5, 3]
    mixed = read(model, [texts[i] for i in order], end_token=END)
    for i, place in zip(order, range(7), strict=True):
        mine = slice(*table.offsets[i : i + 2])
        theirs = slice(*mixed.offsets[place : place + 2])
        np.testing.assert_allclose(mixed.nll[theirs], table.nll[mine], rtol=2e-5)
        assert (mixed.greedy[theirs] == table.greedy[mine]).all()


EVERY_METRIC: dict[str, Callable[[TokenTable], np.ndarray]] = {
    "es": metrics.extraction_strength,
    "es_peer": metrics.extraction_strength_peer,
    "em": metrics.exact_memorization,
    "rma": metrics.remnant,
    "probability": metrics.probability,
    "min_k": lambda table: metrics.min_k(table, 0.4),
    "min_k_plus_plus": lambda table: metrics.min_k_plus_plus(table, 0.4),
}


@pytest.mark.parametrize("name", EVERY_METRIC)
def test_no_metric_sees_padding_or_batching(name: str) -> None:
    model, texts = tiny_model(seed=2), awkward_texts()
    learn(model, [texts[0], texts[4]], TrainConfig(steps=12, lr=0.01, batch_size=2), seed=0)
    metric = EVERY_METRIC[name]
    alone = [metric(read(model, [text], end_token=END))[0] for text in texts]
    assert len({round(value, 3) for value in alone if not np.isnan(value)}) > 1
    padded = [Encoded([*t.ids, *[0] * 7], [*t.labels, *[IGNORE] * 7]) for t in texts]
    for rows, max_tokens in ((texts, 4096), (texts, 20), (padded, 4096)):
        found = metric(read(model, rows, end_token=END, max_tokens=max_tokens))
        np.testing.assert_allclose(found, alone, rtol=2e-5, atol=2e-6)


def test_what_follows_a_token_does_not_change_its_statistics() -> None:
    """Right padding and later text are invisible under causal attention."""
    model, text = tiny_model(), tiny_texts(1)[0]
    longer = Encoded([*text.ids, 9, 8, 7, 6, 5], [*text.labels, *[IGNORE] * 5])
    short, long = (read(model, [t], end_token=END) for t in (text, longer))
    np.testing.assert_allclose(short.nll, long.nll, rtol=2e-5)


def test_spread_is_computed_only_when_asked_for() -> None:
    model, texts = tiny_model(), tiny_texts(3)
    full, lean = (read(model, texts, end_token=END, spread=s) for s in (True, False))
    assert np.isnan(lean.mean).all() and np.isnan(lean.variance).all()
    for field in fields(TokenTable):
        if field.name not in ("mean", "variance"):
            assert (getattr(full, field.name) == getattr(lean, field.name)).all()


def test_statistics_of_a_known_distribution() -> None:
    """p = (1/2, 1/4, 1/4) under a shift: logits have no zero point."""
    logits_NV = torch.tensor([[0.5, 0.25, 0.25]] * 2).log() + torch.tensor([[100.0], [-3.0]])
    found = numbers(logits_NV, torch.tensor([0, 2]), spread=True)
    ln2 = np.log(2)
    np.testing.assert_allclose(found[0], [ln2, 2 * ln2], rtol=1e-5)
    assert found[1].tolist() == [1.0, 0.0]
    np.testing.assert_allclose(found[2], [-1.5 * ln2] * 2, rtol=1e-5)
    np.testing.assert_allclose(found[3], [0.25 * ln2**2] * 2, rtol=1e-4)


def test_only_an_end_token_that_closes_its_item_is_marked() -> None:
    texts = [
        Encoded([5, 1, 6, 1], [IGNORE, 1, 6, 1]),
        Encoded([5, 1, 6], [IGNORE, 1, 6]),
        Encoded([5, 6, 1], [IGNORE, 6, IGNORE]),
    ]
    model = tiny_model()
    assert read(model, texts, end_token=END).end.tolist() == [False, False, True, *[False] * 3]
    assert not read(model, texts, end_token=None).end.any()


def test_reading_nothing_gives_an_empty_table() -> None:
    table = read(tiny_model(), [], end_token=END)
    assert table.offsets.tolist() == [0] and len(table.nll) == 0
    assert len(metrics.extraction_strength(table)) == 0


def greedy_strength(model: PreTrainedModel, text: Encoded) -> float:
    """ES by its definition: generate from ever longer prefixes of the answer."""
    answer = [label for label in text.labels if label not in (IGNORE, END)]
    start = len(text.ids) - 1 - len(answer)
    for k in range(len(answer) + 1):
        ids = text.ids[: start + k]
        while len(ids) < start + len(answer):
            ids = [*ids, int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
        if ids == text.ids[:-1]:
            return 1 - k / len(answer)
    raise AssertionError("the whole answer as prefix leaves nothing to generate")


def test_extraction_strength_is_what_greedy_decoding_extracts() -> None:
    model = tiny_model(seed=4)
    texts = [Encoded(t.ids, t.labels) for t in tiny_texts(12, answer=(4, 6))]
    learn(model, texts, TrainConfig(steps=16, lr=0.01, batch_size=12), seed=0)
    found = metrics.extraction_strength(read(model, texts, end_token=END))
    expected = [greedy_strength(model, text) for text in texts]
    assert found.tolist() == pytest.approx(expected)
    assert 0 < np.mean(expected) < 1 and len(set(expected)) > 3, "a case of every kind"


def test_a_uniform_model_costs_log_vocabulary_a_token() -> None:
    model = tiny_model()
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    table = read(model, tiny_texts(3), end_token=END)
    np.testing.assert_allclose(table.nll, np.log(VOCABULARY), rtol=1e-6)
    np.testing.assert_allclose(table.mean, -np.log(VOCABULARY), rtol=1e-6)
    np.testing.assert_allclose(table.variance, 0, atol=1e-6)


def test_reducing_logits_a_token_at_a_time_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts = tiny_model(), awkward_texts()
    whole = read(model, texts, end_token=END)
    monkeypatch.setattr(import_module("lacuna.evaluate.token_pass"), "BLOCK", {"cpu": 1})
    split = read(model, texts, end_token=END)
    for column in fields(TokenTable):
        np.testing.assert_array_equal(getattr(split, column.name), getattr(whole, column.name))
