"""Evaluation: lacuna's one pass, in-place mixing and teacher-forced ES against the plain ways.

    python -m benchmarks.evaluate [--repeats 5] [--threads 2]

Three comparisons, each interleaved in one run and each checked for equal results: (a) seven
metrics from one pass at labelled positions against seven full passes; (b) the 21 mixed models in
place against whole state dicts; (c) extraction strength by teacher forcing against generation.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from benchmarks import _plain
from benchmarks._measure import Laps, Shape, at_least_one, build, options, table
from lacuna.data.tokens import IGNORE, Encoded
from lacuna.evaluate import metrics, read
from lacuna.evaluate.mixing_curve import mixing_weights
from lacuna.model import layout
from lacuna.region import draw
from lacuna.seeds import torch_generator
from lacuna.train import RegionWeights, mix

Floats = NDArray[np.float64]

METRICS_SHAPE = Shape(
    hidden=256, layers=6, intermediate=1024, heads=8, vocabulary=50304, length=128, batch=32
)
STRENGTH_SHAPE = Shape(
    hidden=128, layers=3, intermediate=512, heads=4, vocabulary=900, length=29, batch=32
)
PROMPT = 32
"""Tokens in front of an answer in (a)."""
SHORT_PROMPT = 20
"""The same in (c)."""


@dataclass(frozen=True)
class Comparison:
    """Seconds of each way, and the largest difference between their results."""

    laps: dict[str, Laps]
    difference: dict[str, float]


@torch.no_grad()
def texts(model: PreTrainedModel, shape: Shape, prompt: int, seed: int) -> list[Encoded]:
    """Random tokens that turn, at a random place in each answer, into the model's own greedy ones.

    So that ES is spread over [0, 1] although nothing was trained. Closed by an end-of-text token,
    the last of the vocabulary.
    """
    end = shape.vocabulary - 1
    generator = torch_generator(seed, "benchmark", "texts")
    ids_BT = torch.randint(end, (shape.batch, shape.length), generator=generator)
    turn_B = torch.randint(prompt, shape.length, (shape.batch,), generator=generator)
    past, width = None, 0
    for t in range(prompt, shape.length - 1):
        said = model(input_ids=ids_BT[:, width:t], past_key_values=past, use_cache=True)
        past, width = said.past_key_values, t
        ids_BT[:, t] = torch.where(turn_B <= t, said.logits[:, -1].argmax(-1), ids_BT[:, t])
    ids_BT[:, -1] = end
    return [Encoded(row, [IGNORE] * prompt + row[prompt:]) for row in ids_BT.tolist()]


def one_pass(model: PreTrainedModel, encoded: Sequence[Encoded], end: int) -> dict[str, Floats]:
    """All seven metrics from one pass."""
    said = read(model, encoded, end_token=end, spread=True)
    loss = -metrics.mean_logp(said)
    return {
        "probability": metrics.probability(said),
        "extraction strength": metrics.extraction_strength(said),
        "exact memorization": metrics.exact_memorization(said),
        "loss": loss,
        "zlib": loss / [_plain.compressed(row.labels) for row in encoded],
        "min-k": metrics.min_k(said, _plain.FRACTION),
        "min-k++": metrics.min_k_plus_plus(said, _plain.FRACTION),
    }


def compare_metrics(shape: Shape, prompt: int, repeats: int, seed: int) -> Comparison:
    """(a) One pass against seven."""
    model = build(shape, seed)
    encoded = texts(model, shape, prompt, seed)
    laps = {"one pass": Laps(), "seven passes": Laps()}
    for _ in range(repeats + 1):
        with laps["one pass"].lap():
            ours = one_pass(model, encoded, shape.vocabulary - 1)
        with laps["seven passes"].lap():
            theirs = {n: _plain.one_pass(f, model, encoded) for n, f in _plain.PASSES.items()}
    return Comparison(
        {name: lap.after(1) for name, lap in laps.items()},
        {name: float(np.abs(ours[name] - theirs[name]).max()) for name in theirs},
    )


@torch.no_grad()
def compare_mixing(shape: Shape, ratio: float, seed: int) -> Comparison:
    """(b) Every alpha in place against whole state dicts."""
    model = build(shape, seed)
    other = copy.deepcopy(model)
    weights = RegionWeights(model, draw(layout(model), ratio, seed))
    generator = torch_generator(seed, "benchmark", "unlearned")
    start = weights.read()
    end = {n: v + 0.02 * torch.randn(v.shape, generator=generator) for n, v in start.items()}
    whole_start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights.write(end)
    whole_end = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    laps, difference = {"region in place": Laps(), "whole state dict": Laps()}, 0.0
    for alpha in [0.5, *mixing_weights(21)]:
        with laps["region in place"].lap():
            mix(weights, start, end, alpha)
        with laps["whole state dict"].lap():
            _plain.mix_whole(other, whole_start, whole_end, alpha)
        pairs = zip(model.parameters(), other.parameters(), strict=True)
        difference = max(difference, *(float((a - b).abs().max()) for a, b in pairs))
    return Comparison(
        {name: lap.after(1) for name, lap in laps.items()}, {"any weight": difference}
    )


def compare_strength(shape: Shape, prompt: int, repeats: int, seed: int) -> Comparison:
    """(c) ES by one teacher-forced pass against real generation."""
    model = build(shape, seed)
    encoded = texts(model, shape, prompt, seed)
    laps = {"teacher forcing": Laps(), "generation": Laps()}
    for _ in range(repeats + 1):
        with laps["teacher forcing"].lap():
            said = read(model, encoded, end_token=shape.vocabulary - 1, spread=False)
            ours = metrics.extraction_strength(said)
        with laps["generation"].lap():
            theirs = _plain.strength_by_generation(model, encoded)
    return Comparison(
        {name: lap.after(1) for name, lap in laps.items()},
        {f"ES (mean {ours.mean():.2f})": float(np.abs(ours - theirs).max())},
    )


def describe(title: str, found: Comparison) -> str:
    """One comparison as text; the first way is lacuna's."""
    gaps = ", ".join(f"{name} {gap:.2g}" for name, gap in found.difference.items())
    lines = table(found.laps, next(iter(found.laps)), title)
    return "\n".join([*lines, f"largest difference of results: {gaps}", ""])


def main() -> None:
    """Parse the command line, run, print."""
    parser = options("Lacuna's evaluation against the plain ways.")
    parser.add_argument("--repeats", type=at_least_one, default=5, help="of (a) and (c) (5)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    seed, repeats = given.seed, given.repeats
    print(describe("(a)", compare_metrics(METRICS_SHAPE, PROMPT, repeats, seed)), flush=True)
    print(describe("(b)", compare_mixing(METRICS_SHAPE, 0.1, seed)), flush=True)
    print(describe("(c)", compare_strength(STRENGTH_SHAPE, SHORT_PROMPT, repeats, seed)))


if __name__ == "__main__":
    main()
