"""What a study asks for is refused here if it cannot work, before anything is trained."""

import math
from pathlib import Path

from lacuna.attack import asked, leave_out
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS
from lacuna.model.load import DTYPES, pick_device
from lacuna.pipeline.splits import refuse
from lacuna.region import budget, load_masks, load_vectors
from lacuna.registry import suggest
from lacuna.train.zero import require_deepspeed
from lacuna.unlearn import OBJECTIVES, parse
from sweeps.config.schema import Resources, StageResources
from sweeps.plan.planner import Planner
from sweeps.plan.search import METHODS
from sweeps.plan.stages import SPREAD
from sweeps.stage import KINDS
from sweeps.store.open import study_storage

PROTOCOLS = ["lee", "lacuna"]


def check(planner: Planner) -> None:
    """Raises `UserError` for the first thing that cannot work; reads the region file, if any.

    Types, unknown keys and the bounds of single values were checked by `sweeps.config.compose`.
    """
    _region(planner)
    _names(planner)
    _seeds(planner)
    _numbers(planner)
    _resources(planner)
    _parallel(planner)
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
    """Attacks exist, and have people to know and people to be measured by."""
    knowing = {n: each for n, each in asked(planner.config.attack).items() if each.knows_people}
    people = {item.person for item in planner.corpus.forget}
    if knowing and len(people) < 2 and not planner.corpus.relearn:
        raise UserError(
            f"relearning needs at least 2 people to forget, the data has {len(people)}: name the "
            f"people, or leave out {' and '.join(knowing)} with {leave_out(knowing)}"
        )


def _names(planner: Planner) -> None:
    config = planner.config
    if config.protocol not in PROTOCOLS:
        raise UserError(f"protocol={config.protocol}{suggest(config.protocol, PROTOCOLS)}")
    for name in config.objectives:
        if not OBJECTIVES[parse(name).objective].confined and "full" not in config.scenarios:
            raise UserError(
                f"objective {name!r} moves whole matrices and cannot be confined to a region: add "
                f"the scenario full, or drop it"
            )
    for kind, given, known in (
        ("scenario", config.scenarios, ["full", "uniform", *LOCALIZERS]),
        ("localizer", config.localizers, list(LOCALIZERS)),
    ):
        for name in given:
            if name not in known:
                raise UserError(f"unknown {kind} {name!r}{suggest(name, known)}")
            if name in LOCALIZERS and (reason := planner.unfit(name)):
                raise UserError(f"{kind} {name!r} {reason}: leave it out")
    if planner.stages.everywhere and config.region.file is not None:
        raise UserError("region.file is a target region, and inject.method=full has none: drop one")


def _seeds(planner: Planner) -> None:
    config = planner.config
    for key, values in (
        ("seeds", config.seeds),
        ("objectives", config.objectives),
        ("scenarios", config.scenarios),
    ):
        if not values or len(set(values)) < len(values):
            raise UserError(f"{key}={values}: give at least one value, each once")
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


def _region(planner: Planner) -> None:
    file, ratios = planner.config.region.file, planner.ratios
    unit = planner.config.region.unit
    if unit not in ("vector", "weight"):
        raise UserError(f"region.unit={unit!r}: choose vector or weight")
    if planner.stages.single and not planner.stages.everywhere:
        raise UserError(
            "region.unit=weight: facts are planted into value vectors here: use "
            "inject.method=full, or region.unit=vector"
        )
    if not ratios or len(set(ratios)) < len(ratios):
        raise UserError(f"region.ratio={ratios}: give at least one value, each once")
    if planner.config.checkpoint is not None and (file is None or not planner.stages.by_weight):
        raise UserError(
            f"checkpoint={planner.config.checkpoint} needs its masks: set protocol=lacuna and "
            f"region.file=MASKS.safetensors"
        )
    if planner.stages.by_weight:
        _masks(planner)
        return
    for ratio in ratios:
        budget(planner.layout, ratio)
    if file is not None and len(ratios) > 1:
        raise UserError(f"region.ratio={ratios}: region.file={file} is one region: give one ratio")
    share = max(ratios) if file is None else load_vectors(Path(file), planner.layout).fraction
    if share > 0.5 and "complement" in planner.scenario_localizers():
        raise UserError(
            f"region.ratio={share:g} leaves no room for as large a region outside it (scenario "
            f"random): use at most 0.5, or drop that scenario"
        )


