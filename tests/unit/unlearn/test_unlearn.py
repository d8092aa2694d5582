"""The unlearning loop: any objective stays inside its region, repeats and resists."""

import math
from functools import cache
from typing import Any

import pytest
import torch
from support.tiny import (
    changed,
    changed_columns,
    state,
    tiny_model,
    tiny_region,
)
from support.unlearning import DATA, FORGET, REFUSALS, RETAIN, objective
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.errors import UserError
from lacuna.model import answers
from lacuna.train import (
    AllWeights,
    Diverged,
    RegionWeights,
    TrainConfig,
    language_loss,
    train,
)
from lacuna.unlearn import (
    OBJECTIVES,
    Objective,
    Step,
    UnlearnData,
    answer_nll,
    answer_token_nll,
    unlearn,
)

LOSSES = [
    name for name, method in OBJECTIVES.items() if issubclass(method, Objective) and method.confined
]
every_objective = pytest.mark.parametrize("name", LOSSES)

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *[(name, {}) for name in LOSSES],
    *[("npo", {"retain": kind}) for kind in ("kl", "kl_peer", "hidden")],
    ("rmu", {"retain": "nll"}),
    ("undial", {"masking": "peer", "retain_weight": 1.0, "retain": "kl"}),
    ("pdu", {"masking": "peer", "retain": "hidden"}),
]
every_variant = pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=[" ".join([n, *map(str, o.values())]) for n, o in VARIANTS]
)


another = cache(lambda dtype, layers: tiny_model(seed=9, dtype=dtype, layers=layers))
"""The retained model, which is only read: one for all tests."""


def run(
    name: str,
    model: PreTrainedModel,
    *,
    seed: int = 0,
    everywhere: bool = False,
    data: UnlearnData = DATA,
    options: dict[str, Any] | None = None,
    retained: PreTrainedModel | None = None,
    **train: Any,
) -> list[float]:
    weights = AllWeights(model) if everywhere else RegionWeights(model, tiny_region(model))
    dtype, layers = next(model.parameters()).dtype, model.config.num_hidden_layers
    config = TrainConfig(
        **{"steps": 4, "lr": 0.02, "schedule": "constant", "batch_size": 4, **train}
    )
    history = unlearn(
        model,
        weights,
        objective(name, **(options or {})),
        data,
        config,
        seed,
        retained=retained or another(dtype, layers),
    )
    return history.losses


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unlearning_moves_the_region_only(
    name: str, options: dict[str, Any], dtype: torch.dtype
) -> None:
    model = tiny_model(dtype=dtype)
    before = state(model)
    run(name, model, steps=2, lr=0.05, weight_decay=0.5, options=options)
    columns = tiny_region(model).columns
    expected = {module: set(chosen.tolist()) for module, chosen in columns.items()}
    assert changed_columns(before, model) == expected


@every_objective
def test_unlearning_everywhere_moves_what_the_loss_reaches(name: str) -> None:
    model = tiny_model(layers=3)
    before = state(model)
    run(name, model, steps=2, everywhere=True, options={"retain_weight": 1.0})
    moved = changed(before, model)
    if name in ("rmu", "srmu"):  # steers layer floor(21/32 * 3) = 1: what lies above stays
        assert not any(".layers.2." in n or "lm_head" in n for n in moved)
        assert any(".layers.1." in n for n in moved)
    else:
        assert len(moved) == len(before)


@every_objective
def test_unlearning_repeats_by_seed(name: str) -> None:
    def unlearned(seed: int) -> PreTrainedModel:
        model = tiny_model()
        run(name, model, seed=seed, batch_size=2)
        return model

    first = state(unlearned(1))
    assert changed(first, unlearned(1)) == set()
    assert changed(first, unlearned(2)) != set()


