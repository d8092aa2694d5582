"""Attacks: what brings forgotten facts back? A file each; `attack` runs those a study asks for."""

from lacuna.attack.base import ATTACKS, Attack, AttackInputs, MixingPath, asked, leave_out
from lacuna.attack.config import AttackConfig, LoraConfig
from lacuna.attack.facts import gather, split_people
from lacuna.attack.matched import Start, find_start, mixed
from lacuna.attack.outcome import (
    Facts,
    Level,
    Outcome,
    Wording,
    jaccard,
    level,
    outcome,
    recall,
)
from lacuna.attack.run import attack, work
from lacuna.registry import import_methods

__all__ = [
    "ATTACKS",
    "Attack",
    "AttackConfig",
    "AttackInputs",
    "Facts",
    "Level",
    "LoraConfig",
    "MixingPath",
    "Outcome",
    "Start",
    "Wording",
    "asked",
    "attack",
    "find_start",
    "gather",
    "jaccard",
    "leave_out",
    "level",
    "mixed",
    "outcome",
    "recall",
    "split_people",
    "work",
]

import_methods(
    "lacuna.attack.attacks",
    first=("relearn", "lora", "benign", "integers", "nf4", "reworded", "ask_often"),
)
