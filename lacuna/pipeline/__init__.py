"""The stages of a study, in order. Each reads finished folders and writes one of its own.

    base -> retained -> injected -> localized -> trial, control

A stage returns a small JSON summary; the folders hold models in hub layout, regions and per-item
scores. `lee` and `groups` are the two protocols; base, trials and controls are the same in both.
Nothing here knows about Ray, MLflow or Hydra.
"""

from lacuna.pipeline.common import ModelConfig, load
from lacuna.pipeline.protocol_lacuna import WEIGHTS, PlantingInputs, ProtocolConfig
from lacuna.pipeline.protocol_lee import RetainConfig
from lacuna.pipeline.trial import TrialConfig

__all__ = [
    "WEIGHTS",
    "ModelConfig",
    "PlantingInputs",
    "ProtocolConfig",
    "RetainConfig",
    "TrialConfig",
    "load",
]
