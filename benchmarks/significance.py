"""The exact AUES permutation test: lacuna's sum over neighbours against scipy's enumeration.

    python -m benchmarks.significance [--alphas 21] [--repeats 3]

Both take all 2^A swaps of two curves of A points. scipy's `permutation_test` gets the statistic in
vectorised form and the batch that was quickest for it; it runs once, ours `--repeats` times.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from benchmarks._measure import Laps, options, summary
from benchmarks._report import at_least_one
from lacuna.seeds import numpy_generator
from lacuna.significance.published import aues_permutation

BATCH = 2**14
"""Swaps that scipy holds at once."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Seconds of each way, and its p."""

    laps: Mapping[str, Laps]
    p: Mapping[str, float]


def curves(alphas: int, seed: int) -> tuple[Floats, Floats]:
    """(2, A) forget strengths, rising, and (2, A) retain strengths, falling, of two scenarios."""
    generator = numpy_generator(seed, "benchmark", "curves")
    fs = np.sort(generator.uniform(size=(2, alphas)), axis=1)
    return fs, np.sort(generator.uniform(0.9, 1.0, size=(2, alphas)), axis=1)[:, ::-1]


def by_scipy(fs: Floats, rs: Floats) -> float:
    """p by scipy, which swaps the places of points, as a point is two numbers."""
    fs_P, rs_P = fs.ravel(), rs.ravel()

    def area(points: NDArray[np.intp], axis: int) -> Floats:
        return np.asarray(np.trapezoid(rs_P[points], fs_P[points], axis=axis))

    def gap(a: NDArray[np.intp], b: NDArray[np.intp], axis: int) -> Floats:
        return np.abs(area(a, axis) - area(b, axis))

    places = np.arange(fs.size).reshape(fs.shape)
    found = permutation_test(
        tuple(places),
        gap,
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
        batch=BATCH,
    )
    return float(found.pvalue)


def compare(alphas: int, repeats: int, seed: int) -> Comparison:
    """Both ways on the same curves."""
    fs, rs = curves(alphas, seed)
    laps = {"lacuna": Laps(), "scipy": Laps()}
    with laps["scipy"].lap():
        theirs = by_scipy(fs, rs)
    for _ in range(repeats):
        with laps["lacuna"].lap():
            ours = aues_permutation(fs[0], rs[0], fs[1], rs[1])
    return Comparison(laps, {"lacuna": ours, "scipy": theirs})


def describe(alphas: int, found: Comparison) -> str:
    """The comparison as text."""
    lines = [f"{2**alphas:,} swaps of {alphas} points  median  min  max  n"]
    lines += [f"{name:8}{summary(laps.wall, 's')}" for name, laps in found.laps.items()]
    scipy = found.laps["scipy"]
    for clock, slow, fast in (
        ("wall", scipy.wall[0], found.laps["lacuna"].wall),
        ("CPU", scipy.cpu[0], found.laps["lacuna"].cpu),
    ):
        lines.append(f"scipy, ratio {clock:5}{summary([slow / own for own in fast], 'x')}")
    lines.append("p: " + ", ".join(f"{name} {p:.10f}" for name, p in found.p.items()))
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, run, print."""
    parser = options("Exact AUES permutation test against scipy's.")
    parser.add_argument("--alphas", type=at_least_one, default=21, help="points of a curve (21)")
    parser.add_argument("--repeats", type=at_least_one, default=3, help="runs of ours (3)")
    given = parser.parse_args()
    print(describe(given.alphas, compare(given.alphas, given.repeats, given.seed)))


if __name__ == "__main__":
    main()
