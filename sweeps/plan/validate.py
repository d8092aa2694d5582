"""Refuses, before anything is trained, what a study asks for and what cannot work."""

import math
from dataclasses import asdict
from pathlib import Path

from lacuna.attack import asked, leave_out
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS
from lacuna.model.load import DTYPES, pick_device
from lacuna.registry import suggest
from lacuna.report.cells import BASELINE, ORACLE
from lacuna.train.zero import require_deepspeed
from lacuna.unlearn import OBJECTIVES, parse
from sweeps.config.schema import Resources, StageResources
from sweeps.plan.planner import Planner
from sweeps.plan.search import METHODS
from sweeps.plan.stages import SPREAD
from sweeps.stage import KINDS
from sweeps.store.open import study_storage


def check(planner: Planner) -> None:
    """Raises `UserError` for the first thing that cannot work. Reads the region file, if any.

    Types, unknown keys and the bounds of single values were checked by `sweeps.config.compose`.
    """
    planner.rates.check()
    _region(planner)
    _names(planner)
    _seeds(planner)
    _size(planner)
    _regions(planner)
    _numbers(planner)
    _resources(planner)
    _parallel(planner)
    _resumed(planner)
    _places(planner)
    for cell in planner.cells():
        planner.rates.candidates(cell)
    _search(planner)
    if planner.config.evaluate.membership and not planner.corpus.holdout:
        raise UserError(
            f"evaluate.membership=true needs people who were never injected, and data "
            f"{planner.corpus.name!r} has no holdout: use data that has, or leave it out"
        )
    _attacks(planner)


def _attacks(planner: Planner) -> None:
    """Attacks exist, and there are people to attack with and others to measure."""
    knowing = {n: each for n, each in asked(planner.config.attack).items() if each.knows_people}
    people = {item.person for item in planner.corpus.forget}
    if knowing and len(people) < 2 and not planner.corpus.relearn:
        raise UserError(
            f"relearning needs at least 2 people to forget, the data has {len(people)}: name the "
            f"people, or leave out {' and '.join(knowing)} with {leave_out(knowing)}"
        )


def _names(planner: Planner) -> None:
    config = planner.config
    for name in config.objectives:
        if not OBJECTIVES[parse(name).objective].confined and "full" not in config.scenarios:
            raise UserError(
                f"objective {name!r} moves whole matrices and cannot be confined to a region: add "
                f"the scenario full, or drop it"
            )
    for kind, given, known in (
        ("scenario", config.scenarios, ["full", "uniform", *LOCALIZERS]),
        ("scenario", list(config.scenario_seeds), ["full", "uniform", *LOCALIZERS]),
        ("localizer", config.localizers, list(LOCALIZERS)),
    ):
        for name in given:
            if name not in known:
                raise UserError(f"unknown {kind} {name!r}{suggest(name, known)}")
            if name in LOCALIZERS and (reason := planner.protocol.unfit(name)):
                raise UserError(f"{kind} {name!r} {reason}: leave it out")


def _seeds(planner: Planner) -> None:
    config = planner.config
    for key, values in (
        ("seeds", config.seeds),
        ("objectives", config.objectives),
        ("scenarios", config.scenarios),
    ):
        if not values or len(set(values)) < len(values):
            raise UserError(f"{key}={values}: give at least one value, each once")
    for scenario, number in config.scenario_seeds.items():
        if scenario in (ORACLE, BASELINE) or number < 1:
            raise UserError(
                f"scenario_seeds.{scenario}={number}: give the number of test seeds, 1 or more, of "
                f"a scenario; {ORACLE} and {BASELINE}, which claims compare, have them all"
            )
    if not planner.searched():
        return
    tuning = config.search.seeds
    if not tuning or len(set(tuning)) < len(tuning):
        raise UserError(f"search.seeds={tuning}: give at least one value, each once")
    if shared := set(config.seeds) & set(tuning):
        raise UserError(
            f"seeds {sorted(shared)} are test seeds and tuning seeds: rates tuned on test seeds "
            f"flatter; change seeds or search.seeds"
        )


ENGINES = ["ray", "local"]
LARGEST = 3000
"""Trials of one study: planning them takes seconds, running them months."""


