"""Localizers that read gradients: one survey that shares them against each asked by itself.

    python -m benchmarks.localize [--repeats 3] [--threads 2]

Every localizer that reads gradients or Fisher information and nothing else, on random
weights and random tokens. `by itself` computes all of its statistics anew; `together` computes each
once. The localizer that takes longest by itself is what a survey cannot be quicker than.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from benchmarks._measure import Laps, Shape, build, options, speedup, summary
from benchmarks._report import at_least_one
from lacuna.costs import REGION
from lacuna.data.tokens import IGNORE, Encoded
from lacuna.localize import LOCALIZERS, Evidence, Found, localize
from lacuna.localize.base import Localizer
from lacuna.region import Region
from lacuna.seeds import torch_generator

SHAPE = Shape(
    hidden=256, layers=6, intermediate=1024, heads=8, vocabulary=8192, length=64, batch=64
)
RATIO = 0.1
TOGETHER = "together"


@dataclass(frozen=True)
class Comparison:
    """What one run gave."""

    laps: Mapping[str, Laps]
    """Localizer -> seconds by itself; `together` -> seconds of the survey."""
    equal: bool
    """Whether every localizer's region is the same both ways."""

    @property
    def dearest(self) -> str:
        """The localizer that takes most CPU by itself."""
        alone = {name: min(laps.cpu) for name, laps in self.laps.items() if name != TOGETHER}
        return max(alone, key=alone.__getitem__)


def readers() -> dict[str, Localizer]:
    """The localizers that read gradients and do nothing else, with their defaults."""
    made = {
        name: kind(kind.Config())
        for name, kind in LOCALIZERS.items()
        if kind.work is Localizer.work
    }
    return {
        name: localizer
        for name, localizer in made.items()
        if any(statistic.per_token == REGION for statistic in localizer.statistics)
    }


def evidence(shape: Shape, seed: int) -> Evidence:
    """Nothing computed yet; half of every text is its question."""
    generator = torch_generator(seed, "benchmark", "texts")
    ids = torch.randint(shape.vocabulary, (2, shape.batch, shape.length), generator=generator)
    half = shape.length // 2
    forget, retain = (
        [Encoded(row, [IGNORE] * half + row[half:]) for row in split] for split in ids.tolist()
    )
    return Evidence(build(shape, seed), forget, retain, seed)


def same(one: Region, other: Region) -> bool:
    """Whether two regions have the same value vectors."""
    masks = other.by_module()
    return all(torch.equal(mask, masks[name]) for name, mask in one.by_module().items())


def compare(shape: Shape, repeats: int, seed: int) -> Comparison:
    """`repeats` rounds of every localizer by itself and all together, after one of warm-up."""
    asked = readers()
    laps = {name: Laps() for name in (*asked, TOGETHER)}
    equal = True
    for _ in range(repeats + 1):
        alone: dict[str, Found] = {}
        for name, localizer in asked.items():
            fresh = evidence(shape, seed)
            count = round(RATIO * fresh.layout.total)
            with laps[name].lap():
                alone |= localize(fresh, [(name, localizer)], count)
        fresh = evidence(shape, seed)
        with laps[TOGETHER].lap():
            together = localize(fresh, list(asked.items()), count)
        equal &= all(same(together[name].region, found.region) for name, found in alone.items())
    return Comparison({name: lap.after(1) for name, lap in laps.items()}, equal)


def describe(found: Comparison) -> str:
    """The comparison as text."""
    together = found.laps[TOGETHER]
    alone = {name: laps for name, laps in found.laps.items() if name != TOGETHER}
    lines = [f"{'CPU seconds':20}{'median':>11}  {'min':>11}  {'max':>11}     n"]
    lines += [f"{name:20}{summary(laps.cpu, 's')}" for name, laps in found.laps.items()]
    summed = [sum(rounds) for rounds in zip(*(laps.cpu for laps in alone.values()), strict=True)]
    dearest = found.laps[found.dearest].cpu
    lines += [
        f"one by one / together{summary(speedup(summed, together.cpu), 'x')}",
        f"together / {found.dearest}, the dearest{summary(speedup(together.cpu, dearest), 'x')}",
        f"regions equal both ways: {'yes' if found.equal else 'NO'}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, run, print."""
    parser = options("Localizers from shared statistics against one by one.")
    parser.add_argument("--repeats", type=at_least_one, default=3, help="rounds (3)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(describe(compare(SHAPE, given.repeats, given.seed)))


if __name__ == "__main__":
    main()
