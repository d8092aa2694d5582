"""Losses, gradients, metrics and trajectories against a reference implementation's numbers.

`support.oracle` says which. Compared: every recorded loss, with the peer's masking where it
differs from ours, and every recorded metric (those that need no model stand in test_metrics.py and
test_metrics_quality.py). RMU agrees up to a constant factor, see `uneven`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from support.oracle import model, recorded
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.base import Example
from lacuna.data.tokens import IGNORE, Batch, Encoded, collate
from lacuna.evaluate import TokenTable, forget_quality, generate, metrics, read
from lacuna.evaluate.inspections import membership
from lacuna.model import LoadedModel, answers
from lacuna.train import AllWeights, Loss, TrainConfig, train
from lacuna.unlearn import OBJECTIVES, Objective, Step, answer_nll
from lacuna.unlearn.base import Frozen, Reference

pytestmark = pytest.mark.oracle
END = 1
either_model = pytest.mark.parametrize("which", ["policy", "ref"])


def texts(rows: list[dict[str, Any]]) -> list[Encoded]:
    return [Encoded(row["input_ids"], row["labels"]) for row in rows]


def split(name: str) -> list[Encoded]:
    return texts(recorded("batches")[name])


def whole(name: str) -> Batch:
    rows = split(name)
    return collate(rows, range(len(rows)))


def table(which: str, rows: list[Encoded]) -> TokenTable:
    return read(model(which), rows, end_token=END, max_tokens=60)


def by_index(entry: dict[str, Any], key: str) -> np.ndarray:
    values = entry["value_by_index"]
    numbers = [values[str(i)][key] for i in range(len(values))]
    return np.array([np.nan if number is None else number for number in numbers], float)


def equal(found: np.ndarray, expected: np.ndarray, within: float = 1e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=within)


# --- metrics ----------------------------------------------------------------------------------


@either_model
@pytest.mark.parametrize("name", ["forget", "holdout", "retain", "no_eos"])
def test_token_metrics_match_for_every_item(which: str, name: str) -> None:
    numbers, found = recorded("reference")["metrics"][which][name], table(which, split(name))
    equal(-metrics.mean_logp(found), by_index(numbers["probability"], "avg_loss"))
    equal(metrics.probability(found), by_index(numbers["probability"], "prob"))
    strength = metrics.extraction_strength_peer(found)
    equal(strength, by_index(numbers["extraction_strength"], "score"))
    memorized = metrics.exact_memorization(metrics.drop_last(found))
    equal(memorized, by_index(numbers["exact_memorization"], "score"))
    if name != "no_eos":  # there the peer drops a real token, and we keep it
        equal(metrics.exact_memorization(found), memorized)


@either_model
def test_probabilities_of_paraphrased_and_wrong_answers_give_the_truth_ratios(which: str) -> None:
    numbers = recorded("reference")["metrics"][which]
    right = -metrics.mean_logp(table(which, split("paraphrased")))
    equal(right, by_index(numbers["paraphrased_probability"], "avg_loss"))
    rows = recorded("batches")["perturbed"]
    flat = texts([row[key] for row in rows for key in "012"])
    wrong = -metrics.mean_logp(table(which, flat)).reshape(len(rows), 3)
    equal(wrong, np.stack(list(by_index_of_lists(numbers["perturbed_probability"], "avg_loss"))))
    ratio = metrics.truth_ratio(right, wrong)
    equal(ratio, by_index(numbers["truth_ratio"]["closer_to_1_better"], "score"))
    for reading, entry in numbers["truth_ratio"].items():
        score = float(metrics.truth_score(ratio, reading).mean())
        assert score == pytest.approx(entry["agg_value"], abs=1e-5)
    choice = metrics.choice_probability(right, wrong)
    equal(choice, by_index(numbers["probability_w_options"], "prob"))


def by_index_of_lists(entry: dict[str, Any], key: str) -> list[np.ndarray]:
    values = entry["value_by_index"]
    return [np.array(values[str(i)][key]) for i in range(len(values))]


ATTACKS: dict[str, Callable[[PreTrainedModel, list[Encoded]], np.ndarray]] = {
    "loss": lambda m, t: scores(m, t)["loss"],
    "zlib": lambda m, t: scores(m, t)["zlib"],
    "min_k_0.2": lambda m, t: metrics.min_k(read(m, t, end_token=END), 0.2),
    "min_k_0.4": lambda m, t: scores(m, t)["min_k"],
    "min_k_plus_plus_0.2": lambda m, t: metrics.min_k_plus_plus(read(m, t, end_token=END), 0.2),
    "min_k_plus_plus_0.4": lambda m, t: scores(m, t)["min_k_plus_plus"],
    "reference_vs_ref": lambda m, t: scores(m, t)["loss"] - scores(model("ref"), t)["loss"],
    "gradnorm_p1": lambda m, t: membership.gradient_norms(m, t, end_token=END, order=1),
    "gradnorm_p2": lambda m, t: membership.gradient_norms(m, t, end_token=END),
}


def scores(asked: PreTrainedModel, rows: list[Encoded]) -> dict[str, np.ndarray]:
    """The reference has no tokenizer: it turns labels 3 and up into printable characters."""
    said = ["".join(chr(32 + x % 95) for x in row.labels if x >= 3) for row in rows]
    return membership.table_scores(read(asked, rows, end_token=END, max_tokens=60), said)


@either_model
@pytest.mark.parametrize("name", ATTACKS)
def test_membership_scores_and_their_areas_match(which: str, name: str) -> None:
    numbers = recorded("reference")["metrics"][which]["mia"][name]
    found = {s: ATTACKS[name](model(which), split(s)) for s in ("forget", "holdout")}
    for side, values in found.items():
        # min-k++ was recorded in float32, up to 4.3e-5 off its own float64 value
        within = 5e-5 if "plus_plus" in name else 1e-5
        if name == "gradnorm_p1":  # float32 sums of up to 160 over thousands of weights
            within = 1e-6 * values.max()
        equal(values, by_index(numbers[side], "score"), within)
    area = membership.auc(found["forget"], found["holdout"])
    assert area == pytest.approx(numbers["auc"], abs=1e-5)


def test_every_recorded_attack_is_compared() -> None:
    for which in ("policy", "ref"):
        assert recorded("reference")["metrics"][which]["mia"].keys() == ATTACKS.keys()


def test_comparisons_of_two_models_match() -> None:
    numbers = recorded("reference")["aggregates"]
    areas, ratios = [], []
    for which in ("policy", "ref"):
        found = [scores(model(which), split(side))["min_k"] for side in ("forget", "holdout")]
        areas.append(membership.auc(*found))
        rows = recorded("batches")["perturbed"]
        flat = texts([row[key] for row in rows for key in "012"])
        wrong = -metrics.mean_logp(table(which, flat)).reshape(len(rows), 3)
        right = -metrics.mean_logp(table(which, split("paraphrased")))
        ratios.append(metrics.truth_ratio(right, wrong))
    expected = numbers["privleak_min_k_0.4[policy vs ref]"]
    assert membership.privleak(*areas) == pytest.approx(expected, abs=1e-5)
    expected = numbers["rel_diff_min_k_0.4[policy vs ref]"]
    assert membership.relative_difference(*areas) == pytest.approx(expected, abs=1e-5)
    quality = 10 ** forget_quality(*ratios).log10_p
    assert quality == pytest.approx(numbers["forget_quality_ks[policy vs ref]"], abs=1e-5)


@either_model
def test_logits_and_the_loss_of_a_batch_match(which: str) -> None:
    numbers, batch = recorded("reference")["metrics"][which], whole("forget")
    said = answers(model(which), batch)
    assert said.nll_N.mean().item() == pytest.approx(numbers["hf_mean_loss_forget"], abs=1e-5)
    probe = numbers["logits_probe"]
    logits_BTV = model(which)(input_ids=batch.ids_BT).logits
    equal(logits_BTV[0, 5, :8].numpy(), np.array(probe["logits[0,5,:8]"]))
    equal(logits_BTV[3, 10, :8].numpy(), np.array(probe["logits[3,10,:8]"]))
    argmax_BT = logits_BTV.argmax(-1).tolist()
    for row, expected, size in zip(argmax_BT, probe["argmax_all"], batch.lengths_B, strict=True):
        assert row[:size] == expected[:size]


@either_model
@pytest.mark.parametrize("max_tokens", [1, 4096])
def test_left_padded_generation_matches(which: str, max_tokens: int) -> None:
    numbers = recorded("reference")["metrics"][which]["greedy_generation"]
    asked = [[t for t in row if t] for row in numbers["prompt_left_padded"]]
    loaded = LoadedModel(model(which), Bare(), Given(asked))  # type: ignore[arg-type]
    examples = [
        Example(id=str(i), question=str(i), answer="", person="", field="")
        for i in range(len(asked))
    ]
    said = generate(loaded, examples, new_tokens=12, max_tokens=max_tokens)
    expected = [" ".join(str(t) for t in row if t > END) for row in numbers["new_tokens"]]
    assert said == expected


class Bare:
    """Token ids as text: the recorded models have no tokenizer."""

    pad_token_id, eos_token_id = 0, END

    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        assert skip_special_tokens
        return [" ".join(str(t) for t in row if t > END) for row in rows]


@dataclass
class Given:
    """Prompts by number."""

    prompts: list[list[int]]

    def head(self, tokenizer: Bare, question: str) -> list[int]:
        return self.prompts[int(question)]

    def end(self, tokenizer: Bare) -> int:
        return tokenizer.eos_token_id


@either_model
@pytest.mark.parametrize("fraction", [0.2, 0.4])
def test_min_k_plus_plus_keeps_its_precision_in_float32(which: str, fraction: float) -> None:
    for side in ("forget", "holdout"):
        exact = read(model(which, torch.float64), split(side), end_token=END)
        found = metrics.min_k_plus_plus(table(which, split(side)), fraction)
        equal(found, metrics.min_k_plus_plus(exact, fraction))


# --- losses -----------------------------------------------------------------------------------

NONE: dict[str, Any] = {"retain_weight": 0.0}
KL: dict[str, Any] = {"retain": "kl_peer"}
PDU: dict[str, Any] = {"masking": "peer"}
UNDIAL: dict[str, Any] = {"masking": "peer"}

FORMS: dict[str, tuple[str, dict[str, Any], float]] = {
    "GradAscent": ("ga", {}, 1.0),
    "GradDiff_NLL": ("graddiff", {}, 1.0),
    "GradDiff_KL": ("graddiff", KL, 1.0),
    "GradDiff_gamma0.5_alpha2_NLL": ("graddiff", {"retain_weight": 4.0}, 0.5),
    "NPO_beta0.1_NLL": ("npo", {"beta": 0.1}, 1.0),
    "NPO_beta0.1_KL": ("npo", {"beta": 0.1, **KL}, 1.0),
    "NPO_beta0.1_noretain": ("npo", {"beta": 0.1, **NONE}, 1.0),
    "NPO_beta1.0_NLL": ("npo", {"beta": 1.0}, 1.0),
    "NPO_beta1.0_noretain": ("npo", {"beta": 1.0, **NONE}, 1.0),
    "SimNPO_default": ("simnpo", {}, 0.125),
    "SimNPO_beta2.5_delta0.5_noretain": ("simnpo", {"beta": 2.5, "delta": 0.5, **NONE}, 1.0),
    "DPO_beta0.1_NLL": ("dpo", {"beta": 0.1}, 1.0),
    "DPO_beta1.0_NLL": ("dpo", {"beta": 1.0}, 1.0),
    "DPO_beta0.1_noretain": ("dpo", {"beta": 0.1, **NONE}, 1.0),
    "UNDIAL_beta10_alpha0": ("undial", UNDIAL, 1.0),
    "UNDIAL_beta10_alpha1": ("undial", {"retain_weight": 1.0, **UNDIAL}, 1.0),
    "WGA_default": ("wga", {"alpha": 1.0}, 1.0),
    "WGA_beta0.5_noretain": ("wga", {"alpha": 0.5, **NONE}, 1.0),
    "SatImp_default": ("satimp", {}, 0.1),
    "SatImp_b1_1_b2_2_gamma1_noretain": ("satimp", {"beta1": 1.0, "beta2": 2.0, **NONE}, 1.0),
    "CEU_ignore0": ("ceu", {"skip": 0}, 1.0),
    "CEU_ignore1": ("ceu", {}, 1.0),
    "CEU_ignore3": ("ceu", {"skip": 3}, 1.0),
    "PDU_primal_dual_step": ("pdu", {"dual_rate": 5.0, **PDU}, 1.0),
    "PDU_no_dual": ("pdu", {"dual_rate": 0.0, **PDU}, 1.0),
}
"""Recorded name -> objective, options, and a factor (gamma scales the forget term there)."""

STEERING = {
    "RMU_EMBED_DIFF": {"retain_weight": 1.0},
    "RMU_EMBED_DIFF_noretain": NONE,
    "RMU_NLL": {"retain_weight": 1.0, "retain": "nll"},
}


def prepared(policy: PreTrainedModel, name: str, options: dict[str, Any]) -> Objective:
    method = OBJECTIVES[name](OBJECTIVES[name].Config(**options))
    method.prepare(policy, torch.Generator())
    return method


def step(policy: PreTrainedModel, dtype: torch.dtype, name: str, options: dict[str, Any]) -> Loss:
    """The objective's loss on the recorded batches; the reference is the recorded one."""
    ref = model("ref", dtype)
    said = Reference(answer_nll(ref, split("forget")), answer_nll(ref, split("alternate")))
    batches = whole("forget"), whole("retain"), whole("alternate")
    method = prepared(policy, name, options)
    return method.loss(Step(policy, *batches, said, Frozen(lambda ask: ask(ref).detach())))