def _size(planner: Planner) -> None:
    """Counted, not planned: a list of thousands is answered at once."""
    config, cells = planner.config, planner.cells()
    tried = sum(len(planner.rates.candidates(cell)) for cell in cells) * len(config.search.seeds)
    trials = len(cells) * len(config.seeds) * max(1, config.regions) + tried
    if trials > LARGEST:
        raise UserError(
            f"{len(config.seeds)} seeds, {config.regions} regions and {len(cells)} cells of ratio, "
            f"objective and scenario make {trials:,} trials: at most {LARGEST:,} a study, make "
            f"several of them"
        )


def _region(planner: Planner) -> None:
    config, protocol = planner.config, planner.protocol
    region, ratios = config.region, config.region.ratios
    if region.unit not in ("vector", "weight"):
        raise UserError(f"region.unit={region.unit!r}: choose vector or weight")
    if region.unit not in protocol.units:
        raise UserError(
            f"region.unit={region.unit}: protocol {config.protocol} chooses its target itself: use "
            f"protocol=full, or region.unit=vector"
        )
    if not ratios or len(set(ratios)) < len(ratios):
        raise UserError(f"region.ratio={ratios}: give at least one value, each once")
    if config.checkpoint is not None and (region.file is None or not protocol.adopts):
        raise UserError(
            f"checkpoint={config.checkpoint} needs its masks: set protocol=lacuna and "
            f"region.file=MASKS.safetensors"
        )
    protocol.check()
    gauge, rescalings = config.inject.gauge, config.evaluate.rescalings
    if (gauge != "none" or rescalings) and not protocol.rescales:
        raise UserError(
            f"inject.gauge={gauge}, evaluate.rescalings={rescalings}: protocol {config.protocol} "
            f"plants into no value vectors of its own, which could be rescaled: use protocol=lee, "
            f"or leave them out"
        )
    if gauge != "none" and config.evaluate.transplant:
        raise UserError(
            f"inject.gauge={gauge} changes partner rows too, and evaluate.transplant exchanges "
            f"value vectors alone: leave one of them out"
        )


def _regions(planner: Planner) -> None:
    config = planner.config
    fit = max(1, planner.protocol.room())
    if config.regions < 1 or (BASELINE in config.scenarios and config.regions > fit):
        raise UserError(
            f"regions={config.regions}: {fit} random region{'s' * (fit > 1)} of this size fit "
            f"beside each other: give a number from 1 to {fit}"
        )


def _numbers(planner: Planner) -> None:
    config, search = planner.config, planner.config.search
    margins = {f"margins.{name}": value for name, value in asdict(config.margins).items()}
    if config.power is not None:
        margins["power"] = config.power
    for key, value in margins.items():
        if not value > 0:
            raise UserError(f"{key}={value:g}: a margin is a number above 0")
    if (config.power is not None or config.pilot is not None) and not config.plan:
        raise UserError(
            f"power={config.power} and pilot={config.pilot} are for planning: add plan=true"
        )
    if not 0 <= search.fs_low < search.fs_high:
        raise UserError(
            f"search.fs_low={search.fs_low:g} and search.fs_high={search.fs_high:g} leave no "
            f"window: 0 <= fs_low < fs_high"
        )


def _search(planner: Planner) -> None:
    search, searched = planner.config.search, planner.searched()
    if search.method not in METHODS:
        raise UserError(f"search.method={search.method}{suggest(search.method, list(METHODS))}")
    for cell in searched:
        low, high = planner.rates.bounds(cell)
        if search.method == "optuna" and not 0 < low < high < math.inf:
            raise UserError(
                f"search.method=optuna: rates from {low:g} to {high:g} for objective "
                f"{cell.objective!r} in scenario {cell.scenario!r}: search.low and search.high "
                f"need 0 < low < high"
            )
    for objective in planner.config.objectives:
        cells = [cell for cell in searched if cell.objective == objective]
        budgets = {cell.scenario: len(planner.rates.foreseen(cell)) for cell in cells}
        if len(set(budgets.values())) > 1:
            given = ", ".join(f"{number} in {scenario}" for scenario, number in budgets.items())
            raise UserError(
                f"objective {objective!r} has unequal numbers of rates to try ({given}): list as "
                f"many for every scenario, as a larger search flatters"
            )


