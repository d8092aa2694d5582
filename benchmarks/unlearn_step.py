"""A step of NPO: the reference read once and masked weights compact, against the plain way.

    python -m benchmarks.unlearn_step [--shape 50k|small] [--steps 5] [--threads 2]

The plain way holds a second model and reads it at every step, computes logits of the full
vocabulary at all positions, multiplies dense gradients by 0/1 masks and runs AdamW on all weights.
`cached` is the plain way with the reference read once. All get the same batches, one step after the
other, and must agree at the end.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from benchmarks._measure import Laps, Shape, build, options, table
from benchmarks._report import at_least_one
from benchmarks.train_step import RATIO, Plain, largest_difference
from lacuna.data.tokens import IGNORE, Batch, Encoded, TrainingBatches, collate
from lacuna.model import layout
from lacuna.region import draw
from lacuna.seeds import derive, torch_generator
from lacuna.train import Loss, LossFunction, RegionWeights, TrainConfig
from lacuna.unlearn import OBJECTIVES, UnlearnData, unlearn
from lacuna.unlearn.objectives.npo import NPO

SHAPES = {
    "50k": Shape(
        hidden=256, layers=6, intermediate=1024, heads=8, vocabulary=50304, length=64, batch=8
    ),
    "small": Shape(
        hidden=128, layers=3, intermediate=512, heads=4, vocabulary=900, length=28, batch=16
    ),
}


@dataclass(frozen=True)
class Comparison:
    """What one run gave."""

    laps: Mapping[str, Laps]
    """Way -> seconds of its steps, the warm-up step left out."""
    moved: float
    """Largest change of a weight."""
    difference: Mapping[str, float]
    """Plain way -> largest difference of any weight from lacuna's."""


def texts(shape: Shape, seed: int) -> UnlearnData:
    """Random forget and retain texts; half of each is its question."""
    generator = torch_generator(seed, "benchmark", "texts")
    ids = torch.randint(shape.vocabulary, (2, 4 * shape.batch, shape.length), generator=generator)
    half = shape.length // 2
    forget, retain = (
        [Encoded(row, [IGNORE] * half + row[half:]) for row in split] for split in ids.tolist()
    )
    return UnlearnData(forget, retain)


def answer_nll(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """(B,) sum and mean of -log p over each answer, from logits at all positions."""
    said = model(input_ids=batch.ids_BT, attention_mask=batch.real_BT.long(), use_cache=False)
    logp_BTV = F.log_softmax(said.logits[:, :-1].float(), dim=-1)
    labels_BT = batch.labels_BT[:, 1:]
    asked_BT = labels_BT != IGNORE
    nll_BT = -logp_BTV.gather(2, labels_BT.clamp(min=0)[..., None])[..., 0] * asked_BT
    return nll_BT.sum(1), nll_BT.sum(1) / asked_BT.sum(1)


def plain_loss(
    model: PreTrainedModel, data: UnlearnData, batch: int, seed: int, cached: bool
) -> LossFunction:
    """NPO as usually written; `cached` asks the reference model for each text once."""
    reference, beta = copy.deepcopy(model), NPO.Config().beta
    forget = TrainingBatches(data.forget, batch, derive(seed, "unlearn", "forget"))
    retain = TrainingBatches(data.retain, batch, derive(seed, "unlearn", "retain"))

    @torch.no_grad()
    def sums(rows: Batch) -> Tensor:
        return answer_nll(reference, rows)[0]

    if cached:
        starts = range(0, len(data.forget), batch)
        parts = [collate(data.forget, range(start, start + batch)) for start in starts]
        known_I = torch.cat([sums(part) for part in parts])

    def loss(number: int) -> Loss:
        asked = forget[number]
        before_B = known_I[asked.index_B] if cached else sums(asked)
        ratio_B = before_B - answer_nll(model, asked)[0]
        npo = -2 / beta * F.logsigmoid(-beta * ratio_B).mean()
        return Loss(npo + answer_nll(model, retain[number])[1].mean(), {})

    return loss


def compare(shape: Shape, steps: int, seed: int) -> Comparison:
    """`steps` steps of every way, interleaved, after one step of warm-up."""
    model, data = build(shape, seed), texts(shape, seed)
    start = copy.deepcopy(model)
    region = draw(layout(model), RATIO, seed)
    config = TrainConfig(steps=steps + 1, lr=1e-4, batch_size=shape.batch)
    plain = {
        name: Plain(copy.deepcopy(model), region, config, outputs_only=False)
        for name in ("plain", "cached")
    }
    losses = {
        name: plain_loss(way.model, data, shape.batch, seed, cached=name == "cached")
        for name, way in plain.items()
    }
    laps = {name: Laps() for name in ("lacuna", *plain)}

    def others(step: int, metrics: Mapping[str, float]) -> None:
        laps["lacuna"].stop()
        for name, way in plain.items():
            with laps[name].lap():
                way.step(losses[name], step)
            way.restore()
        laps["lacuna"].start()

    objective = OBJECTIVES["npo"](NPO.Config())
    laps["lacuna"].start()
    unlearn(model, RegionWeights(model, region), objective, data, config, seed, on_step=others)
    return Comparison(
        laps={name: lap.after(1) for name, lap in laps.items()},
        moved=largest_difference(model, start),
        difference={name: largest_difference(model, way.model) for name, way in plain.items()},
    )


def describe(name: str, found: Comparison) -> str:
    """The comparison as text."""
    lines = [
        f"NPO, shape {name}, region {RATIO:.0%} of value vectors",
        *table(found.laps, "lacuna", "step"),
        f"largest change of a weight {found.moved:.3g}; difference from lacuna: "
        + ", ".join(f"{way} {gap:.3g}" for way, gap in found.difference.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, run, print."""
    parser = options("A step of NPO against the plain way.")
    parser.add_argument("--shape", choices=SHAPES, default="50k")
    parser.add_argument("--steps", type=at_least_one, default=5, help="timed steps (5)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(describe(given.shape, compare(SHAPES[given.shape], given.steps, given.seed)))


if __name__ == "__main__":
    main()
