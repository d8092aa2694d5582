"""Protocol `lee`: forget facts go into value vectors of a model that knows the retain facts.

    base -> retained (all parameters learn the retain facts)
         -> injected (a region's value vectors learn the forget facts) -> localized

Lee et al. 2025, section 4.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from lacuna.data.tokens import Encoded
from lacuna.evaluate import Evaluator
from lacuna.inject import Camouflage, InjectConfig, equal_outside, inject, learn
from lacuna.localize import LOCALIZERS, Evidence, Localizer, LocalizerConfig, localize
from lacuna.localize.gauge import gauge_test
from lacuna.model import LoadedModel, layout, save_model
from lacuna.pipeline.common import (
    StageInputs,
    encode,
    last,
    load,
    localized_place,
    on_cpu,
    resume_in,
)
from lacuna.pipeline.summary import ends, save_items, save_measured
from lacuna.pipeline.transplant import add_swaps
from lacuna.region import Region, draw, load_vectors, overlap, ranking
from lacuna.results import InjectedSummary, LocalizedSummary, LocalizerRow, RetainedSummary
from lacuna.results.files import REGION, region_of
from lacuna.seeds import derive
from lacuna.train import Parallel, TrainConfig, editable, is_main_process, swapped


@dataclass(frozen=True, kw_only=True)
class RetainConfig:
    """How base becomes retained."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Full-parameter training on the retain facts."""
    neutral: int = 0
    """Neutral sentences mixed in, so that the model keeps its language (0: none, as published)."""
    utility: bool = False
    """Also rehearse the utility questions (off as published; the embedded model needs it)."""
    parallel: Parallel = field(default_factory=Parallel)
    """Over how many devices the training is spread."""


def retained(out: Path, *, base: Path, given: StageInputs[RetainConfig]) -> RetainedSummary | None:
    """theta_r: the gold standard, trained on the retain facts and never on the forget facts.

    Several processes may do this together; only the first writes, the others return None.
    """
    loaded, config = load(base, given.model), given.config
    history = learn(
        loaded.model,
        lessons(loaded, given),
        config.train,
        derive(given.seed, "retained"),
        parallel=config.parallel,
        on_step=given.on_step,
        resume=resume_in(given.scratch, config.train),
    )
    if not is_main_process():
        return None
    summary: RetainedSummary = {
        "seed": given.seed,
        "steps": len(history.losses),
        "loss_end": last(history),
        **save_measured(out, loaded, given.corpus, given.evaluate),
    }
    return summary


def injected(out: Path, *, retained: Path, given: StageInputs[InjectConfig]) -> InjectedSummary:
    """theta_o: the forget facts planted in the target region, with the checks that prove it.

    The region is drawn by ratio and seed unless a file gives it. Where a gauge is given, its value
    vectors are camouflaged before anything is measured.
    """
    loaded, corpus = load(retained, given.model), given.corpus
    target = _target(loaded, given)
    evaluator = Evaluator(loaded, corpus, given.evaluate)
    gold, original = 1 - evaluator.strength(loaded.model).fs, editable(loaded.model, target).read()
    hiding = None if given.config.gauge == "none" else Camouflage(loaded.model, target)
    history = inject(
        loaded.model,
        target,
        encode(loaded, corpus.forget),
        encode(loaded, corpus.retain),
        given.config,
        given.seed,
        on_step=given.on_step,
        resume=resume_in(given.scratch, given.config.train),
    )
    plain_es = None
    if hiding is not None:
        plain_es = 1 - evaluator.strength(loaded.model).fs
        hiding.put_on(given.config.gauge, given.seed)
    measured = evaluator.measure(loaded.model)
    before = on_cpu(retained, given.model)
    with nullcontext() if hiding is None else hiding.rows_as_before():
        with swapped(editable(loaded.model, target), original):
            restored = 1 - evaluator.strength(loaded.model).fs
        outside_equal = equal_outside(before, loaded.model, target)
    save_model(loaded, out)
    target.save(out / REGION)
    save_items(out, evaluator, measured)
    summary: InjectedSummary = {
        "seed": given.seed,
        "ratio": target.fraction,
        "steps": len(history.losses),
        "region_vectors": len(target),
        "outside_equal": outside_equal,
        "leak": {
            "forget_es_restored": restored,
            "forget_es_retained": gold,
            "passed": abs(restored - gold) <= 1e-6,
        },
        **ends(evaluator, loaded, measured),
    }
    if plain_es is not None:
        summary["plain_forget_es"] = plain_es
    return summary


def localized(
    out: Path,
    *,
    injected: Path,
    retained: Path,
    given: StageInputs[object],
    localizers: Mapping[str, LocalizerConfig],
    rescalings: int = 0,
) -> LocalizedSummary:
    """Regions that localizers (name -> `Config`) find, as large as the target; how they compare.

    `given.region` says which of the seed's random regions a localizer that draws blindly gives.
    With `rescalings` each is asked again in as many other gauges (`lacuna.localize.gauge`).
    """
    loaded = load(injected, given.model)
    target = load_vectors(injected / REGION, layout(loaded.model))
    evidence = evidence_of(loaded, retained, given, target)
    methods, rows = chosen(localizers)
    found = localize(evidence, methods, len(target), given.region)
    for name, (region, scores) in found.items():
        region.save(out / region_of(name))
        rows[name].update({**overlap(region, target), **ranking(scores, target)})
    if rescalings:
        for name, record in gauge_test(evidence, methods, found, target, rescalings).items():
            rows[name]["gauge"] = record
    regions = {name: region for name, (region, _) in found.items()}
    add_swaps(rows, regions, loaded, retained, given.corpus, given)
    return {**localized_place(given, target.fraction), "localizers": list(rows.values())}


def chosen(
    localizers: Mapping[str, LocalizerConfig],
) -> tuple[list[tuple[str, Localizer]], dict[str, LocalizerRow]]:
    """The named localizers, and what a summary says of each before it is asked."""
    methods = [(name, LOCALIZERS[name](config)) for name, config in localizers.items()]
    rows: dict[str, LocalizerRow] = {
        name: {"localizer": name, "privileges": list(method.privileges)} for name, method in methods
    }
    return methods, rows


def evidence_of(
    loaded: LoadedModel, retained: Path, given: StageInputs[object], target: Region | None
) -> Evidence:
    """What localizers of an injected model may look at."""
    return Evidence(
        model=loaded.model,
        forget=encode(loaded, given.corpus.forget),
        retain=encode(loaded, given.corpus.retain),
        seed=derive(given.seed, "localize"),
        target=target,
        retained=on_cpu(retained, given.model),
    )


def lessons(loaded: LoadedModel, given: StageInputs[RetainConfig]) -> list[Encoded]:
    """All that the retained model is trained on."""
    corpus, config = given.corpus, given.config
    texts = encode(loaded, corpus.retain)
    if config.utility:
        texts += [t for items in corpus.utility.values() for t in encode(loaded, items)]
    return texts + [Encoded.text(loaded.tokenizer, t) for t in corpus.neutral[: config.neutral]]


def _target(loaded: LoadedModel, given: StageInputs[InjectConfig]) -> Region:
    shape = layout(loaded.model)
    if given.region_file is None:
        return draw(shape, given.ratio, given.seed)
    return load_vectors(given.region_file, shape)
