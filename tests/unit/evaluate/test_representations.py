"""CKA, probes and the logit lens: invariants, hand-made states, known limits."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from support.tiny import tiny_model, tiny_texts, whole_batch

from lacuna.data.tokens import Encoded, Prompt
from lacuna.errors import UserError
from lacuna.evaluate import metrics, read
from lacuna.evaluate.inspections.cka import linear_cka
from lacuna.evaluate.inspections.lens import lens_gap, read_layers
from lacuna.evaluate.inspections.probe import knn_probe, linear_probe
from lacuna.evaluate.inspections.states import answer_start, layer_states
from lacuna.model import train_tokenizer
from lacuna.model.hidden import decoder_layers, outputs, read_out

END = 1
GENERATOR = np.random.default_rng(0)
Probe = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
either_cka = pytest.mark.parametrize("debiased", [True, False])
either_probe = pytest.mark.parametrize("probe", [knn_probe, linear_probe])


def states(items: int, width: int) -> np.ndarray:
    return GENERATOR.normal(size=(items, width))


# --- CKA --------------------------------------------------------------------------------------


def slow_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al.: |Y^T X|^2 / (|X^T X| |Y^T Y|) of centred features."""
    x, y = x - x.mean(0), y - y.mean(0)
    norm = np.linalg.norm
    return float(norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y)))


def slow_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al., equation 5: the unbiased estimator, term by term."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    total = np.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2))
    return float((total - 2 / (n - 2) * (k @ m).sum()) / (n * (n - 3)))


def test_both_estimators_equal_their_published_formulas() -> None:
    x, y = states(9, 5), states(9, 7)
    y[:, :3] += 2 * x[:, :3]
    assert linear_cka(x, y, debiased=False) == pytest.approx(slow_cka(x, y))
    k, m = x @ x.T, y @ y.T
    expected = slow_hsic(k, m) / (slow_hsic(k, k) * slow_hsic(m, m)) ** 0.5
    assert linear_cka(x, y) == pytest.approx(expected)
    assert 0 < expected < slow_cka(x, y) < 1


@either_cka
def test_cka_does_not_see_rotation_shift_scale_or_the_order_of_items(debiased: bool) -> None:
    x, y = states(12, 6), states(12, 6)
    rotation = np.linalg.qr(states(6, 6))[0]
    value = linear_cka(x, y, debiased)
    assert linear_cka(3 * x @ rotation + 7, y, debiased) == pytest.approx(value)
    order = GENERATOR.permutation(12)
    assert linear_cka(x[order], y[order], debiased) == pytest.approx(value)
    assert linear_cka(y, x, debiased) == pytest.approx(value)
    assert linear_cka(x, x @ rotation, debiased) == pytest.approx(1)


def test_unrelated_states_are_near_zero_only_without_the_bias() -> None:
    pairs = [(states(16, 64), states(16, 64)) for _ in range(20)]
    assert abs(np.mean([linear_cka(x, y) for x, y in pairs])) < 0.05
    assert np.mean([linear_cka(x, y, debiased=False) for x, y in pairs]) > 0.7


@either_cka
def test_states_that_do_not_vary_have_no_cka(debiased: bool) -> None:
    same = np.full((8, 3), 0.1, dtype=np.float32) + np.float32(1 / 3)
    assert np.isnan(linear_cka(same, states(8, 3), debiased))
    few = states(3 if debiased else 1, 2)
    assert np.isnan(linear_cka(few, few, debiased))


# --- probes -----------------------------------------------------------------------------------


@either_probe
def test_a_probe_reads_what_is_there_and_nothing_that_is_not(probe: Probe) -> None:
    labels, truth = np.arange(60) % 4, np.arange(40) % 4
    direction = 4 * states(4, 10)
    known, asked = states(60, 10) + direction[labels], states(40, 10) + direction[truth]
    assert probe(known, labels, asked, truth).mean() > 0.95
    blank = probe(states(60, 10), labels, states(40, 10), truth)
    assert blank.mean() < 0.6


@either_probe
def test_a_label_that_cannot_be_learned_is_undefined(probe: Probe) -> None:
    known = np.array([[0.0, 1], [0, 1.1], [1, 0], [1.1, 0]])
    found = probe(known, np.array([7, 7, 8, 8]), known[[0, 2]], np.array([7, 9]))
    np.testing.assert_array_equal(found, [1, np.nan])


@either_probe
def test_probes_do_not_depend_on_units_and_survive_constant_dimensions(probe: Probe) -> None:
    labels, truth = np.arange(30) % 3, np.arange(20) % 3
    known, asked = states(30, 5) + labels[:, None], states(20, 5) + truth[:, None]
    value = probe(known, labels, asked, truth)
    scale = np.array([1e-3, 1, 10, 1e4, 1])
    both = [np.column_stack([s * scale + 5, np.full(len(s), 0.3)]) for s in (known, asked)]
    np.testing.assert_array_equal(probe(both[0], labels, both[1], truth), value)
    same = probe(np.ones((4, 2)), np.array([1, 1, 1, 2]), np.ones((2, 2)), np.array([1, 2]))
    np.testing.assert_array_equal(same, [1, 0])  # nothing varies: the most frequent label


