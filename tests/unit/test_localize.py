"""Localizers: scores by hand or by plain autograd, and the passes they share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import changed, state, tiny_model, tiny_region, tiny_texts, whole_batch
from torch import Tensor

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS, Evidence, localize
from lacuna.localize.base import Scores
from lacuna.model import value_modules
from lacuna.region import overlap
from lacuna.seeds import torch_generator

FORGET, RETAIN = tiny_texts(4, seed=1), tiny_texts(6, seed=2)


def evidence(**options: Any) -> Evidence:
    model = options.pop("model", None) or tiny_model(dtype=torch.float64)
    given = {"seed": 3, "target": tiny_region(model), "retained": tiny_model(seed=1), **options}
    return Evidence(model=model, forget=FORGET, retain=RETAIN, **given)


def scores(name: str, seen: Evidence, **options: Any) -> Scores:
    return LOCALIZERS[name](LOCALIZERS[name].Config(**options)).scores(seen)


def autograd(seen: Evidence, texts: list[Encoded], labels_BT: Tensor | None = None) -> Scores:
    """Gradients of the token-mean NLL from the full logits, one batch."""
    batch = whole_batch(texts)
    labels_BT = batch.labels_BT if labels_BT is None else labels_BT
    modules = value_modules(seen.model)
    for module in modules.values():
        module.weight.requires_grad_(True)
    logits_BTV = seen.model(input_ids=batch.ids_BT).logits[:, :-1]
    torch.nn.functional.cross_entropy(
        logits_BTV.transpose(1, 2), labels_BT[:, 1:], ignore_index=IGNORE
    ).backward()
    found = {n: m.weight.grad.clone() for n, m in modules.items() if m.weight.grad is not None}
    for module in modules.values():
        module.weight.requires_grad_(False)
        module.weight.grad = None
    assert found.keys() == modules.keys()
    return found


def close(found: Scores, expected: Scores) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(
            found[name].double(), expected[name].double(), rtol=1e-4, atol=1e-8
        )


@pytest.mark.parametrize("name", LOCALIZERS)
def test_a_localizer_scores_every_vector_and_leaves_the_model_alone(name: str) -> None:
    seen = evidence(model=tiny_model())
    before = state(seen.model)
    found = scores(name, seen)
    assert {n: s.shape for n, s in found.items()} == {
        n: (width,) for n, (_, width) in seen.layout.shapes.items()
    }
    assert all(torch.isfinite(s).all() for s in found.values())
    assert len(torch.cat(list(found.values())).unique()) > 1
    assert changed(before, seen.model) == set()
    assert not any(weight.requires_grad for weight in seen.model.parameters())
    assert all(weight.grad is None for weight in seen.model.parameters())


@pytest.mark.parametrize("name", LOCALIZERS)
def test_a_localizer_repeats_itself_and_meets_the_budget(name: str) -> None:
    method = LOCALIZERS[name](LOCALIZERS[name].Config())
    first = localize(evidence(), [("mine", method)], 9)["mine"]
    again = localize(evidence(), [("mine", method)], 9)["mine"]
    assert len(first) == 9 and first.origin == {"localizer": "mine"}
    assert torch.equal(first.flat(), again.flat())


@pytest.mark.parametrize("name", LOCALIZERS)
def test_scope_layer_takes_an_equal_share_of_each_layer(name: str) -> None:
    method = LOCALIZERS[name](LOCALIZERS[name].Config(scope="layer"))
    assert list(localize(evidence(), [(name, method)], 9)[name].by_layer().values()) == [5, 4]


def test_controls_hit_as_often_as_they_must() -> None:
    seen = evidence()
    assert seen.target is not None
    names = ("oracle", "complement")
    methods = [(name, LOCALIZERS[name](LOCALIZERS[name].Config())) for name in names]
    found = localize(seen, methods, len(seen.target))
    assert overlap(found["oracle"], seen.target)["precision"] == 1.0
    assert overlap(found["complement"], seen.target)["precision"] == 0.0
    hits = []
    for seed in range(100):
        guess = LOCALIZERS["random"](LOCALIZERS["random"].Config())
        region = localize(evidence(model=seen.model, seed=seed), [("r", guess)], 14)["r"]
        hits.append(overlap(region, seen.target)["precision"])
    assert sum(h or 0 for h in hits) / 100 == pytest.approx(seen.target.fraction, abs=0.05)


def test_controls_that_need_a_target_or_room_say_so() -> None:
    with pytest.raises(UserError, match="needs a target region"):
        scores("oracle", evidence(target=None))
    model = tiny_model()
    with pytest.raises(UserError, match="use at most 0.5"):
        scores("complement", evidence(model=model, target=tiny_region(model, 0.6)))


def test_drift_and_norm_find_the_one_vector_that_was_changed() -> None:
    before, after = tiny_model(), tiny_model()
    name, module = list(value_modules(after).items())[1]
    with torch.no_grad():
        module.weight[:, 17] *= 9
        module.weight[0, 4] += 0.01
    seen = evidence(model=after, retained=before)
    drift = scores("drift", seen)
    others = torch.cat([s for s in drift.values()]).sort(descending=True).values
    assert drift[name].argmax() == 17 and others[0] == drift[name][17]
    assert drift[name][4] == pytest.approx(0.01, rel=1e-4)
    assert others[2:].abs().max() == 0
    norm = scores("norm", seen)
    assert norm[name].argmax() == 17
    assert norm[name][17] == pytest.approx(float(module.weight[:, 17].pow(2).sum()) ** 0.5)


def test_activations_are_mean_contributions_as_shares_of_their_layer() -> None:
    seen = evidence()
    for name, module in value_modules(seen.model).items():
        kept: list[Tensor] = []
        handle = module.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
        total, count = torch.zeros(24, dtype=torch.float64), 0
        for text in FORGET:
            with torch.no_grad():
                seen.model(input_ids=torch.tensor([text.ids]))
            for t in range(1, len(text.ids)):
                if text.labels[t] != IGNORE:
                    total += kept[-1][0, t - 1].abs()
                    count += 1
        handle.remove()
        raw = total / count * module.weight.norm(dim=0)
        close({name: scores("activations", seen)[name]}, {name: raw / raw.sum()})
        assert seen.activations[name][5] == pytest.approx(float(total[5]) / count, rel=1e-5)


@pytest.mark.parametrize("max_tokens", [1, 30, 4096])
def test_gradients_do_not_depend_on_batching(max_tokens: int) -> None:
    seen = evidence(max_tokens=max_tokens)
    close(seen.gradients("forget"), autograd(seen, FORGET))
    close(seen.gradients("retain"), autograd(seen, RETAIN))


def test_random_labels_replace_the_labels_only_and_are_averaged() -> None:
    seen = evidence()
    generator = torch_generator(3, "random labels", "forget")
    longest_first = sorted(FORGET, key=lambda text: -len(text.ids))
    batch = whole_batch(longest_first)
    passes = []
    for _ in range(2):
        drawn = torch.randint(40, batch.labels_BT.shape, generator=generator)
        labels_BT = torch.where(batch.labels_BT == IGNORE, IGNORE, drawn)
        passes.append(autograd(seen, longest_first, labels_BT))
    close(seen.gradients("forget", 1), passes[0])
    close(seen.gradients("forget", 2), {n: (passes[0][n] + passes[1][n]) / 2 for n in passes[0]})


def test_memflex_keeps_strong_gradients_that_differ_from_those_of_retain() -> None:
    seen = evidence()
    forget, retain = seen.gradients("forget", 3), seen.gradients("retain", 3)
    norm = {n: g.norm(dim=0) for n, g in forget.items()}
    close(scores("memflex", seen, mu=1.01), norm)
    sigma = float(torch.cat(list(norm.values())).median())
    found = scores("memflex", seen, mu=0.5, sigma=sigma)
    for name, score in found.items():
        for i in range(24):
            f, r = forget[name][:, i], retain[name][:, i]
            passes = f @ r / (f.norm() * r.norm()) < 0.5 and f.norm() > sigma
            assert (score[i] >= 0) == bool(passes)
    assert {bool(x) for s in found.values() for x in s >= 0} == {True, False}


def wagle_by_hand(seen: Evidence, gamma: float, sign: float) -> Scores:
    forget, retain = autograd(seen, FORGET), autograd(seen, RETAIN)
    return {
        name: (w * sign * forget[name] - retain[name] * sign * forget[name] / gamma).mean(0)
        for name, w in seen.weights.items()
    }


def test_wagle_is_its_formula_with_the_fisher_for_gamma() -> None:
    seen = evidence()
    squares = [
        gradient.square().mean()
        for text in (RETAIN[0], RETAIN[3])
        for gradient in autograd(seen, [text]).values()
    ]
    gamma = float(torch.stack(squares).mean())  # matrices are of one size
    assert seen.mean_fisher("retain", 2) == pytest.approx(gamma, rel=1e-5)
    published = scores("wagle", seen, fisher_examples=2)
    close(published, wagle_by_hand(seen, gamma, sign=-1))
    flipped = scores("wagle", seen, fisher_examples=2, forget="nll")
    close(flipped, {name: -score for name, score in published.items()})
    with pytest.raises(UserError, match="choose objective or nll"):
        scores("wagle", seen, forget="gradient")


def test_the_public_codes_wagle_takes_absolute_values_and_a_fixed_mu() -> None:
    seen = evidence()
    forget, retain = autograd(seen, FORGET), autograd(seen, RETAIN)
    expected = {
        name: ((w - retain[name] / 0.5) * forget[name]).abs().mean(0)
        for name, w in seen.weights.items()
    }
    close(scores("wagle_code", seen, mu=0.5), expected)


@pytest.fixture
def backward_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every backward pass."""
    counted: list[int] = []
    plain: Callable[..., None] = Tensor.backward

    def counting(self: Tensor, *args: Any, **options: Any) -> None:
        counted.append(1)
        plain(self, *args, **options)

    monkeypatch.setattr(Tensor, "backward", counting)
    return counted


def test_gradient_passes_are_shared_between_localizers(backward_passes: list[int]) -> None:
    seen, spent = evidence(), []
    for name in ("activations", "wagle_code", "wagle", "memflex", "drift", "norm", "memflex"):
        start = len(backward_passes)
        scores(name, seen)
        spent.append((name, len(backward_passes) - start))
    assert spent == [
        ("activations", 0),
        ("wagle_code", 2),  # forget and retain
        ("wagle", 6),  # those two are there; one pass for each of 6 retain texts (Fisher)
        ("memflex", 6),  # 3 draws of labels for each split
        ("drift", 0),
        ("norm", 0),
        ("memflex", 0),
    ]
