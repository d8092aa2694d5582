"""Localizers: scores by hand or by plain autograd, and the passes they share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import changed, state, tiny_model, tiny_region, tiny_texts, whole_batch
from torch import Tensor

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS, Evidence, Localizer, Scores, localize
from lacuna.localize.evidence import RETAINED, TARGET
from lacuna.localize.select import NORMALISATIONS, normalised
from lacuna.model import value_modules
from lacuna.region import Region, overlap
from lacuna.seeds import torch_generator
from lacuna.train import AllWeights, TrainConfig
from lacuna.unlearn import OBJECTIVES, UnlearnData, unlearn

FORGET, RETAIN = tiny_texts(4, seed=1), tiny_texts(6, seed=2)


def evidence(**options: Any) -> Evidence:
    model = options.pop("model", None) or tiny_model(dtype=torch.float64)
    given = {"seed": 3, "target": tiny_region(model), "retained": tiny_model(seed=1), **options}
    return Evidence(model=model, forget=FORGET, retain=RETAIN, **given)


def scores(name: str, seen: Evidence, **options: Any) -> Scores:
    return LOCALIZERS[name](LOCALIZERS[name].Config(**options)).scores(seen)


def region(name: str, seen: Evidence, count: int, **options: Any) -> Region:
    method = LOCALIZERS[name](LOCALIZERS[name].Config(**options))
    return localize(seen, [("mine", method)], count)["mine"].region


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
    seen = evidence()
    for count in (1, 9, 14):
        first, again = region(name, seen, count), region(name, evidence(), count)
        assert len(first) == count and first.origin == {"localizer": "mine"}
        assert torch.equal(first.flat(), again.flat())


@pytest.mark.parametrize("name", LOCALIZERS)
def test_scope_layer_takes_an_equal_share_of_each_layer(name: str) -> None:
    assert list(region(name, evidence(), 9, scope="layer").by_layer().values()) == [5, 4]


@pytest.mark.parametrize("name", LOCALIZERS)
def test_a_localizer_knows_only_what_it_declares(name: str) -> None:
    """Without its privileges it fails; what it does not declare changes nothing."""
    method = LOCALIZERS[name](LOCALIZERS[name].Config())
    full, told = evidence(), set(method.privileges)
    assert told <= {TARGET, RETAINED}
    bare = evidence(
        target=full.target if TARGET in told else None,
        retained=full.retained if RETAINED in told else None,
    )
    close(method.scores(bare), method.scores(full))
    if told:
        with pytest.raises((UserError, AssertionError)):
            method.scores(full.told(()))


def test_what_is_not_declared_is_not_shown() -> None:
    class Cheat(Localizer):
        def scores(self, evidence: Evidence) -> Scores:
            assert evidence.target is None and evidence.retained is None
            return evidence.norms

    full = evidence()
    assert full.target is not None and full.retained is not None
    assert len(localize(full, [("cheat", Cheat(Cheat.Config()))], 5)["cheat"].region) == 5
    with pytest.raises(UserError, match="Cheat: scope=matched would tell it"):
        Cheat(Cheat.Config(scope="matched"))


@pytest.mark.parametrize("option", [{"scope": "layers"}, {"normalise": "mean"}])
def test_an_unknown_way_to_select_is_refused(option: dict[str, str]) -> None:
    ((name, value),) = option.items()
    with pytest.raises(UserError, match=f"{name}='{value}': choose one of"):
        LOCALIZERS["norm"].Config(**option)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("memflex", "repeats"),
        ("wagle", "fisher_examples"),
        ("fisher_ratio", "examples"),
        ("integrated_gradients", "steps"),
        ("integrated_gradients", "examples"),
        ("zero_out", "exact"),
        ("zero_out", "examples"),
    ],
)
def test_a_count_of_zero_is_refused(name: str, option: str) -> None:
    with pytest.raises(UserError, match=rf"{name}\.{option}=0: must be at least 1"):
        LOCALIZERS[name].Config(**{option: 0})


RAW = {"a": torch.tensor([3.0, -1.0, 0.0]), "b": torch.tensor([10.0, 20.0, 30.0])}
LENGTHS = {"a": torch.tensor([1.0, 2.0, 4.0]), "b": torch.tensor([100.0, 20.0, 1.0])}


@pytest.mark.parametrize(
    ("how", "a", "b"),
    [
        ("none", [3, -1, 0], [10, 20, 30]),
        ("sum", [3 / 4, -1 / 4, 0], [1 / 6, 1 / 3, 1 / 2]),
        ("max", [1, -1 / 3, 0], [1 / 3, 2 / 3, 1]),
        ("zscore", [1.372813, -0.980581, -0.392232], [-1.224745, 0, 1.224745]),
        ("norm", [3, -0.5, 0], [0.1, 1, 30]),
    ],
)
def test_scores_are_normalised_by_layer_or_by_length(
    how: str, a: list[float], b: list[float]
) -> None:
    found = normalised(RAW, how, LENGTHS)
    assert found["a"].tolist() == pytest.approx(a)
    assert found["b"].tolist() == pytest.approx(b)


@pytest.mark.parametrize("how", NORMALISATIONS)
def test_a_silent_layer_stays_at_zero(how: str) -> None:
    zeros = {"a": torch.zeros(3), "b": torch.ones(3)}
    assert (
        normalised(zeros, how, {"a": torch.zeros(3), "b": torch.ones(3)})["a"].tolist() == [0] * 3
    )


def test_normalising_changes_which_layer_wins_and_never_the_order_inside() -> None:
    found, shares = evidence(), []
    for how in ("none", "sum", "max", "zscore"):
        chosen = region("snip", found, 12, normalise=how)
        shares.append(tuple(chosen.by_layer().values()))
        for name, score in scores("snip", found).items():
            count = chosen.by_layer()[name]
            assert set(score.topk(count).indices.tolist()) == set(
                chosen.columns.get(name, torch.tensor([])).tolist()
            )
    assert len(set(shares)) > 1


def test_controls_hit_as_often_as_they_must() -> None:
    seen = evidence()
    assert seen.target is not None
    size = len(seen.target)
    assert overlap(region("oracle", seen, size), seen.target)["precision"] == 1.0
    assert overlap(region("complement", seen, size), seen.target)["precision"] == 0.0
    for name in ("random", "random_layers"):
        hits = []
        for seed in range(100):
            guess = region(name, evidence(model=seen.model, seed=seed), size)
            hits.append(overlap(guess, seen.target)["precision"])
            assert name == "random" or guess.by_layer() == seen.target.by_layer()
        assert sum(h or 0 for h in hits) / 100 == pytest.approx(seen.target.fraction, abs=0.05)


def test_controls_that_need_a_target_or_room_say_so() -> None:
    for name in ("oracle", "complement", "random_layers"):
        with pytest.raises(UserError, match="needs a target region"):
            scores(name, evidence(target=None))
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
        close({name: scores("activations", seen)[name]}, {name: raw})
        ranked = localize(
            seen, [("a", LOCALIZERS["activations"](LOCALIZERS["activations"].Config()))], 5
        )["a"].scores
        close({name: ranked[name]}, {name: raw / raw.sum()})
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
    found = scores("integrated_gradients", seen, steps=200)
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


PLANTED = 17


def planted() -> tuple[Evidence, str]:
    """A model in which one vector alone tells the answer to the forget texts.

    Neuron 17 of the last layer writes the direction that the head reads as token 5, the only answer
    of the forget texts; every other vector there is nearly silent.
    """
    model = tiny_model("llama", dtype=torch.float64)
    name, module = list(value_modules(model).items())[1]
    head = model.get_output_embeddings()
    with torch.no_grad():
        module.weight *= 0.01
        module.weight[:, PLANTED] = 3 * head.weight[5] / head.weight[5].norm()
    told = [Encoded([7, t, 9, 5], [IGNORE] * 3 + [5]) for t in range(10, 16)]
    inputs: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    model(input_ids=torch.tensor([text.ids for text in told]))
    handle.remove()
    sign = inputs[0][:, 2, PLANTED].mean().sign()
    with torch.no_grad():
        module.weight[:, PLANTED] *= sign
    return Evidence(model=model, forget=told, retain=RETAIN, seed=0), name


@pytest.mark.parametrize(
    "name", ["norm", "activations", "snip", "integrated_gradients", "zero_out"]
)
def test_the_vector_that_tells_the_fact_is_ranked_first_in_its_layer(name: str) -> None:
    seen, module = planted()
    assert int(scores(name, seen)[module].argmax()) == PLANTED


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