def gradient_norm(policy: PreTrainedModel) -> float:
    norms = [w.grad.norm() for w in policy.parameters() if w.grad is not None]
    return float(torch.stack(norms).norm())


either_precision = pytest.mark.parametrize("bits", [32, 64])


@either_precision
@pytest.mark.parametrize("name", FORMS)
def test_a_loss_and_its_gradient_match(name: str, bits: int) -> None:
    dtype = torch.float32 if bits == 32 else torch.float64
    objective, options, factor = FORMS[name]
    policy = model("policy", dtype).requires_grad_(True)
    loss = factor * step(policy, dtype, objective, options).value
    matches(policy, loss, recorded("reference")[f"losses_f{bits}"][name])


def matches(policy: PreTrainedModel, loss: Tensor, expected: dict[str, Any]) -> None:
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-5)
    loss.backward()
    assert gradient_norm(policy) == pytest.approx(expected["grad_l2_total"], rel=1e-5)
    weights = dict(policy.named_parameters())
    for weight, norm in expected["grad_l2"].items():
        gradient = weights[weight].grad
        assert gradient is not None
        assert float(gradient.norm()) == pytest.approx(norm, rel=1e-5)


def test_no_recorded_loss_is_left_out() -> None:
    for bits in (32, 64):
        names = {n for n, e in recorded("reference")[f"losses_f{bits}"].items() if "loss" in e}
        assert names == {*FORMS, *STEERING} and len(names) == 28


