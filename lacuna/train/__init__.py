"""Training: what may move, the loop, shared losses."""

from lacuna.train.fisher import fisher
from lacuna.train.loop import (
    Diverged,
    History,
    Loss,
    LossFunction,
    OnStep,
    Strategy,
    TrainConfig,
    train,
)
from lacuna.train.lora import LoraShape, LoraWeights, lora
from lacuna.train.losses import language_loss, mean_kl, mean_nll
from lacuna.train.weights import (
    AllWeights,
    Editable,
    RegionWeights,
    Values,
    editable,
    mix,
    swapped,
)

__all__ = [
    "AllWeights",
    "Diverged",
    "Editable",
    "History",
    "LoraShape",
    "LoraWeights",
    "Loss",
    "LossFunction",
    "OnStep",
    "RegionWeights",
    "Strategy",
    "TrainConfig",
    "Values",
    "editable",
    "fisher",
    "language_loss",
    "lora",
    "mean_kl",
    "mean_nll",
    "mix",
    "swapped",
    "train",
]
