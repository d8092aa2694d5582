"""Training: what may move, the loop, shared losses."""

from lacuna.train.fisher import fisher
from lacuna.train.indexed import IndexedWeights, editable
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
from lacuna.train.losses import language_loss, mean_kl, mean_nll
from lacuna.train.weights import (
    AllWeights,
    Editable,
    RegionWeights,
    Values,
    mix,
    swapped,
)

__all__ = [
    "AllWeights",
    "Diverged",
    "Editable",
    "History",
    "IndexedWeights",
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
    "mean_kl",
    "mean_nll",
    "mix",
    "swapped",
    "train",
]
