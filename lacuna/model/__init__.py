"""Models: loading, their value vectors, and the one forward pass."""

from lacuna.model.files import model_identity
from lacuna.model.forward import Answers, answers, logits_at, wide
from lacuna.model.load import LoadedModel, load_model, pick_device, read_layout, save_model
from lacuna.model.mini import MiniConfig, build_mini, mini_layout, train_tokenizer
from lacuna.model.preflight import Preflight, preflight
from lacuna.model.value import Layout, layout, value_modules

__all__ = [
    "Answers",
    "Layout",
    "LoadedModel",
    "MiniConfig",
    "Preflight",
    "answers",
    "build_mini",
    "layout",
    "load_model",
    "logits_at",
    "mini_layout",
    "model_identity",
    "pick_device",
    "preflight",
    "read_layout",
    "save_model",
    "train_tokenizer",
    "value_modules",
    "wide",
]
