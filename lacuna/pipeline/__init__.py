"""The stages of a study, in order. Each reads finished folders and writes one of its own.

    base         the model that knows nobody
    retained     knows the people to keep, and never read about the others
    injected     knows everybody; which weights hold whom is known, too
    localized    regions that localizers find in it
    trial        unlearned in a region, measured on the mixing curve, attacked
    control      the same attacks on a model that was not unlearned

`retained`, `injected` and `localized` depend on the protocol: `lee` plants facts into value
vectors, `lacuna` into masks of single weights, `full` into all parameters. Names without a protocol
are those of `lee`. A stage returns a small JSON summary (`lacuna.results`); its folder holds models
in hub layout, regions and per-item scores. Nothing here knows about Ray, MLflow or Hydra;
`examples/one_trial.py` runs a whole experiment with these functions alone.
"""

from lacuna.pipeline import protocol_full as full
from lacuna.pipeline import protocol_lacuna as lacuna
from lacuna.pipeline import protocol_lee as lee
from lacuna.pipeline.base_model import base
from lacuna.pipeline.common import ModelConfig, StageInputs, load
from lacuna.pipeline.protocol_lacuna import WEIGHTS, ProtocolConfig
from lacuna.pipeline.protocol_lee import RetainConfig, injected, localized, retained
from lacuna.pipeline.trials import TrialConfig, control, trial

__all__ = [
    "base",
    "retained",
    "injected",
    "localized",
    "trial",
    "control",
    "full",
    "lacuna",
    "lee",
    "WEIGHTS",
    "ModelConfig",
    "ProtocolConfig",
    "RetainConfig",
    "StageInputs",
    "TrialConfig",
    "load",
]