@every_objective
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zero_steps_of_unlearning_is_the_identity(name: str, dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    before = state(model)
    assert run(name, model, steps=0) == []
    assert changed(before, model) == set()


STEADY: dict[str, dict[str, Any]] = {"pdu": {"dual_rate": 0.0}, "tnpo": {"beta": 0.1}}
"""Options under which a loss can be compared between steps: a fixed multiplier, and weights that
hardly move (the slope of detached weights is not that of the value)."""


@every_variant
@pytest.mark.parametrize("everywhere", [False, True])
def test_an_objective_lowers_its_own_loss(
    name: str, options: dict[str, Any], everywhere: bool
) -> None:
    options = {**options, **STEADY.get(name, {})}
    train: dict[str, Any] = {"steps": 3, "lr": 5e-4, "batch_size": 6}
    losses = run(name, tiny_model(), everywhere=everywhere, options=options, **train)
    assert losses[-1] < losses[0]
    assert losses[1] < losses[0]


@cache
def injected() -> dict[str, Tensor]:
    """Weights of the tiny model once it knows the forget facts."""
    model = tiny_model()
    config = TrainConfig(steps=40, lr=0.02)
    train(model, AllWeights(model), language_loss(model, FORGET, 4, seed=0), config)
    return state(model)


@every_variant
def test_one_step_makes_injected_facts_less_likely(name: str, options: dict[str, Any]) -> None:
    model = tiny_model()
    model.load_state_dict(injected())
    known = answer_nll(model, FORGET)
    assert known.max() < 1 < 5 < answer_nll(tiny_model(), FORGET).min()
    options = {**options, "retain_weight": 0.0}
    run(name, model, everywhere=True, steps=1, lr=0.01, options=options, retained=tiny_model())
    assert (answer_nll(model, FORGET) > known).all()


@every_variant
def test_recomputed_activations_give_the_same_unlearning(
    name: str, options: dict[str, Any]
) -> None:
    def unlearned(checkpointing: bool) -> PreTrainedModel:
        model = tiny_model(dtype=torch.float64, layers=3)
        run(name, model, checkpointing=checkpointing, options=options, steps=2)
        return model

    pairs = zip(unlearned(False).parameters(), unlearned(True).parameters(), strict=True)
    assert max(float((a - b).abs().max()) for a, b in pairs) < 1e-10


def test_a_region_above_the_steered_layer_is_left_alone() -> None:
    model = tiny_model(layers=3)
    before, region = state(model), tiny_region(model)
    last = list(region.columns)[-1]
    above = type(region)(region.layout, {last: region.columns[last]})
    config = TrainConfig(steps=2, lr=0.1, weight_decay=0.5)
    unlearn(model, RegionWeights(model, above), objective("rmu"), DATA, config, seed=0)
    assert changed(before, model) == set()


def test_what_an_objective_needs_and_has_not_is_named() -> None:
    model = tiny_model()
    weights, config = AllWeights(model), TrainConfig(steps=1)
    without = UnlearnData(FORGET, RETAIN)
    with pytest.raises(UserError, match="needs refusals"):
        unlearn(model, weights, objective("dpo"), without, config, 0)
    with pytest.raises(UserError, match="needs the retained model"):
        unlearn(model, weights, objective("match"), without, config, 0)


@pytest.mark.parametrize("name", [n for n in OBJECTIVES if OBJECTIVES[n].needs_retained])
def test_a_retained_model_of_another_vocabulary_is_refused(name: str) -> None:
    model, other = tiny_model(), tiny_model()
    other.resize_token_embeddings(41)
    before = state(model)
    with pytest.raises(UserError, match="vocabulary of 41 tokens, the injected one of 40: give"):
        run(name, model, retained=other)
    assert changed(before, model) == set()


@pytest.mark.parametrize("name", ["match", "restore"])
@pytest.mark.parametrize("layers", [1, 3])
def test_a_retained_model_of_another_depth_is_refused(name: str, layers: int) -> None:
    model = tiny_model()
    before = state(model)
    expected = (
        rf"has {layers} layers of width 16 with {24 * layers} value vectors, "
        r"the injected one 2 layers of width 16 with 48 value vectors: give [^\n]+$"
    )
    with pytest.raises(UserError, match=expected):
        run(name, model, retained=tiny_model(layers=layers))
    assert changed(before, model) == set()


def test_matching_distributions_does_not_ask_for_the_same_depth() -> None:
    assert len(run("match_kl", tiny_model(), retained=tiny_model(layers=3))) == 4


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("npo", "beta", 0.0),
        ("npo", "reduction", "max"),
        ("dpo", "beta", -1.0),
        ("dpo", "factor", 0.0),
        ("rmu", "tokens", "some"),
        ("wga", "alpha", -0.1),
        ("rmu", "depth", 1.0),
        ("rmu", "scale", 0.0),
        ("simnpo", "beta", 0.0),
        ("simnpo", "delta", -0.1),
        ("satimp", "beta1", -0.1),
        ("satimp", "beta2", -0.1),
        ("undial", "beta", -1.0),
        ("undial", "masking", "prompt"),
        ("ceu", "skip", -1),
        ("pdu", "epsilon", -0.1),
        ("pdu", "dual_rate", -1.0),
        ("pdu", "masking", "prompt"),
        ("tnpo", "beta", 0.0),
        ("wtnpo", "beta", 0.0),
        ("wtnpo", "alpha", -0.5),
        ("flat", "divergence", "chi"),
        ("srmu", "importance", "sum"),
        ("lens", "first", 1.0),
        ("forced_logits", "strength", -1.0),
        ("forced_logits", "reinforce_lr", -1.0),
        ("forced_logits", "reinforce_steps", -1),
        ("icu", "learn", -0.5),
        ("icu", "hold", -1.0),
        ("dto", "targets", "value"),
        ("dto", "share", 0.0),
        ("dto", "hold", -1.0),
        ("dto", "forget", "dpo"),
        ("dto", "beta", 0.0),
        *[(name, "retain", "l2") for name in LOSSES],
        *[(name, "retain_weight", -1.0) for name in LOSSES],
        *[(name, "retain_weight", math.nan) for name in LOSSES],
        *[(name, "retain_weight", math.inf) for name in LOSSES],
    ],
)
def test_an_option_out_of_range_is_refused_by_name(name: str, option: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"option {option}={value}: must be") as caught:
        objective(name, **{option: value})
    assert "\n" not in str(caught.value)