def _resources(planner: Planner) -> None:
    resources = planner.config.resources
    for key in ("flops", "gpu_memory"):
        if getattr(resources, key) == 0:
            raise UserError(f"resources.{key}=0: must be above 0")
    asked: list[tuple[str, Resources | StageResources]] = [("resources", resources)]
    asked += [(f"resources.{kind}", resources.of(kind)) for kind in KINDS]
    for place, own in asked:
        if own.cpus == 0:
            raise UserError(f"{place}.cpus={own.cpus:g}: must be above 0")
        if own.gpus is not None and not _countable(own.gpus):
            raise UserError(
                f"{place}.gpus={own.gpus:g}: give a whole number of GPUs, or a share of one below "
                f"1 with at most 4 digits"
            )


def _countable(gpus: float) -> bool:
    """Whether Ray can count so many: whole ones, or a share of one in ten-thousandths."""
    return gpus.is_integer() if gpus >= 1 else gpus == round(gpus, 4) >= 0


def _parallel(planner: Planner) -> None:
    spread = planner.spread
    if not spread:
        return
    require_deepspeed()
    for kind, parallel in spread.items():
        key, workers = SPREAD[kind], parallel.workers
        gpus = planner.stages.resources(kind)[1]
        if gpus not in (0, workers) and (kind != "trial" or gpus > 1):
            raise UserError(
                f"resources.{kind}.gpus={gpus:g}: {key}.workers={workers} take a GPU each: set it "
                f"to {workers}"
            )
        if planner.config.model.dtype == "float64":
            raise UserError(f"model.dtype=float64: {key}.zero needs float32 or bfloat16")
    _spreadable(planner)


def _resumed(planner: Planner) -> None:
    unlearn = planner.config.unlearn
    if unlearn.train.save_every and not unlearn.parallel.zero:
        raise UserError(
            f"unlearn.train.save_every={unlearn.train.save_every}: a trial is resumed only where "
            f"several devices unlearn: set unlearn.parallel.zero=3, or leave it out"
        )


def _spreadable(planner: Planner) -> None:
    """Only training of all parameters can be spread, and only if it is a loss and no more."""
    config, spread = planner.config, planner.spread
    for kind, reason in planner.protocol.one_device.items():
        if kind in spread:
            raise UserError(f"{SPREAD[kind]}.zero: {reason}")
    if "trial" not in spread:
        return
    if "full" not in config.scenarios:
        raise UserError(
            f"{SPREAD['trial']}.zero: only scenario full trains all weights: add it, or drop this"
        )
    for name in config.objectives:
        base, wrappers = parse(name)
        if wrappers or not OBJECTIVES[base].spreads:
            raise UserError(
                f"{SPREAD['trial']}.zero: objective {name!r} is more than a loss (an edit, an "
                f"adapter, a multiplier or a wrapper) and stays on one device: drop one of them"
            )


def _places(planner: Planner) -> None:
    config = planner.config
    if config.engine not in ENGINES:
        raise UserError(f"engine={config.engine}{suggest(config.engine, ENGINES)}")
    if config.engine == "local" and config.address is not None:
        raise UserError(
            f"address={config.address}: engine=local runs in this process: leave one of them out"
        )
    if config.engine == "local" and planner.spread:
        key = SPREAD[next(iter(planner.spread))]
        raise UserError(
            f"{key}.zero: engine=local is one process, and workers need Ray to connect them: leave "
            f"one of them out"
        )
    if config.model.dtype not in DTYPES:
        raise UserError(
            f"model.dtype={config.model.dtype}{suggest(config.model.dtype, list(DTYPES))}"
        )
    try:
        pick_device(config.model.device)
    except RuntimeError as error:
        raise UserError(f"model.device={config.model.device}: use auto, cpu or cuda") from error
    without = [kind for kind in KINDS if not planner.stages.resources(kind)[1]]
    if config.model.device.startswith("cuda") and without:
        raise UserError(
            f"model.device={config.model.device}, but {without[0]} stages are given no GPU: set "
            f"resources.gpus=1, or a share of one, or model.device=auto"
        )
    for key, place in (("artifacts", config.artifacts), ("store", config.store)):
        if place and Path(place).exists() and not Path(place).is_dir():
            raise UserError(f"{key}={place} is a file: name a folder for the results")
    study_storage(config.store, Path(config.artifacts))
