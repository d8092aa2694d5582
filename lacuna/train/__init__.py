"""Training: what may move, the loop, shared losses."""

from lacuna.train.fisher import fisher
from lacuna.train.front import Front
from lacuna.train.indexed import IndexedWeights, editable
from lacuna.train.loop import (
    Diverged,
    History,
    Loss,
    LossFunction,
    OnStep,
    Optimisation,
    Resumable,
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
    mix,
    swapped,
)
from lacuna.train.zero import ONE_DEVICE, Parallel, is_main_process, train_sharded

__all__ = [
    "ONE_DEVICE",
    "AllWeights",
    "Diverged",
    "Editable",
    "Front",
    "History",
    "IndexedWeights",
    "LoraShape",
    "LoraWeights",
    "Loss",
    "LossFunction",
    "OnStep",
    "Optimisation",
    "Parallel",
    "RegionWeights",
    "Resumable",
    "Strategy",
    "TrainConfig",
    "Values",
    "editable",
    "fisher",
    "language_loss",
    "is_main_process",
    "lora",
    "mean_kl",
    "mean_nll",
    "mix",
    "swapped",
    "train",
    "train_sharded",
]
