"""Activation checkpointing: activations of a block are computed again in the backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from lacuna.model_types import PreTrainedModel


@contextmanager
def checkpointing(model: PreTrainedModel, on: bool) -> Iterator[None]:
    """Within the block, memory for activations is traded for a second forward pass, if `on`.

    Gradients stay the same: transformers recomputes in train mode only, so all noise that train
    mode would switch on (dropout, a router's jitter) is 0 meanwhile.
    """
    if not on:
        yield
        return
    kept = list(_noise(model))
    try:
        for owner, name, _ in kept:
            setattr(owner, name, 0.0)
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.train()
        yield
    finally:
        model.activation_checkpointing_disable()
        model.eval()
        for owner, name, amount in kept:
            setattr(owner, name, amount)


def _noise(model: PreTrainedModel) -> Iterator[tuple[object, str, float]]:
    """Owner, attribute and value of every amount of noise above 0.

    Models read it from modules of dropout, from attributes of their blocks or from their
    configuration.
    """
    for module in model.modules():
        owners = [module, module.config] if hasattr(module, "config") else [module]
        for owner in owners:
            for name, value in vars(owner).items():
                drops = any(word in name for word in ("drop", "jitter"))
                drops |= name == "p" and isinstance(owner, nn.Dropout)
                if drops and isinstance(value, float) and value > 0:
                    yield owner, name, value