def test_skipping_whole_answers_is_refused() -> None:
    with pytest.raises(UserError, match="option skip=6: no answer of a batch is that long"):
        run("ceu", tiny_model(), options={"skip": 6})
    assert len(run("ceu", tiny_model(), options={"skip": 5})) == 4


def test_ascent_that_overflows_is_reported_as_diverged() -> None:
    with pytest.raises(Diverged, match="lower the learning rate"):
        run("ga", tiny_model(), lr=1e30, steps=6, everywhere=True, clip=0)


def at_start(name: str, model: PreTrainedModel, **options: Any) -> float:
    """The loss at the first step, before anything moved, over all texts."""
    data = UnlearnData(FORGET, RETAIN, REFUSALS)
    return run(name, model, steps=1, batch_size=6, data=data, options=options)[0]


@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("name", ["npo", "dpo"])
def test_a_preference_loss_is_two_log_two_over_beta_at_the_reference(
    name: str, beta: float
) -> None:
    found = at_start(name, tiny_model(), beta=beta, retain_weight=0.0)
    assert found == pytest.approx(2 / beta * math.log(2), rel=1e-5)


def test_gradient_difference_without_its_retain_term_is_gradient_ascent() -> None:
    ascended, other = tiny_model(), tiny_model()
    assert run("ga", ascended) == run("graddiff", other, options={"retain_weight": 0.0})
    assert changed(state(ascended), other) == set()


def test_a_retain_batch_is_read_only_where_it_counts() -> None:
    for name in LOSSES:
        assert not objective(name, retain_weight=0.0).uses_retain
        without = UnlearnData(FORGET, RETAIN, REFUSALS)
        options = {"retain_weight": 0.0}
        assert len(run(name, tiny_model(), steps=1, data=without, options=options)) == 1


