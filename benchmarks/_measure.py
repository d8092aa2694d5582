"""Ways to the same result, timed side by side: noise of the machine hits all of them."""

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedModel

from benchmarks._report import at_least_one
from lacuna.model.load import ready
from lacuna.seeds import derive


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An OLMo-2 with random weights, and the sequences it is given."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    vocabulary: int
    length: int
    """Tokens per sequence."""
    batch: int
    """Sequences."""


def build(shape: Shape, seed: int) -> PreTrainedModel:
    """A float32 model of this shape on the CPU, frozen; the same seed gives the same bytes."""
    config = Olmo2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.length,
        tie_word_embeddings=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "benchmark", "model"))
        return ready(Olmo2ForCausalLM(config), "cpu")


@dataclass
class Laps:
    """Seconds of each repetition of one way."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """CPU seconds of the process: steadier than wall time where others share the cores."""

    _began: tuple[float, float] = (0.0, 0.0)

    def start(self) -> None:
        """Begin a repetition."""
        self._began = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """End it."""
        self.wall.append(time.perf_counter() - self._began[0])
        self.cpu.append(time.process_time() - self._began[1])

    @contextmanager
    def lap(self) -> Iterator[None]:
        """Time the block as one repetition."""
        self.start()
        yield
        self.stop()

    def after(self, count: int) -> "Laps":
        """Without the first `count` repetitions (warm-up)."""
        return Laps(self.wall[count:], self.cpu[count:])


def speedup(slow: list[float], fast: list[float]) -> list[float]:
    """How many times faster, repetition by repetition: neighbours in time met the same noise."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def summary(values: list[float], unit: str = "") -> str:
    """Median, minimum, maximum and n of the repetitions."""
    numbers = (statistics.median(values), min(values), max(values))
    return "  ".join(f"{number:10.4g}{unit}" for number in numbers) + f"  {len(values):4d}"


def table(ways: Mapping[str, Laps], reference: str, what: str) -> list[str]:
    """Lines of a table: seconds of every way, then how often `reference` fits into each other."""
    width = max(map(len, ways)) + 14
    lines = [f"{what:{width}}{'median':>11}  {'min':>11}  {'max':>11}     n"]
    for name, laps in ways.items():
        lines.append(f"{name:{width}}{summary(laps.wall, 's')}")
    for name, laps in ways.items():
        if name != reference:
            own = ways[reference]
            for clock, slow, fast in (("wall", laps.wall, own.wall), ("CPU", laps.cpu, own.cpu)):
                label = f"{name}, ratio {clock}"
                lines.append(f"{label:{width}}{summary(speedup(slow, fast), 'x')}")
    return lines


def options(description: str) -> argparse.ArgumentParser:
    """The options that both benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=at_least_one, default=2, help="torch threads (2)")
    parser.add_argument("--seed", type=int, default=0, help="weights, texts and region (0)")
    return parser
