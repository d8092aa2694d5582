"""Unlearning: any objective or edit, inside any region or all weights.

All weights of a model too large for one device are trained by ZeRO (`lacuna.train.zero`), where the
objective is a loss and nothing else. The models it is compared with, the retained one and the
injected one as it was, are held whole by every process (2 bytes a weight each in bfloat16).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from lacuna.data.tokens import TrainingBatches, collate
from lacuna.errors import UserError
from lacuna.model.shared_forward import joint
from lacuna.model_types import PreTrainedModel
from lacuna.seeds import derive, torch_generator
from lacuna.train import (
    ONE_DEVICE,
    AllWeights,
    Editable,
    History,
    LossFunction,
    OnStep,
    Parallel,
    TrainConfig,
    Values,
    swapped,
    train,
    train_sharded,
)
from lacuna.unlearn.base import Frozen, Method, Objective, Reference, Step, UnlearnData
from lacuna.unlearn.edits.base import Edit, EditInputs, carry_out
from lacuna.unlearn.reference import reference
from lacuna.unlearn.retain import AskOriginal, View
from lacuna.unlearn.wrappers import DrawnBatches, Wrapped, Wrapper
from lacuna.unlearn.wrappers.base import Start
from lacuna.unlearn.wrappers.strategy import ForgetTerm


def unlearn(
    model: PreTrainedModel,
    weights: Editable,
    objective: Method,
    data: UnlearnData,
    config: TrainConfig,
    seed: int,
    *,
    wrappers: Sequence[Wrapper] = (),
    retained: PreTrainedModel | None = None,
    on_step: OnStep | None = None,
    parallel: Parallel = ONE_DEVICE,
    resume: Path | None = None,
) -> History:
    """Apply `objective` to `weights` of an injected model, in place; an edit has no history.

    `wrappers` are put around the objective in their order, the last one outermost. With ZeRO every
    process calls this, the first one's `model` has the result, and `resume` names a folder for
    step checkpoints; without it there are none. Raises `UserError` if the objective needs what was
    not given, is a wrapped edit or cannot be spread, `Diverged` on a non-finite loss.
    """
    _check_needs(model, weights, objective, data, retained)
    if parallel.zero:
        _check_spreads(weights, objective, wrappers)
        assert isinstance(objective, Objective)
        loss = _joint_loss(model, objective, data, config, seed, retained)
        return train_sharded(model, loss, config, parallel, on_step=on_step, resume=resume)
    if isinstance(objective, Edit):
        if wrappers:
            raise UserError("an edit takes no wrapper: drop it")
        texts = (data.forget, data.retain)
        also = {"refusals": data.refusals, "neutral": data.neutral}
        carry_out(
            objective, EditInputs(model, weights, *texts, config, seed, retained, on_step, **also)
        )
        return History()
    assert isinstance(objective, Objective)
    for wrapper in wrappers:
        data = wrapper.data(Start(model, weights, data, derive(seed, "data"), config))
    objective.prepare(model, torch_generator(seed, "objective"))
    with objective.trained(model, weights, data, derive(seed, "trained")) as moving:
        original = _ask_original(model, moving) if objective.keeps_original else None
        frozen = Frozen(original, retained)
        asked = reference(model, objective, data)
        step = _steps(model, objective, data, config, seed, asked, frozen)
        term = _forget_term(objective, step)
        return train(
            model,
            moving,
            lambda i: objective.loss(step(i)),
            config,
            on_step=on_step,
            strategy=Wrapped(model, wrappers, term, derive(seed, "wrappers")),
        )


def _joint_loss(
    model: PreTrainedModel,
    objective: Objective,
    data: UnlearnData,
    config: TrainConfig,
    seed: int,
    retained: PreTrainedModel | None,
) -> Callable[[PreTrainedModel], LossFunction]:
    """The loss of a model that several processes hold together, as they do the frozen models."""
    objective.prepare(model, torch_generator(seed, "objective"))
    asked = reference(model, objective, data)
    before = joint(copy.deepcopy(model)) if objective.keeps_original else None
    frozen = Frozen(_ask_copy(before) if before else None, joint(retained) if retained else None)

    def loss(model: PreTrainedModel) -> LossFunction:
        step = _steps(model, objective, data, config, seed, asked, frozen)
        return lambda i: objective.loss(step(i))

    return loss


def _check_spreads(weights: Editable, objective: Method, wrappers: Sequence[Wrapper]) -> None:
    if not isinstance(weights, AllWeights):
        raise UserError("parallel.zero trains all weights: use scenario full, or one device")
    if wrappers or not objective.spreads:
        raise UserError(
            "parallel.zero trains objectives that are a loss and nothing else (no edit, adapter, "
            "multiplier or wrapper): use one device"
        )


def _check_needs(
    model: PreTrainedModel,
    weights: Editable,
    objective: Method,
    data: UnlearnData,
    retained: PreTrainedModel | None,
) -> None:
    if objective.needs_refusals and not data.refusals:
        raise UserError(
            "this objective needs refusals, and the data has none: add them to the corpus"
        )
    if not objective.confined and not isinstance(weights, AllWeights):
        raise UserError(
            "this objective moves whole matrices and cannot be confined to a region: use scenario "
            "full"
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


def _steps(
    model: PreTrainedModel,
    objective: Objective,
    data: UnlearnData,
    config: TrainConfig,
    seed: int,
    reference: Reference,
    frozen: Frozen,
) -> Callable[[int], Step]:
    forget = _forget_batches(data, config.batch_size, derive(seed, "unlearn", "forget"))
    retain = TrainingBatches(data.retain, config.batch_size, derive(seed, "unlearn", "retain"))

    def step(i: int) -> Step:
        batch = forget[i]
        refusal = None
        if objective.needs_refusals:
            refusal = collate(data.refusals, batch.index_B.tolist()).to(model.device)
        return Step(
            model=model,
            forget=batch.to(model.device),
            retain=retain[i].to(model.device) if objective.uses_retain else None,
            refusal=refusal,
            reference=reference,
            frozen=frozen,
        )

    return step


def _forget_batches(data: UnlearnData, batch_size: int, seed: int) -> TrainingBatches:
    if data.draws:
        return DrawnBatches(data.forget, batch_size, seed, data.draws)
    return TrainingBatches(data.forget, batch_size, seed)


def _forget_term(objective: Objective, steps: Callable[[int], Step]) -> ForgetTerm:
    """The forget term of a batch, computed anew at each call; outputs of the earlier model only
    once."""

    def forget(i: int) -> Callable[[], Tensor]:
        step = steps(i)
        once = _Remembered(step.frozen.original)

        def term() -> Tensor:
            frozen = replace(step.frozen, original=once.again())
            return objective.forget_loss(replace(step, frozen=frozen))

        return term

    return forget


class _Remembered:
    """Outputs of the original model, kept so that it never runs while weights are shifted.

    An objective reads the same views in the same order each time it computes the same batch.
    """

    def __init__(self, ask: AskOriginal | None) -> None:
        self.ask = ask
        self.answers: list[Tensor] = []

    def again(self) -> AskOriginal:
        """A function that starts from the first view again, and computes new views only."""
        turns = count()

        def ask(view: View) -> Tensor:
            turn = next(turns)
            if turn == len(self.answers):
                assert self.ask is not None, "objective lacks keeps_original"
                self.answers.append(self.ask(view))
            return self.answers[turn]

        return ask


def _ask_copy(model: PreTrainedModel) -> AskOriginal:
    """Applies views to a copy of the model as it was."""

    @torch.no_grad()
    def ask(view: View) -> Tensor:
        return view(model)

    return ask


def _ask_original(model: PreTrainedModel, weights: Editable) -> AskOriginal:
    """Applies views to the model as it was, by swapping in a copy of the editable weights."""
    before: Values = weights.read()

    @torch.no_grad()
    def ask(view: View) -> Tensor:
        with swapped(weights, before):
            return view(model)

    return ask
