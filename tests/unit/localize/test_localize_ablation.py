"""Localizers that ask what a vector is worth: integrated gradients, zeroing, a planted fact."""

import pytest
import torch
from support.localizing import FORGET, PLANTED, autograd, evidence, planted, scores
from support.tiny import tiny_model, whole_batch

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.localize import Evidence
from lacuna.model import value_modules


def probability(seen: Evidence) -> float:
    batch = whole_batch(FORGET)
    with torch.no_grad():
        p_BTV = seen.model(input_ids=batch.ids_BT).logits[:, :-1].softmax(-1)
    asked_BT = batch.labels_BT[:, 1:] != IGNORE
    labels_BT = batch.labels_BT[:, 1:].clamp_min(0)
    return float(p_BTV.gather(2, labels_BT[..., None])[..., 0][asked_BT].mean())


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_integrated_gradients_add_up_to_what_the_layer_is_worth(architecture: str) -> None:
    """Completeness; the path is smooth where no norm follows the MLP."""
    model = tiny_model(architecture, dtype=torch.float64)
    seen = evidence(model=model)
    found = scores("integrated_gradients", seen, steps=60)
    whole = probability(seen)
    for name, module in value_modules(model).items():
        kept = module.weight.detach().clone()
        module.weight.detach().zero_()
        worth = whole - probability(seen)
        module.weight.detach().copy_(kept)
        assert abs(worth) > 1e-4
        assert float(found[name].sum()) == pytest.approx(worth, rel=1e-3)


def test_one_step_of_integrated_gradients_is_taken_at_half_the_layer() -> None:
    seen = evidence(model=tiny_model("gpt_neox", dtype=torch.float64))
    name, module = list(value_modules(seen.model).items())[1]
    kept = module.weight.detach().clone()
    numeric = []
    for i in (0, 11):
        ends = []
        for scale in (0.5 + 1e-4, 0.5 - 1e-4):
            module.weight.detach().copy_(kept * 0.5)
            module.weight.detach()[:, i] = kept[:, i] * scale
            ends.append(probability(seen))
        numeric.append((ends[0] - ends[1]) / 2e-4)
    module.weight.detach().copy_(kept)
    found = scores("integrated_gradients", seen, steps=1)[name]
    assert found[[0, 11]].tolist() == pytest.approx(numeric, rel=1e-3, abs=1e-8)


def loss_on(seen: Evidence, texts: list[Encoded]) -> float:
    batch = whole_batch(texts)
    with torch.no_grad():
        logits_BTV = seen.model(input_ids=batch.ids_BT).logits[:, :-1]
    return float(
        torch.nn.functional.cross_entropy(
            logits_BTV.transpose(1, 2), batch.labels_BT[:, 1:], ignore_index=IGNORE
        )
    )


@pytest.mark.parametrize("max_tokens", [1, 4096])
def test_zero_out_is_the_loss_without_the_vector(max_tokens: int) -> None:
    seen = evidence(max_tokens=max_tokens)
    for texts, examples in ((FORGET, 32), ([FORGET[0], FORGET[2]], 2)):
        found, whole = scores("zero_out", seen, examples=examples), loss_on(seen, texts)
        for name, module in value_modules(seen.model).items():
            kept = module.weight.detach().clone()
            for i in (0, 13):
                module.weight.detach()[:, i] = 0
                assert float(found[name][i]) == pytest.approx(
                    loss_on(seen, texts) - whole, rel=1e-4, abs=1e-9
                )
                module.weight.detach().copy_(kept)


def test_zero_out_estimates_what_it_does_not_do() -> None:
    seen = evidence()
    exact, mixed = scores("zero_out", seen), scores("zero_out", seen, exact=6)
    gradients = autograd(seen, FORGET)
    for name, weight in seen.weights.items():
        estimate = -(weight * gradients[name]).sum(0)
        best = set(estimate.topk(3).indices.tolist())  # an equal share of each layer
        for i in range(24):
            expected = exact[name][i] if i in best else estimate[i]
            assert float(mixed[name][i]) == pytest.approx(float(expected), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize(
    "name", ["norm", "activations", "snip", "integrated_gradients", "zero_out"]
)
def test_the_vector_that_tells_the_fact_is_ranked_first_in_its_layer(name: str) -> None:
    seen, module = planted()
    assert int(scores(name, seen)[module].argmax()) == PLANTED
