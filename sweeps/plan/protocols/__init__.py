"""Protocols: a file each, which registers itself. See `base` for what one must say."""

from lacuna.registry import import_methods
from sweeps.plan.protocols.base import PROTOCOLS, Draft, Protocol, Stages, evaluate_params
from sweeps.plan.protocols.job import Job

__all__ = ["PROTOCOLS", "Draft", "Job", "Protocol", "Stages", "evaluate_params"]

import_methods("sweeps.plan.protocols")
