"""Part 6: protocol lacuna at scale: masks drawn, planted for three cycles, and looked for again."""

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks._measure import Shape
from benchmarks.gpu.check import (
    Check,
    Checks,
    Setting,
    at_least,
    at_most,
    clock,
    forget_peak,
    holds,
    peak,
)
from benchmarks.gpu.facts import SEED, TINY, model, texts
from lacuna.audit.precision import Comparison, precision
from lacuna.inject import DropoutConfig, MaskConfig, MaskedConfig, inject_masked, outside_unchanged

ONE_B = Shape(
    hidden=2048, layers=16, intermediate=8192, heads=16, vocabulary=100352, length=128, batch=4
)
SHARE = 0.01
"""Of all weights, in each group's mask."""
CYCLES = 3
PEAK = 40e9


def checks(setting: Setting) -> Checks:
    """Seconds of every step of the way, its peak, and that nothing else moved."""
    shape = TINY if setting.tiny else ONE_B
    asked = model(shape, setting.device, torch.float32)
    before = copy.deepcopy(asked).cpu()
    drawn = MaskConfig()
    with clock(setting) as seconds:
        masks = drawn.draw(asked, SHARE, SEED)
    yield Check("masks drawn", seconds[0], "s")
    groups = {group: texts(shape, shape.batch, f"group {group}") for group in range(drawn.groups)}
    config = MaskedConfig(
        cycles=CYCLES,
        batch_size=shape.batch,
        neutral="masks",
        dropout=DropoutConfig(rate=0.35),
        autocast=True,
    )
    forget_peak(setting)
    neutral = texts(shape, shape.batch, "neutral")
    with clock(setting) as seconds:
        inject_masked(asked, masks, groups, neutral, drawn.forget_groups, config, SEED)
    yield Check("a cycle of six groups with autocast", seconds[0] / CYCLES, "s")
    if (most := peak(setting)) is not None:
        yield at_most("peak of planting", most, PEAK, "bytes")
    kept = outside_unchanged(before, asked, masks, config)
    yield holds("outside all masks", kept, "bit-equal")
    with TemporaryDirectory() as root:
        folders = [Path(root) / name for name in ("before", "after")]
        for folder, saved in zip(folders, (before, asked), strict=True):
            saved.save_pretrained(folder)
        everything = masks.union(range(drawn.groups))
        with clock(setting) as seconds:
            found = precision(Comparison.open(*folders, seed=SEED), {"masks": everything})
    rate = seconds[0] / found["scored_weights"] * 1e9
    yield Check("precision of a change", rate, "s per billion weights")
    top = next(row for row in found["scores"] if row["score"] == found["headline"])
    yield at_least("precision of what moved", top["at_size"] or 0.0, 0.99)
