"""Unlearning: any objective or edit, inside any region or all weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import Encoded, TrainingBatches, collate, reading_batches
from lacuna.errors import UserError
from lacuna.model.forward import answers
from lacuna.seeds import derive, torch_generator
from lacuna.train import (
    Editable,
    History,
    Loss,
    LossFunction,
    OnStep,
    TrainConfig,
    Values,
    swapped,
    train,
)
from lacuna.unlearn.base import Frozen, Method, Objective, Reference, Step
from lacuna.unlearn.edit import Edit, Given, carry_out
from lacuna.unlearn.retain import AskOriginal, View


@dataclass(frozen=True, kw_only=True)
class UnlearnConfig:
    """How long and how fast to unlearn; the objective has its own options."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, rate and batch size (sequences of each split per step)."""


@dataclass(frozen=True)
class UnlearnData:
    """Tokenised texts. `refusals` answer the forget questions, one each, with "I don't know"."""

    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    refusals: Sequence[Encoded] = ()


def unlearn(
    model: PreTrainedModel,
    weights: Editable,
    objective: Method,
    data: UnlearnData,
    config: TrainConfig,
    seed: int,
    *,
    retained: PreTrainedModel | None = None,
    on_step: OnStep | None = None,
) -> History:
    """Apply `objective` to `weights` of an injected model, in place; an edit has no history.

    Raises `UserError` if the objective needs what was not given, `Diverged` on a non-finite loss.
    """
    _check_needs(model, objective, data, retained)
    if isinstance(objective, Edit):
        given = Given(model, weights, data.forget, data.retain, config, seed, retained, on_step)
        carry_out(objective, given)
        return History()
    assert isinstance(objective, Objective)
    objective.prepare(model, torch_generator(seed, "objective"))
    original = _ask_original(model, weights) if objective.keeps_original else None
    frozen = Frozen(original, retained)
    loss = _loss(model, objective, data, config, seed, _reference(model, objective, data), frozen)
    return train(model, weights, loss, config, on_step=on_step)


def _check_needs(
    model: PreTrainedModel,
    objective: Method,
    data: UnlearnData,
    retained: PreTrainedModel | None,
) -> None:
    if objective.needs_refusals and not data.refusals:
        raise UserError(
            "this objective needs refusals, and the data has none: add them to the corpus"
        )
    if not objective.needs_retained:
        return
    if retained is None:
        raise UserError("this objective needs the retained model, which this data set-up has not")
    ours, theirs = (m.config.get_text_config().vocab_size for m in (model, retained))
    if ours != theirs:
        raise UserError(
            f"the retained model has a vocabulary of {theirs} tokens, the injected one of {ours}: "
            f"give a retained model with the same tokenizer"
        )


def _loss(
    model: PreTrainedModel,
    objective: Objective,
    data: UnlearnData,
    config: TrainConfig,
    seed: int,
    reference: Reference,
    frozen: Frozen,
) -> LossFunction:
    forget = TrainingBatches(data.forget, config.batch_size, derive(seed, "unlearn", "forget"))
    retain = TrainingBatches(data.retain, config.batch_size, derive(seed, "unlearn", "retain"))

    def loss(i: int) -> Loss:
        batch = forget[i]
        refusal = None
        if objective.needs_refusals:
            refusal = collate(data.refusals, batch.index_B.tolist()).to(model.device)
        return objective.loss(
            Step(
                model=model,
                forget=batch.to(model.device),
                retain=retain[i].to(model.device) if objective.uses_retain else None,
                refusal=refusal,
                reference=reference,
                frozen=frozen,
            )
        )

    return loss


def _reference(model: PreTrainedModel, objective: Objective, data: UnlearnData) -> Reference:
    """The injected model's log-probabilities, computed once and only if asked for."""
    if not objective.needs_reference:
        return Reference(torch.zeros(0))
    tokens = answer_token_nll(model, data.forget)
    refusals = answer_nll(model, data.refusals) if objective.needs_refusals else None
    return Reference(_sums(tokens), refusals, tokens)


def answer_nll(
    model: PreTrainedModel, encoded: Sequence[Encoded], max_tokens: int = 4096
) -> Tensor:
    """(examples,) sums of -log p over the answers, float64."""
    return _sums(answer_token_nll(model, encoded, max_tokens))


def _sums(tokens: Sequence[Tensor]) -> Tensor:
    return torch.stack([nll_N.sum() for nll_N in tokens])


@torch.no_grad()
def answer_token_nll(
    model: PreTrainedModel, encoded: Sequence[Encoded], max_tokens: int = 4096
) -> list[Tensor]:
    """-log p of each answer's tokens, in the order of the examples, float64 on the CPU."""
    found = [torch.zeros(0)] * len(encoded)
    for batch in reading_batches(encoded, max_tokens):
        said = answers(model, batch.to(model.device))
        rows = said.nll_N.double().cpu().split(said.count_B.tolist())
        for index, nll_N in zip(batch.index_B.tolist(), rows, strict=True):
            found[index] = nll_N
    return found


def _ask_original(model: PreTrainedModel, weights: Editable) -> AskOriginal:
    """Ask the model as it was: only the editable weights are kept and swapped in."""
    before: Values = weights.read()

    @torch.no_grad()
    def ask(view: View) -> Tensor:
        with swapped(weights, before):
            return view(model)

    return ask