@either_precision
def test_our_own_masking_matches_the_corrected_values(bits: int) -> None:
    dtype = torch.float32 if bits == 32 else torch.float64
    expected = recorded("reference")[f"losses_f{bits}"]
    corrected, peer = expected["own_corrected_variants_not_peer"], expected["components"]
    policy = model("policy", dtype)

    def term(which: str, name: str, options: dict[str, Any]) -> float:
        return step(policy, dtype, name, options).metrics[f"loss/{which}"].item()

    found = {
        "KL_masked_to_valid_shifted_label_positions": term("retain", "graddiff", {"retain": "kl"}),
        "UNDIAL_beta10_masked_to_valid": term("forget", "undial", {}),
        "PDU_forget_loss_shifted_mask": term("forget", "pdu", {}),
    }
    for name, value in found.items():
        assert value == pytest.approx(corrected[name], rel=1e-5)
    kl = peer["peer_KL_ref_to_policy_retain_batchmean_all_positions"]
    assert term("retain", "graddiff", KL) == pytest.approx(kl, rel=1e-5)
    margin = peer["peer_PDU_forget_loss_unshifted_mask"]
    assert term("forget", "pdu", PDU) == pytest.approx(margin, rel=1e-5)


def test_the_multiplier_moves_as_recorded() -> None:
    expected = recorded("reference")["losses_f64"]["PDU_primal_dual_step"]
    policy = model("policy", torch.float64)
    method = prepared(policy, "pdu", {"dual_rate": 5.0})
    batches = whole("forget"), whole("retain"), None
    frozen = Frozen(lambda ask: ask(policy))
    method.loss(Step(policy, *batches, Reference(torch.zeros(0)), frozen))
    after = expected["retain_preference_after"]
    assert float(vars(method)["multiplier"]) == pytest.approx(after, rel=1e-6)


