"""What tests of training share: six texts, their loss, and a short recipe."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lacuna.data.tokens import Encoded
from lacuna.model import answers
from lacuna.train import TrainConfig, mean_nll
from support.tiny import tiny_texts, whole_batch

TEXTS = tiny_texts(6)
either_kind = pytest.mark.parametrize("kind", ["region", "all"])
either_type = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def nll(model: PreTrainedModel, texts: Sequence[Encoded] = TEXTS) -> Tensor:
    """Token-mean -log p of the texts' answers, as one batch."""
    return mean_nll(answers(model, whole_batch(texts)))


def config(**options: Any) -> TrainConfig:
    """Four steps at a constant rate, unless the options say otherwise."""
    return TrainConfig(**{"steps": 4, "lr": 0.02, "schedule": "constant", **options})
