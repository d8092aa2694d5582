"""What a study will cost, before anything is trained: the answer to `plan=true`.

Nothing is written and no weight is read; see `sweeps.plan.costs` for what is counted.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from lacuna.attack import asked, leave_out
from lacuna.data import Corpus
from lacuna.data.card import data_card
from lacuna.data.tokens import Tokenizer
from lacuna.errors import UserError
from lacuna.model.preflight import read_tokenizer
from sweeps.errors import CoordinatorError
from sweeps.paths import sqlite_path, tracking_uri
from sweeps.plan.costs.memory import BYTES, REGION_BYTES, Size, full_bytes
from sweeps.plan.costs.stages import Costs
from sweeps.plan.planner import Planner
from sweeps.secrets import redacted
from sweeps.stage import KINDS, Stage
from sweeps.store.coordinator import NameCoordinator
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.open import found_records, study_storage
from sweeps.store.storage import Storage
from sweeps.store.store import Store
from sweeps.text import size_text

CPU_FLOPS = 5e10
"""Sustained FLOP/s of a CPU core: the embedded model, training and evaluation, on a server."""
GPU_FLOPS = {"bfloat16": 1e14, "float32": 1e13, "float64": 5e12}
"""Sustained FLOP/s assumed of a data-centre GPU by type of weights (A100: a third of its peak)."""
ROWS = tuple(row for kind in KINDS for row in (("search", "test") if kind == "trial" else (kind,)))
"""Kinds of stages, search and test trials apart."""


@dataclass(frozen=True)
class Row:
    """The stages of one kind: how many, how many are in the store already, and their cost."""

    kind: str
    stages: int
    stored: int
    flop: float
    """Floating-point operations of all stages that are not in the store."""
    seconds: float
    """Estimated duration of those stages, one after another."""
    gpu_seconds: float
    """The same times the GPUs that each of them takes."""
    gpus: float
    """GPUs that the most demanding stage takes."""
    memory: float
    """Bytes per device of the largest stage, activations not counted."""
    disk: float
    """Bytes that the stages which are not in the store will add to it."""


@dataclass(frozen=True)
class Estimate:
    """What a planned study will cost."""

    planner: Planner
    size: Size
    rows: Sequence[Row]
    source: str
    """Where stored results were looked up, for people."""

    def row(self, kind: str) -> Row:
        """The row of one kind, of `ROWS`."""
        return next(row for row in self.rows if row.kind == kind)

    @property
    def trials(self) -> int:
        """Search and test trials, stored ones included."""
        return self.row("search").stages + self.row("test").stages

    def text(self) -> str:
        """Stages, work, memory and disk as a table for people."""
        lines = [*_head(self.planner, self.size), "", *_table(self.rows), "", *_counts(self)]
        lines += [*_work(self.planner, self.rows), *_injection(self), f"store: {self.source}"]
        return "\n".join(lines)


def estimate_study(planner: Planner, stored: bool = True) -> Estimate:
    """Count and measure all stages; trains and writes nothing.

    What is in the store costs nothing, but where this is not to count (`stored`). Raises
    `UserError` if the model's configuration cannot be read.
    """
    size = _size(planner)
    stages = foreseen(planner)
    found, source = _stored(planner, stages) if stored else (set(), "not asked")
    costs = Costs(planner.stages, size)
    rows = [_row(planner, kind, stages[kind], found, costs) for kind in ROWS]
    return Estimate(planner, size, rows, source)


def total_line(estimates: Sequence[Estimate]) -> str:
    """The sum over studies, in one line."""
    trials = [estimate.trials for estimate in estimates]
    injected, retained = (
        sum(estimate.row(kind).stages for estimate in estimates)
        for kind in ("injected", "retained")
    )
    hours = sum(row.seconds for estimate in estimates for row in estimate.rows) / 3600
    return (
        f"in all: {sum(trials)} trials ({' + '.join(map(str, trials))}) from {injected} injections "
        f"and {retained} retained models, {hours:.3g} hours of stages"
    )


def _size(planner: Planner) -> Size:
    """From the model's layout: no weight is read or made."""
    shapes = list(planner.layout.shapes.values())
    weights = sum(map(math.prod, planner.layout.weights.values()))
    values = sum(map(math.prod, shapes))
    return Size(weights, values, planner.protocol.region_weights(weights, values), len(shapes))


