"""The Fisher ratio, by vector and by weight, against plain autograd."""

from typing import Any

import pytest
import torch
from support.localizing import FORGET, PLANTED, RETAIN, autograd, close, evidence, scores
from support.tiny import tiny_model
from torch import Tensor

from lacuna.data.tokens import Encoded
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS, Evidence, Scores
from lacuna.model import value_modules
from lacuna.train import AllWeights, TrainConfig
from lacuna.unlearn import OBJECTIVES, UnlearnData, unlearn


def weight_fisher_by_hand(seen: Evidence, texts: list[Encoded]) -> Scores:
    each = [autograd(seen, [text]) for text in texts]
    return {n: torch.stack([g[n].square() for g in each]).mean(0) for n in each[0]}


def fisher_by_hand(seen: Evidence, texts: list[Encoded]) -> Scores:
    return {n: f.mean(0) for n, f in weight_fisher_by_hand(seen, texts).items()}


@pytest.mark.parametrize("max_tokens", [1, 4096])
def test_the_fisher_ratio_is_forgets_share_of_squared_gradients_per_text(max_tokens: int) -> None:
    seen = evidence(max_tokens=max_tokens)
    forget, retain = fisher_by_hand(seen, FORGET), fisher_by_hand(seen, RETAIN)
    expected = {n: forget[n] / (forget[n] + retain[n]) for n in forget}
    found = scores("fisher_ratio", seen)
    close(found, expected)
    ratio = torch.cat([forget[n] / retain[n] for n in forget])
    assert torch.equal(torch.cat(list(found.values())).argsort(), ratio.argsort())
    two, few = [RETAIN[0], RETAIN[3]], [FORGET[0], FORGET[2]]
    forget, retain = fisher_by_hand(seen, few), fisher_by_hand(seen, two)
    close(
        scores("fisher_ratio", seen, examples=2),
        {n: forget[n] / (forget[n] + retain[n]) for n in forget},
    )


def test_the_same_texts_on_both_sides_are_worth_one_half() -> None:
    model = tiny_model()
    seen = Evidence(model=model, forget=FORGET, retain=FORGET, seed=0)
    found = torch.cat(list(scores("fisher_ratio", seen).values()))
    assert found.tolist() == pytest.approx([0.5] * 48)


def test_the_fisher_ratio_by_weight_counts_those_that_forget_needs_more() -> None:
    seen = evidence()
    forget, retain = weight_fisher_by_hand(seen, FORGET), weight_fisher_by_hand(seen, RETAIN)
    for alpha in (0.5, 3.0, 10.0):
        found = scores("fisher_ratio", seen, granularity="weight", alpha=alpha)
        for name, (height, width) in seen.layout.shapes.items():
            for i in range(width):
                f, r = forget[name][:, i], retain[name][:, i]
                count = sum(bool(f[j] > alpha * r[j]) for j in range(height))
                tie = sum(float(f[j] / (f[j] + r[j])) for j in range(height)) / height
                expected = (count + tie) / (height + 1)
                assert float(found[name][i]) == pytest.approx(expected, rel=1e-5)
        counted = (torch.cat(list(found.values())) * 17).floor()
        assert counted.unique().numel() > 1


def test_the_fisher_ratio_by_weight_counts_what_ssd_selects() -> None:
    """Pruned by SSD, a vector has as many zeros as were counted."""
    model = tiny_model()
    found = scores("fisher_ratio", evidence(model=model), granularity="weight", alpha=3.0)
    ssd = OBJECTIVES["ssd"](OBJECTIVES["ssd"].Config(alpha=3.0, dampening=0.0))
    unlearn(model, AllWeights(model), ssd, UnlearnData(FORGET, RETAIN), TrainConfig(lr=1.0), 0)
    for name, module in value_modules(model).items():
        zeros = (module.weight == 0).sum(0)
        assert torch.equal((found[name] * 17).floor().long(), zeros)  # 16 weights a vector
        assert zeros.unique().numel() > 1


def test_weights_that_both_splits_need_alike_leave_the_tie_break_alone() -> None:
    seen = Evidence(model=tiny_model(), forget=FORGET, retain=FORGET, seed=0)
    for alpha, count in ((1.0, 0), (0.99, 16)):
        found = scores("fisher_ratio", seen, granularity="weight", alpha=alpha)
        expected = [(count + 0.5) / 17] * 48
        assert torch.cat(list(found.values())).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"granularity": "layer"}, "granularity='layer': choose vector or weight"),
        ({"alpha": -1.0}, "alpha=-1.0: must be finite, 0 or more"),
        ({"alpha": float("nan")}, "alpha=nan: must be finite, 0 or more"),
        ({"alpha": float("inf")}, "alpha=inf: must be finite, 0 or more"),
    ],
)
def test_an_option_of_the_fisher_ratio_out_of_range_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"fisher_ratio: {message}"):
        LOCALIZERS["fisher_ratio"].Config(**options)


@pytest.mark.parametrize("granularity", ["vector", "weight"])
def test_a_vector_that_only_forget_texts_use_has_the_largest_fisher_ratio(granularity: str) -> None:
    """Its input weights are made orthogonal to all that the retain text puts in."""
    model = tiny_model("llama", dtype=torch.float64)
    forget, retain = FORGET[:1], RETAIN[:1]
    up = model.model.layers[1].mlp.up_proj
    seen: list[Tensor] = []
    handle = up.register_forward_pre_hook(lambda _, args: seen.append(args[0][0].detach()))
    for text in (*forget, *retain):
        model(input_ids=torch.tensor([text.ids]))
    handle.remove()
    basis, _ = torch.linalg.qr(seen[1].T)
    row = seen[0].mean(0)
    up.weight.detach()[PLANTED] = row - basis @ (basis.T @ row)
    alone = Evidence(model=model, forget=forget, retain=retain, seed=0)
    found = scores("fisher_ratio", alone, granularity=granularity)
    flat = torch.cat(list(found.values()))
    assert int(flat.argmax()) == 24 + PLANTED
    assert float(flat.max()) == pytest.approx(1.0)
    assert float(flat.sort().values[-2]) < 0.999