def uneven(rows: list[Encoded]) -> float:
    """mean(n) mean(1/n) over rows of n labelled tokens; 1 where all are of one length.

    The reference divides every row's sum by every row's count before it averages (a broadcast), so
    its mean over tokens is this much larger than the plain one.
    """
    counts = np.array([sum(label != IGNORE for label in row.labels) for row in rows])
    return float(counts.mean() * (1 / counts).mean())


@either_precision
@pytest.mark.parametrize("name", STEERING)
def test_steering_matches_up_to_how_tokens_are_averaged(name: str, bits: int) -> None:
    dtype = torch.float32 if bits == 32 else torch.float64
    forget, retain = (uneven(split(side)) for side in ("forget", "retain"))
    weight = STEERING[name]["retain_weight"] / forget
    if name == "RMU_EMBED_DIFF":
        weight *= retain
    policy, ref = model("policy", dtype).requires_grad_(True), model("ref", dtype)
    options = {**STEERING[name], "depth": 0.0, "retain_weight": weight}
    method = prepared(policy, "rmu", options)
    vars(method)["target_D"] = torch.tensor(recorded("reference")["rmu_control_vec"])
    frozen = Frozen(lambda ask: ask(ref).detach())
    batches = whole("forget"), whole("retain"), None
    loss = forget * method.loss(Step(policy, *batches, Reference(torch.zeros(0)), frozen)).value
    matches(policy, loss, recorded("reference")[f"losses_f{bits}"][name])


def test_reference_sums_match_for_every_sequence() -> None:
    parts = recorded("reference")["losses_f64"]["components"]
    for which in ("policy", "ref"):
        for name in ("forget", "alternate"):
            expected = parts[f"{which}_{name}_sum_nll_per_seq"]
            found = answer_nll(model(which, torch.float64), split(name))
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)  # see `model`


@pytest.mark.parametrize("name", ["NPO_beta0.1_NLL", "GradDiff_NLL", "SimNPO_default"])
def test_five_steps_of_training_follow_the_recorded_losses(name: str) -> None:
    objective, options, factor = FORMS[name]
    policy = model("policy")
    config = TrainConfig(steps=6, lr=1e-3, schedule="constant", clip=0, batch_size=6)
    history = train(
        policy,
        AllWeights(policy),
        lambda _: Loss(factor * step(policy, torch.float32, objective, options).value),
        config,
    )
    expected = recorded("reference")["trajectories_adamw_lr1e-3"]
    assert name in expected and len(expected) == 3
    np.testing.assert_allclose(history.losses, expected[name], rtol=1e-3)
