"""Part 10: bytes that training holds, against what plans say of a region and of all weights."""

from collections.abc import Mapping

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks import seven_b
from benchmarks.gpu.check import Check, Checks, Setting, at_most, forget_peak
from benchmarks.train_step import held
from lacuna.data.tokens import encode_examples
from lacuna.model import layout
from lacuna.region import draw
from lacuna.train import AllWeights, RegionWeights, TrainConfig, language_loss, train

STATES = 16
"""Bytes of a weight in training: float32 master, gradient, two moments."""
SLACK = 1.05


def checks(setting: Setting) -> Checks:
    """Optimizer states of both kinds; on a GPU also what the allocator holds between two steps."""
    name = "small" if setting.tiny else "olmo2_1b"
    shape = seven_b.SHAPES[name]
    for kind in ("region", "all weights"):
        at_rest = forget_peak(setting)
        loaded = seven_b.build(shape, 0, setting.device)
        model = loaded.model
        weights = (
            RegionWeights(model, draw(layout(model), seven_b.RATIO, 0))
            if kind == "region"
            else AllWeights(model)
        )
        count = sum(master.numel() for master in weights.masters.values())
        texts = encode_examples(
            loaded.tokenizer, loaded.prompt, seven_b.corpus(shape, 0).forget[:8]
        )
        between: list[int] = []

        def lap(step: int, metrics: Mapping[str, float], between: list[int] = between) -> None:
            if setting.cuda:
                between.append(torch.cuda.memory_allocated(setting.device))

        sizes: list[int] = []
        hook = register_optimizer_step_post_hook(
            lambda optimizer, *_, sizes=sizes: sizes.append(held(optimizer))
        )
        config = TrainConfig(steps=2, lr=1e-5, batch_size=2, checkpointing=True)
        train(model, weights, language_loss(model, texts, 2, 0), config, on_step=lap)
        hook.remove()
        yield Check(f"{name}, {kind}: weights in training", count)
        yield at_most(
            f"{name}, {kind}: states", sizes[-1] / count, STATES * SLACK, "bytes a weight"
        )
        if between:
            planned = 2 * model.num_parameters() + STATES * count
            ratio = (between[-1] - at_rest) / planned
            yield at_most(f"{name}, {kind}: held between steps, of the plan", ratio, 1.1)
        del loaded, model, weights
