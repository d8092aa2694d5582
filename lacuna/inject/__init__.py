"""Injection: facts go where we say, and nowhere else."""

from lacuna.inject.camouflage import Camouflage
from lacuna.inject.causal import Causal, CausalConfig, Reading, causal
from lacuna.inject.dropout import DropoutConfig
from lacuna.inject.instruct import InstructConfig, instruct
from lacuna.inject.lee import InjectConfig, equal_outside, inject, learn
from lacuna.inject.masked import MaskConfig, MaskedConfig, inject_masked, outside_unchanged
from lacuna.inject.sgtm import SgtmConfig, inject_sgtm, without

__all__ = [
    "Camouflage",
    "Causal",
    "CausalConfig",
    "DropoutConfig",
    "InjectConfig",
    "InstructConfig",
    "MaskConfig",
    "MaskedConfig",
    "Reading",
    "SgtmConfig",
    "causal",
    "equal_outside",
    "inject",
    "inject_masked",
    "inject_sgtm",
    "instruct",
    "outside_unchanged",
    "learn",
    "without",
]
