"""A masked training step: compact (lacuna.train) against the two plain ways, in one run.

    python -m benchmarks.train_step [--shape 100m|small] [--steps 5] [--threads 2]

The plain ways multiply dense gradients by 0/1 masks and run AdamW on whole matrices: `all` over
every weight of the model, `outputs` over the MLPs' output matrices only. AdamW decays weights
without a gradient, so both must put back what lies outside the region; that is not counted in
their time. All ways get the same batches, one step after the other, and must agree at the end.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import PreTrainedModel

from benchmarks._measure import Laps, Shape, build, options, table
from benchmarks._measure import at_least_one as count
from lacuna.data.tokens import Encoded
from lacuna.model import layout
from lacuna.region import Region, draw
from lacuna.seeds import torch_generator
from lacuna.train import LossFunction, RegionWeights, TrainConfig, language_loss, train

SHAPES = {
    "100m": Shape(
        hidden=768, layers=12, intermediate=3072, heads=12, vocabulary=8192, length=256, batch=8
    ),
    "small": Shape(
        hidden=128, layers=3, intermediate=512, heads=4, vocabulary=900, length=28, batch=32
    ),
}
RATIO = 0.1
"""Share of all value vectors in the region."""


class Plain:
    """Masked training as usually written: dense gradients times a 0/1 mask, then AdamW on all."""

    def __init__(
        self, model: PreTrainedModel, region: Region, config: TrainConfig, outputs_only: bool
    ) -> None:
        self.model, self.config = model, config
        outputs = {f"{name}.weight": name for name in region.layout.shapes}
        self.weights = {
            name: weight.requires_grad_(True)
            for name, weight in model.named_parameters()
            if name in outputs or not outputs_only
        }
        self.masks = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        for name, module in outputs.items():
            self.masks[name][:, region.columns.get(module, [])] = 1
        self.outside = {name: mask == 0 for name, mask in self.masks.items()}
        self.start = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )

    def step(self, loss: LossFunction, number: int) -> None:
        """One step; `restore` completes it."""
        loss(number).value.backward()
        for name, weight in self.weights.items():
            assert weight.grad is not None
            weight.grad.mul_(self.masks[name])
        torch.nn.utils.clip_grad_norm_(self.weights.values(), self.config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr_at(number)
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def restore(self) -> None:
        """Put back what weight decay did outside the region."""
        for name, weight in self.weights.items():
            torch.where(self.outside[name], self.start[name], weight, out=weight)


@dataclass(frozen=True)
class Comparison:
    """What one run gave."""

    laps: Mapping[str, Laps]
    """Way -> seconds of its steps, the warm-up step left out."""
    held: Mapping[str, int]
    """Way -> bytes of weights in training, gradients and optimizer state."""
    region_weights: int
    moved: float
    """Largest change of a weight (compact)."""
    difference: Mapping[str, float]
    """Plain way -> largest difference of any weight of the model from the compact way's."""


def compare(shape: Shape, steps: int, seed: int, clip: float = 1.0) -> Comparison:
    """`steps` steps of every way, interleaved, after one step of warm-up."""
    model = build(shape, seed)
    start = copy.deepcopy(model)
    region = draw(layout(model), RATIO, seed)
    config = TrainConfig(
        steps=steps + 1, lr=1e-3, weight_decay=0.1, clip=clip, batch_size=shape.batch
    )
    weights = RegionWeights(model, region)
    plain = {
        name: Plain(copy.deepcopy(model), region, config, outputs_only)
        for name, outputs_only in (("all", False), ("outputs", True))
    }
    sizes: list[int] = []
    laps = _interleave(model, weights, plain, config, _losses(shape, seed), sizes)
    return Comparison(
        laps={name: lap.after(1) for name, lap in laps.items()},
        held=dict(zip(("compact", *plain), sizes, strict=True)),
        region_weights=sum(master.numel() for master in weights.masters.values()),
        moved=largest_difference(model, start),
        difference={name: largest_difference(model, way.model) for name, way in plain.items()},
    )


def _losses(shape: Shape, seed: int) -> Callable[[PreTrainedModel], LossFunction]:
    """Language-model loss on random tokens, every position labelled; equal for equal models."""
    generator = torch_generator(seed, "benchmark", "texts")
    ids = torch.randint(shape.vocabulary, (4 * shape.batch, shape.length), generator=generator)
    texts = [Encoded(row, row) for row in ids.tolist()]
    return lambda model: language_loss(model, texts, shape.batch, seed)


def _interleave(
    model: PreTrainedModel,
    weights: RegionWeights,
    plain: Mapping[str, Plain],
    config: TrainConfig,
    losses: Callable[[PreTrainedModel], LossFunction],
    sizes: list[int],
) -> dict[str, Laps]:
    """Run lacuna's own loop; between its steps, one step of each plain way."""
    laps = {name: Laps() for name in ("compact", *plain)}
    given = {name: losses(way.model) for name, way in plain.items()}
    hook = register_optimizer_step_post_hook(lambda optimizer, *_: sizes.append(held(optimizer)))

    def others(step: int, metrics: Mapping[str, float]) -> None:
        laps["compact"].stop()
        for name, way in plain.items():
            with laps[name].lap():
                way.step(given[name], step)
            way.restore()
        hook.remove()  # sizes are known after the first round
        laps["compact"].start()

    laps["compact"].start()
    train(model, weights, losses(model), config, on_step=others)
    return laps


def held(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimizer's parameters, their gradients and their state."""
    total = 0
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            tensors: list[Any] = [parameter, parameter.grad, *optimizer.state[parameter].values()]
            total += sum(_bytes(tensor) for tensor in tensors if isinstance(tensor, Tensor))
    return total


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@torch.no_grad()
def largest_difference(one: PreTrainedModel, other: PreTrainedModel) -> float:
    """Largest absolute difference of any weight of two models of one shape."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def describe(name: str, found: Comparison) -> str:
    """The comparison as text."""
    compact = found.held["compact"] / found.region_weights
    lines = [
        f"shape {name}, region {RATIO:.0%} of value vectors = {found.region_weights:,} weights",
        *table(found.laps, "compact", "step"),
        "bytes held (weights in training, gradients, AdamW): "
        + ", ".join(f"{way} {size / 2**20:,.1f} MiB" for way, size in found.held.items()),
        f"compact holds {compact:.4f} bytes per region weight",
        f"largest change of a weight {found.moved:.3g}; difference from compact: "
        + ", ".join(f"{way} {gap:.3g}" for way, gap in found.difference.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, run, print."""
    parser = options("Compact masked training against dense gradient masks.")
    parser.add_argument("--shape", choices=SHAPES, default="100m")
    parser.add_argument("--steps", type=count, default=5, help="timed steps of each way (5)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(describe(given.shape, compare(SHAPES[given.shape], given.steps, given.seed)))


if __name__ == "__main__":
    main()