def _rate(planner: Planner, cpus: float, gpus: float) -> tuple[float, str]:
    """FLOP/s per device of a stage with these CPUs and GPUs, and a text that says why."""
    flops = planner.config.resources.flops
    if flops is not None:
        return flops, f"{flops:.1e} FLOP/s a stage (resources.flops)"
    dtype = planner.config.model.dtype
    if gpus:
        card = GPU_FLOPS[dtype]
        return card * min(1, gpus), (
            f"{card:.0e} FLOP/s a GPU in {dtype} (assumed; set resources.flops)"
        )
    rate = CPU_FLOPS * cpus
    return rate, f"{CPU_FLOPS:.0e} FLOP/s a CPU core (embedded model; set resources.flops)"


def _seconds(planner: Planner, costs: Costs, stage: Stage) -> float:
    """Duration of a stage: GPUs divide its training among them, processes divide its CPUs."""
    flop, rate = costs.flop(stage), _rate(planner, stage.cpus, stage.gpus)[0]
    if not stage.workers or planner.config.resources.flops is not None:
        return flop / rate
    shared = costs.shared(stage)
    if stage.gpus:
        return (flop - shared + shared / stage.workers) / rate
    return (stage.workers * (flop - shared) + shared) / rate


def foreseen(planner: Planner) -> dict[str, list[list[Stage]]]:
    """Kind -> stages, each as a list of the stages that it may turn out to be.

    A test trial whose rate is to be found has one for each candidate. Of a searcher only the number
    of rates is known: its trials, and the tests that follow from them, count as not stored.
    """
    found: dict[str, list[list[Stage]]] = {kind: [] for kind in ROWS}
    for stage in [*planner.setup(), *planner.controls()]:
        found[stage.kind].append([stage])
    for cell in planner.searched():
        found["search"] += planner.foreseen_search(cell)
    for cell in planner.cells():
        rates, numbers = planner.rates.foreseen(cell), planner.numbers(cell.scenario)
        for seed, region in product(planner.seeds(cell.scenario), numbers):
            found["test"].append(
                [planner.stages.trial(cell, lr, seed, "test", region=region) for lr in rates]
            )
    return found


def _stored(planner: Planner, stages: dict[str, list[list[Stage]]]) -> tuple[set[str], str]:
    """The keys that have a published result, and where they were looked up. Creates no file."""
    keys = sorted({stage.key for kind in stages.values() for group in kind for stage in group})
    storage, coordinators, source = records_of(planner)
    found: set[str] = set()
    for coordinator in coordinators:
        try:
            found |= Store(storage, coordinator).published(keys)
        except CoordinatorError as error:
            shown = redacted(
                tracking_uri(planner.config.tracking_uri, Path(planner.config.artifacts))
            )
            return found, f"{shown} does not answer ({error}): nothing counted as stored"
    return found, source


def records_of(planner: Planner) -> tuple[Storage, list[NameCoordinator], str]:
    """The study's storage, who knows what is published in it, and where that is. Creates no file.

    Those of `engine=local` are a folder; the tracking store's come last.
    """
    artifacts = Path(planner.config.artifacts)
    storage = study_storage(planner.config.store, artifacts)
    untracked = found_records(storage, artifacts)
    found: list[NameCoordinator] = [] if untracked is None else [untracked]
    by = [] if untracked is None else [str(untracked.folder)]
    place = tracking_uri(planner.config.tracking_uri, artifacts)
    database = sqlite_path(place)
    if database is not None and not database.exists():
        if untracked is None:
            return storage, [], f"{database} does not exist yet: nothing is stored"
        return storage, found, f"{redacted(storage.root)}, by {by[0]}"
    from sweeps.tracking.client import absolute_uri, reach

    client = reach(absolute_uri(place))
    found.append(MlflowCoordinator(client, storage.identity(make=False)))
    source = f"{redacted(storage.root)}, by {' and '.join([*by, redacted(place)])}"
    return storage, found, source


def _row(
    planner: Planner, kind: str, groups: list[list[Stage]], stored: set[str], costs: Costs
) -> Row:
    missing = [group[0] for group in groups if not any(s.key in stored for s in group)]
    seconds = [_seconds(planner, costs, stage) for stage in missing]
    return Row(
        kind,
        len(groups),
        len(groups) - len(missing),
        sum(costs.flop(stage) for stage in missing),
        sum(seconds),
        sum(time * stage.gpus for time, stage in zip(seconds, missing, strict=True)),
        max((group[0].gpus for group in groups), default=0.0),
        max((costs.memory(group[0]) for group in groups), default=0.0),
        sum(costs.disk(stage) for stage in missing),
    )


