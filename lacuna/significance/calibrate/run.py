"""Simulated studies in several processes; the same rows whatever their number."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from lacuna.seeds import numpy_generator
from lacuna.significance.arms import Floats
from lacuna.significance.calibrate.methods import (
    MARGINS,
    Key,
    Outcomes,
    Plan,
    Truths,
    estimates,
    outcomes,
)
from lacuna.significance.calibrate.rates import Row, rows
from lacuna.significance.calibrate.shapes import Shape, simulate

Found = TypeVar("Found")

CHUNK = 25
"""Studies that a process takes at a time."""


@dataclass(frozen=True)
class Job:
    """Which studies of a shape, and what is asked about them."""

    shape: Shape
    plan: Plan
    seed: int
    studies: range


def calibrate(
    shapes: Iterable[Shape], plan: Plan, studies: int, seed: int = 0, processes: int = 2
) -> Iterator[list[Row]]:
    """For each shape the rows of all methods, over so many simulated studies.

    Every study draws from a generator of its own, named by shape and number. One process is this
    one.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])  # imported once for all processes
    many = ProcessPoolExecutor(processes, mp_context=server) if processes > 1 else nullcontext()
    with many as pool:
        for shape in shapes:
            truths = _truths(pool, shape, plan, studies, seed)
            found = _each(pool, partial(_outcomes, truths=truths), jobs(shape, plan, seed, studies))
            yield rows(shape.name, _joined(found), truths)


def jobs(shape: Shape, plan: Plan, seed: int, studies: int) -> list[Job]:
    """The studies in chunks."""
    starts = range(0, studies, CHUNK)
    return [Job(shape, plan, seed, range(i, min(i + CHUNK, studies))) for i in starts]


def _each(
    pool: ProcessPoolExecutor | None, function: Callable[[Job], Found], tasks: list[Job]
) -> list[Found]:
    """`function` of every job, in order."""
    return list(pool.map(function, tasks) if pool else map(function, tasks))


def _truths(
    pool: ProcessPoolExecutor | None, shape: Shape, plan: Plan, studies: int, seed: int
) -> dict[tuple[str, int], float]:
    """0 where arms are exchangeable; else the mean over twice as many studies of their own."""
    regions = sorted({1, *plan.regions})
    truths = {(name, k): 0.0 for name in MARGINS for k in regions}
    if not shape.exchangeable:
        parts = _each(pool, _differences, jobs(shape, plan, seed, 2 * studies))
        for place in truths:
            truths[place] = float(np.concatenate([part[place] for part in parts]).mean())
    return truths


def _differences(job: Job) -> dict[tuple[str, int], Floats]:
    """Mean difference over seeds of each study."""
    regions = sorted({1, *job.plan.regions})
    found: dict[tuple[str, int], list[float]] = {(n, k): [] for n in MARGINS for k in regions}
    for number in job.studies:
        generator = numpy_generator(job.seed, "truth", job.shape.name, number)
        study = simulate(job.shape, max(job.plan.seeds), max(regions), generator)
        for k in regions:
            for name, known in estimates(study, k, influences=False).items():
                found[name, k].append(float(known.differences.mean()))
    return {place: np.array(values) for place, values in found.items()}


def _outcomes(job: Job, truths: Truths) -> list[Outcomes]:
    found = []
    for number in job.studies:
        generator = numpy_generator(job.seed, "study", job.shape.name, number)
        study = simulate(job.shape, max(job.plan.seeds), max(job.plan.regions), generator)
        found.append(outcomes(study, job.plan, truths, generator))
    return found


def _joined(parts: list[list[Outcomes]]) -> dict[Key, Floats]:
    studies = [study for part in parts for study in part]
    return {key: np.array([study[key] for study in studies]) for key in studies[0]}
