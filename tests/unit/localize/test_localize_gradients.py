"""Localizers by gradients: scores by hand or by plain autograd, and the passes they share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.localizing import FORGET, RETAIN, autograd, close, evidence, scores
from support.tiny import whole_batch
from torch import Tensor

from lacuna.data.tokens import IGNORE
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS, Evidence, Scores, localize
from lacuna.seeds import torch_generator


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


def test_memflex_ranks_vectors_that_fail_by_their_gradients_across_layers() -> None:
    seen = evidence()
    first = next(iter(seen.layout.shapes))
    for split in ("forget", "retain"):
        seen.gradients(split, 3)[first].mul_(0.01)  # a layer of small gradients: ranked last
    norm = torch.cat([g.norm(dim=0) for g in seen.gradients("forget", 3).values()])
    found = torch.cat(list(scores("memflex", seen, mu=-1.0).values()))  # no vector passes
    assert (found < 0).all()
    assert found.argsort().tolist() == norm.argsort().tolist()
    torch.testing.assert_close(found, norm - norm.max() - 1)


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
    fisher = torch.cat(list(seen.fisher("retain", 2).values()))
    assert float(fisher.mean()) == pytest.approx(gamma, rel=1e-5)
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
    again = ("memflex", "gradient", "snip", "zero_out", "fisher_ratio")
    for name in ("activations", "wagle_code", "wagle", "memflex", "drift", "norm", *again):
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
        ("gradient", 0),
        ("snip", 0),
        ("zero_out", 0),
        ("fisher_ratio", 4),  # 4 forget texts; wagle read the retain texts
    ]


def test_localizers_of_one_survey_share_their_passes(backward_passes: list[int]) -> None:
    names = ("gradient", "snip", "zero_out", "wagle_code", "gradient")
    methods = [(name, LOCALIZERS[name](LOCALIZERS[name].Config())) for name in names]
    localize(evidence(), methods, 5)
    assert len(backward_passes) == 2  # forget and retain


def test_gradient_norm_and_snip_are_their_formulas() -> None:
    seen = evidence()
    forget = autograd(seen, FORGET)
    close(scores("gradient", seen), {n: g.square().sum(0).sqrt() for n, g in forget.items()})
    snip = {n: (w * forget[n]).abs().mean(0) for n, w in seen.weights.items()}
    close(scores("snip", seen), snip)