def test_neighbours_vote_by_cosine_and_the_nearest_breaks_a_tie() -> None:
    turn = np.deg2rad([0, 10, 20, 30, 40, 180, 190, 200, 210, 220])
    known = np.column_stack([np.cos(turn), np.sin(turn)])
    known -= known.mean(0)
    labels = np.array([1, 2, 2, 1, 3, 4, 4, 4, 4, 4])
    # The five nearest are 0 to 40 degrees: two votes for 1, two for 2, one for 3.
    near = np.deg2rad([2.0, 15.0])
    asked = np.column_stack([np.cos(near), np.sin(near)])
    found = knn_probe(known, labels, asked, np.array([1, 2]))
    np.testing.assert_array_equal(found, [1, 1])


def test_the_linear_probe_is_ridge_regression_on_one_hot_labels() -> None:
    labels, truth = np.arange(15) % 3, np.arange(9) % 3
    known, asked = states(15, 4) + labels[:, None], states(9, 4) + truth[:, None]
    mean, deviation = known.mean(0), known.std(0)
    x, z = (known - mean) / deviation, (asked - mean) / deviation
    y = np.eye(3)[labels]
    ridge = 0.1 * (x**2).sum(1).mean()
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(4), x.T @ (y - y.mean(0)))
    expected = (z @ weights + y.mean(0)).argmax(1) == truth
    np.testing.assert_array_equal(linear_probe(known, labels, asked, truth), expected)


# --- the lens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["olmo2", "olmo3", "llama", "gemma2", "gpt_neox"])
@pytest.mark.parametrize("max_tokens", [1, 4096])
def test_the_last_layer_of_the_lens_is_the_model_itself(architecture: str, max_tokens: int) -> None:
    model, texts = tiny_model(architecture, layers=3), tiny_texts(5)
    texts[2] = Encoded(texts[2].ids, [-100] * len(texts[2].ids))
    first, middle, last = read_layers(model, texts, end_token=END, max_tokens=max_tokens)
    table = read(model, texts, end_token=END, spread=False)
    for name in ("offsets", "greedy", "end"):
        assert getattr(last, name).tolist() == getattr(table, name).tolist()
    np.testing.assert_allclose(last.nll, table.nll, rtol=2e-5)
    assert not np.allclose(first.nll, middle.nll, rtol=0.01)
    assert not np.allclose(middle.nll, last.nll, rtol=0.01)


def test_reading_out_is_norm_and_head_and_leaves_the_model_alone() -> None:
    model, text = tiny_model(), tiny_texts(1)[0]
    hidden_TD = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([text.ids])
    before = model(input_ids=ids).logits
    expected = model.lm_head(model.model.norm(hidden_TD))
    torch.testing.assert_close(read_out(model, hidden_TD), expected)
    assert torch.equal(model(input_ids=ids).logits, before)


def test_the_gap_is_positive_where_a_middle_layer_knows_more() -> None:
    by_layer = np.array([[0.1, 0.2, np.nan], [0.9, 0.3, 0.5], [0.4, 0.8, 0.5]])
    np.testing.assert_allclose(lens_gap(by_layer), [0.5, -0.5, np.nan])
    assert np.isnan(lens_gap(by_layer[:1])).all()


def test_strength_can_be_read_layer_by_layer() -> None:
    model, texts = tiny_model(layers=3), tiny_texts(4)
    tables = read_layers(model, texts, end_token=END)
    for table, layer in zip(tables, decoder_layers(model), strict=True):
        hidden = outputs(model, whole_batch(texts[:1]), [layer])[0][0]
        said = read_out(model, hidden).argmax(-1).tolist()
        right = [a == b for a, b in zip(said, texts[0].labels[1:], strict=False)][2:-1]
        wrong = [k + 1 for k, ok in enumerate(right) if not ok]
        expected = 1 - (wrong[-1] if wrong else 0) / len(right)
        assert metrics.extraction_strength(table)[0] == pytest.approx(expected)


# --- states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("max_tokens", [1, 25, 4096])
def test_states_are_each_layers_output_at_one_place_whatever_shares_a_batch(
    max_tokens: int,
) -> None:
    model, texts = tiny_model(layers=3), tiny_texts(5)
    places = [2, 4, 0, 3, len(texts[4].ids) - 1]
    found = layer_states(model, texts, places, max_tokens=max_tokens)
    assert found.shape == (3, 5, 16)
    for i, (text, place) in enumerate(zip(texts, places, strict=True)):
        alone = outputs(model, whole_batch([text]), decoder_layers(model))
        expected = np.stack([hidden[0, place].numpy() for hidden in alone])
        np.testing.assert_allclose(found[:, i], expected, rtol=1e-4, atol=1e-5)


def test_an_answer_starts_at_its_first_token_that_shows() -> None:
    tokenizer = train_tokenizer(["Where is Bo? 12 rd", "Who is Al? me"], 300)
    prompt = Prompt(template="{question}")
    number = Encoded.answer(tokenizer, prompt, "Where is Bo?", "12 rd")
    place, token = answer_start(tokenizer, number)
    assert tokenizer.decode([number.ids[place]]) == " "
    assert tokenizer.decode([token]) == "12" and number.ids[place + 1] == token
    blank = Encoded(number.ids, [-100] * len(number.ids))
    with pytest.raises(UserError, match="is blank"):
        answer_start(tokenizer, blank)