def _head(planner: Planner, size: Size) -> list[str]:
    config, corpus = planner.config, planner.corpus
    return [
        f"plan of study {config.study}: nothing is trained or written",
        f"model {config.model.source or 'embedded'}: {size.model:,} parameters in "
        f"{config.model.dtype}; a region is {planner.protocol.region_text(size)}",
        *(f"{name}: {line}" for name, f in planner.preflights.items() for line in f.lines()),
        f"data {corpus.name}: {_questions(corpus)}",
        *(f"data: {line}" for line in data_card(corpus, _tokenizer(planner))),
    ]


def _tokenizer(planner: Planner) -> Tokenizer | None:
    """Of the study's model; the embedded one's is made when it is trained."""
    model = planner.config.model
    if model.source is None:
        return None
    try:
        return read_tokenizer(model.source, model.revision)
    except UserError:  # a bare configuration; its preflight says so
        return None


def _questions(corpus: Corpus) -> str:
    splits = {"forget": corpus.forget, "retain": corpus.retain}
    return ", ".join(
        f"{len(items)} {name} questions about {len({item.person for item in items})} people"
        for name, items in splits.items()
    )


def _table(rows: Sequence[Row]) -> list[str]:
    total = Row(
        "total",
        sum(row.stages for row in rows),
        sum(row.stored for row in rows),
        sum(row.flop for row in rows),
        sum(row.seconds for row in rows),
        sum(row.gpu_seconds for row in rows),
        max(row.gpus for row in rows),
        max(row.memory for row in rows),
        sum(row.disk for row in rows),
    )
    titles = ("stage", "number", "stored", "FLOP", "hours", "memory", "disk")
    return [
        "{:<10}{:>8}{:>8}{:>10}{:>9}{:>10}{:>10}".format(*titles),
        *(
            f"{row.kind:<10}{row.stages:>8}{row.stored:>8}{row.flop:>10.1e}"
            f"{row.seconds / 3600:>9.3g}{size_text(row.memory):>10}{size_text(row.disk):>10}"
            for row in [*rows, total]
        ),
    ]


def _counts(estimate: Estimate) -> list[str]:
    planner, by_kind = estimate.planner, {row.kind: row for row in estimate.rows}
    cells, searched = len(planner.cells()), len(planner.searched())
    return [
        f"trials: {estimate.trials} ({by_kind['search'].stages} to find the rates of {searched} of "
        f"{cells} cells, {by_kind['test'].stages} tests)",
        f"distinct checkpoints: {by_kind['injected'].stages} injected, "
        f"{by_kind['retained'].stages} retained; {by_kind['localized'].stages} localizations, "
        f"{by_kind['control'].stages} controls",
    ]


def _injection(estimate: Estimate) -> list[str]:
    """Memory of an injection that trains a region only, beside one that trains all weights."""
    size, width = estimate.size, BYTES[estimate.planner.config.model.dtype]
    if not estimate.planner.protocol.compact:
        return []
    compact = width * size.model + REGION_BYTES * size.region
    return [
        f"injection: {size_text(compact)} ({width} x {size.model:,} weights + {REGION_BYTES} x "
        f"{size.region:,} of the region); masked gradients of all weights would take "
        f"{size_text(full_bytes(width) * size.model)}"
    ]


def _work(planner: Planner, rows: Sequence[Row]) -> list[str]:
    hours = {row.kind: row.seconds / 3600 for row in rows}
    takes = {kind: planner.stages.resources(kind) for kind in hours}
    assumed = dict.fromkeys(_rate(planner, *took)[1] for took in takes.values())
    lines = [
        f"compute: {sum(hours.values()):.3g} hours of stages that are not in the store, at "
        f"{' and '.join(assumed)}"
    ]
    if planner.config.address is None and not any(gpus for _, gpus in takes.values()):
        cores = planner.config.resources.workers or os.cpu_count() or 1
        wall = sum(hours[kind] / max(1, cores // cpus) for kind, (cpus, _) in takes.items())
        lines[0] += f"; {wall:.3g} with as many at a time as {cores} cores take"
    lines += [
        f"GPU-hours: {sum(row.gpu_seconds for row in rows) / 3600:.3g}",
        "memory: of one stage (weights, gradients, optimizer; activations come on top); "
        "disk: what will be added",
        *_alone(planner),
    ]
    return lines


def _alone(planner: Planner) -> list[str]:
    """A warning where training is spread over devices and attacks are not."""
    attacks = asked(planner.config.attack)
    training = {name: each for name, each in attacks.items() if each.trains_all}
    if not planner.spread or not training:
        return []
    return [
        "attacks that train all weights run on one device, whatever training is spread over: "
        f"{leave_out(training)} leaves them out, attack.lora_lrs needs little"
    ]