def _masks(planner: Planner) -> None:
    """Masks fit beside each other and into the model, the data has people enough for groups."""
    config, ratios = planner.config, planner.ratios
    if len(ratios) > 1:
        raise UserError(
            f"region.ratio={ratios}: under protocol lacuna retained models have masks too: give "
            f"one ratio a study"
        )
    if config.inject_seed is not None:
        raise UserError(
            f"inject_seed={config.inject_seed}: under protocol lacuna every seed has groups of its "
            f"own, so an injected model serves its own seed only: drop it"
        )
    protocol, masks = config.masked, config.masked.masks
    if config.region.file is not None:
        load_masks(Path(config.region.file), planner.layout)
    density = masks.density(planner.layout, ratios[0])
    outside = 1 - density * masks.groups
    if "random" in config.scenarios and outside < 1.05 * density * len(masks.forget_groups):
        raise UserError(
            f"region.ratio={ratios[0]:g}: {masks.groups} masks leave {outside:.2f} of the weights, "
            f"no room for a random region of {density * len(masks.forget_groups):.2f}: use fewer "
            f"or smaller masks, or drop scenario random"
        )
    for seed in config.seeds:
        refuse(planner.corpus, masks, protocol.splits, seed)


def _numbers(planner: Planner) -> None:
    search = planner.config.search
    if not 0 <= search.fs_low < search.fs_high:
        raise UserError(
            f"search.fs_low={search.fs_low:g} and search.fs_high={search.fs_high:g} leave no "
            f"window: 0 <= fs_low < fs_high"
        )
    if planner.config.significance.permutations < 1:
        raise UserError(
            f"significance.permutations={planner.config.significance.permutations}: at least 1"
        )


def _search(planner: Planner) -> None:
    search, searched = planner.config.search, planner.searched()
    if search.method not in METHODS:
        raise UserError(f"search.method={search.method}{suggest(search.method, list(METHODS))}")
    for key, least in (("trials", 1), ("round", 1), ("rungs", 0), ("eta", 2)):
        if getattr(search, key) < least:
            raise UserError(f"search.{key}={getattr(search, key)}: must be at least {least}")
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
    for key in ("flops", "workers", "gpu_memory"):
        value = getattr(resources, key)
        if value is not None and not value > 0:
            raise UserError(f"resources.{key}={value:g}: must be above 0")
    asked: list[tuple[str, Resources | StageResources]] = [("resources", resources)]
    asked += [(f"resources.{kind}", resources.of(kind)) for kind in KINDS]
    for place, own in asked:
        if own.cpus is not None and not 0 < own.cpus < math.inf:
            raise UserError(f"{place}.cpus={own.cpus:g}: must be above 0")
        if own.gpus is not None and not _countable(own.gpus):
            raise UserError(
                f"{place}.gpus={own.gpus:g}: give a whole number of GPUs, or a share of one below "
                f"1 with at most 4 digits"
            )


def _countable(gpus: float) -> bool:
    """Whether Ray can count them: whole ones, or a share of one in ten-thousandths."""
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


def _spreadable(planner: Planner) -> None:
    """Only training of all parameters is spread, and only where it is a loss and nothing else."""
    config, spread = planner.config, planner.spread
    for kind in ("retained", "injected"):
        if kind in spread and planner.stages.by_weight:
            raise UserError(f"{SPREAD[kind]}.zero: protocol lacuna trains on one device: drop it")
    if "injected" in spread and not planner.stages.everywhere:
        raise UserError(
            f"{SPREAD['injected']}.zero: a region is planted on one device: drop it, or use "
            f"inject.method=full"
        )
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
