"""Every random draw comes from a generator made here."""

import hashlib

import numpy as np
import torch


def derive(seed: int, *labels: object) -> int:
    """A 63-bit seed for one named purpose; stable across processes and platforms."""
    text = "/".join([str(seed), *map(str, labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numbered(number: int) -> tuple[object, ...]:
    """Labels of one of a seed's random regions (1, 2, ...); the first is labelled as if alone."""
    return () if number == 1 else ("region", number)


def torch_generator(seed: int, *labels: object) -> torch.Generator:
    """A CPU generator for the named purpose."""
    return torch.Generator().manual_seed(derive(seed, *labels))


def numpy_generator(seed: int, *labels: object) -> np.random.Generator:
    """A NumPy generator for the named purpose."""
    return np.random.default_rng(derive(seed, *labels))
