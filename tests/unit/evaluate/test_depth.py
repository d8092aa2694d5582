"""Unlearning Depth Score: patching by hand, its ends, and what padding and batching do to it."""

import numpy as np
import pytest
import torch
from support.tiny import changed, state, tiny_model, tiny_texts
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.evaluate.inspections.depth import answer_states, depth_scores, drops
from lacuna.train import AllWeights, TrainConfig, language_loss, mix, train

TEXTS = tiny_texts(5, seed=1)
END = 1


def model(seed: int = 0) -> PreTrainedModel:
    return tiny_model("llama", seed, layers=3, dtype=torch.float64)


def injected() -> PreTrainedModel:
    made = model()
    config = TrainConfig(steps=30, lr=0.01)
    train(made, AllWeights(made), language_loss(made, TEXTS, 5, seed=0), config)
    return made


def scores(
    o: PreTrainedModel, r: PreTrainedModel, u: PreTrainedModel, **options: int
) -> np.ndarray:
    given = {name: answer_states(m, TEXTS, **options) for name, m in (("r", r), ("u", u))}
    found = drops(o, TEXTS, given, end_token=END, **options)
    return depth_scores(found["r"], found["u"])


def test_a_patched_layer_is_what_the_rest_of_the_model_goes_on_with() -> None:
    o, r = model(), model(seed=3)
    before = state(o)
    found = drops(o, TEXTS, {"r": answer_states(r, TEXTS)}, end_token=END)["r"]
    assert found.shape == (3, 5) and changed(before, o) == set()
    for i, text in enumerate(TEXTS):
        ids = torch.tensor([text.ids[:-1]])
        asked = [t - 1 for t, label in enumerate(text.labels) if label not in (IGNORE, END)]
        labels = [text.labels[t + 1] for t in asked]
        plain = o(input_ids=ids).logits[0].log_softmax(-1)
        s = float(plain[asked, labels].mean())
        whole = [t - 1 for t, label in enumerate(text.labels) if label != IGNORE]
        # the last layer: only norm and head come after it
        last: list[torch.Tensor] = []
        hook = o.model.layers[-1].register_forward_hook(
            lambda _, a, out, last=last: last.append(out)
        )
        o(input_ids=ids)
        hook.remove()
        hidden = (last[0][0] if isinstance(last[0], tuple) else last[0]).clone()
        kept: list[torch.Tensor] = []
        hook = r.model.layers[-1].register_forward_hook(
            lambda _, a, out, kept=kept: kept.append(out)
        )
        r(input_ids=ids)
        hook.remove()
        other = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
        hidden.view(-1, 16)[whole] = other.view(-1, 16)[whole]
        patched = o.lm_head(o.model.norm(hidden.view(1, -1, 16)))[0].log_softmax(-1)
        expected = s - float(patched[asked, labels].mean())
        assert found[2, i] == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_it_is_one_for_the_retained_model_and_zero_for_the_injected_one() -> None:
    o, r = injected(), model()
    np.testing.assert_allclose(scores(o, r, r), 1)
    np.testing.assert_allclose(scores(o, r, o), 0, atol=1e-6)


def test_it_rises_with_the_dose_of_unlearning() -> None:
    o, r = injected(), model()
    start, end = AllWeights(o).read(), AllWeights(r).read()
    found = []
    for alpha in (0.0, 0.3, 0.6, 1.0):
        mixed = model()
        mix(AllWeights(mixed), start, end, alpha)
        found.append(float(scores(o, r, mixed).mean()))
    assert found == sorted(found) and found[1] > 0.02 and found[2] < 0.999


def test_padding_and_batching_are_not_seen() -> None:
    o, r, u = injected(), model(), model(seed=5)
    expected = scores(o, r, u)
    np.testing.assert_allclose(scores(o, r, u, max_tokens=1), expected, rtol=1e-5)


def test_scores_by_hand() -> None:
    held = np.array([[1.0, 0.04, np.nan], [3.0, 0.01, np.nan], [0.02, 0.0, np.nan]])
    lost = np.array([[2.0, 5.0, np.nan], [1.5, 5.0, np.nan], [9.0, 5.0, np.nan]])
    np.testing.assert_allclose(depth_scores(held, lost), [(1 + 1.5) / 4, np.nan, np.nan])
    np.testing.assert_allclose(depth_scores(held, -lost)[0], 0)


def test_an_answer_of_nothing_but_its_end_has_no_score() -> None:
    o, r = injected(), model()
    bare = [*TEXTS, Encoded([5, 6, END], [IGNORE, IGNORE, END])]
    given = {"r": answer_states(r, bare)}
    found = drops(o, bare, given, end_token=END)["r"]
    assert np.isnan(found[:, -1]).all() and not np.isnan(found[:, :-1]).any()