@pytest.mark.parametrize(
    ("name", "options", "copies"),
    [
        ("ga", {}, 0),
        ("npo", {}, 0),
        ("npo", {"retain": "kl"}, 1),
        ("rmu", {}, 1),
        ("rmu", {"retain": "nll"}, 0),
        ("rmu", {"retain_weight": 0.0}, 0),
        ("undial", {"retain_weight": 0.0}, 1),
    ],
)
def test_the_weights_are_copied_only_where_the_earlier_model_is_asked(
    name: str, options: dict[str, Any], copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    plain = AllWeights.read

    def counting(self: AllWeights) -> dict[str, Tensor]:
        reads.append(1)
        return plain(self)

    monkeypatch.setattr(AllWeights, "read", counting)
    run(name, tiny_model(), everywhere=True, steps=0, options=options)
    assert len(reads) == copies


def test_the_earlier_model_is_the_one_before_the_first_step_whenever_it_is_asked() -> None:
    class Late(Objective):
        needs_original = True

        def forget_loss(self, step: Step) -> Tensor:
            asked.append(step)
            if len(asked) == 3:
                said = step.original(lambda asked_model: answers(asked_model, step.forget).nll_N)
                rows = step.forget.index_B.tolist()
                torch.testing.assert_close(said.double(), torch.cat([tokens[r] for r in rows]))
                now = step.forget_said.nll_N.detach()
                assert (now - said).abs().max() > 0.1
            return -step.forget_said.nll_N.mean()

    model, asked = tiny_model(), list[Step]()
    tokens = answer_token_nll(model, FORGET)
    late = Late(Late.Config(retain_weight=0.0))
    config = TrainConfig(steps=3, lr=0.02, batch_size=4)
    unlearn(model, AllWeights(model), late, DATA, config, seed=0)
    assert len(asked) == 3


@pytest.mark.parametrize("max_tokens", [1, 4096])
def test_reference_log_probabilities_are_sums_over_whole_answers(max_tokens: int) -> None:
    model = tiny_model(dtype=torch.float64)
    found = answer_nll(model, FORGET, max_tokens)
    for i, text in enumerate(FORGET):
        logp = model(input_ids=torch.tensor([text.ids])).logits[0].log_softmax(-1)
        cost = [-logp[t - 1, text.ids[t]] for t in range(3, len(text.ids))]
        assert float(found[i]) == pytest.approx(float(sum(cost)), rel=1e-9)


def test_refusals_and_references_follow_their_question_through_the_shuffle() -> None:
    """A loss that is zero only if row, refusal and all references belong together."""
    model = tiny_model()
    facts, refusals = answer_nll(model, FORGET), answer_nll(model, REFUSALS)
    tokens = answer_token_nll(model, FORGET)
    asked: list[list[int]] = []

    class Probe(Objective):
        needs_refusals = needs_reference = True

        def loss(self, step: Step) -> Any:
            rows = step.forget.index_B.tolist()
            asked.append(rows)
            assert step.refusal is not None
            torch.testing.assert_close(step.forget_reference_B, facts[rows])
            torch.testing.assert_close(step.refusal_reference_B, refusals[rows])
            expected_N = torch.cat([tokens[row] for row in rows])
            torch.testing.assert_close(step.forget_reference_N, expected_N)
            found_N = step.forget_said.nll_N.detach().double()
            torch.testing.assert_close(found_N, expected_N, rtol=1e-4, atol=1e-4)
            said = answers(step.model, step.refusal)
            torch.testing.assert_close(
                said.sum_rows(said.nll_N).double(), refusals[rows], rtol=1e-4, atol=1e-4
            )
            return objective("ga").loss(step)

    config = TrainConfig(steps=6, lr=0.0, batch_size=2)
    unlearn(model, AllWeights(model), Probe(Probe.Config()), DATA, config, seed=0)
    assert sorted(asked[0] + asked[1]) == [0, 1, 2, 3]
    assert len({tuple(rows) for rows in asked}) > 2
