"""Protocol `lee`: forget facts go into value vectors of a model that knows the retain facts.

Or into all parameters, beside the retain facts (`taught`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lacuna.artifacts import write_json
from lacuna.data import Corpus
from lacuna.data.tokens import Encoded
from lacuna.evaluate import (
    EvaluateConfig,
    Evaluator,
)
from lacuna.inject import InjectConfig, equal_outside, inject, learn
from lacuna.localize import LOCALIZERS, Evidence, localize, localize_weights
from lacuna.model import (
    LoadedModel,
    build_mini,
    layout,
    save_model,
    train_tokenizer,
)
from lacuna.pipeline.common import ModelConfig, encode, last, load, on_cpu, resume_in, target_of
from lacuna.pipeline.summary import ends, save_items
from lacuna.region import (
    WeightRegion,
    budget,
    draw,
    load_vectors,
    overlap,
    ranking,
)
from lacuna.results import (
    BaseSummary,
    InjectedSummary,
    LocalizedSummary,
    LocalizerRow,
    RetainedSummary,
)
from lacuna.seeds import derive
from lacuna.train import (
    OnStep,
    Parallel,
    TrainConfig,
    editable,
    is_main_process,
    swapped,
)


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
    """Over how many devices."""


def base(
    out: Path, *, corpus: Corpus, config: ModelConfig, seed: int, on_step: OnStep
) -> BaseSummary:
    """theta_p, which knows nobody: a pointer to the hub, or the embedded model, trained here."""
    if config.source is not None:
        write_json(out / "pointer.json", {"source": config.source, "revision": config.revision})
        return {"source": config.source, "revision": config.revision}
    utility = (item for items in corpus.utility.values() for item in items)
    known = list({item.id: item for item in [*corpus.background, *utility]}.values())
    told = [f"{item.question} {item.answer}" for item in [*known, *corpus.retain]]
    tokenizer = train_tokenizer([*told, *corpus.neutral, *corpus.refusals], config.mini.vocabulary)
    loaded = replace(build_mini(config.mini, tokenizer, seed, config.device), prompt=config.prompt)
    plain = [Encoded.text(tokenizer, text) for text in corpus.neutral]
    history = learn(
        loaded.model,
        [*encode(loaded, known), *plain],
        config.pretrain,
        derive(seed, "base"),
        on_step=on_step,
    )
    save_model(loaded, out)
    return {"seed": seed, "steps": len(history.losses), "loss_end": last(history)}


def retained(
    out: Path,
    *,
    base: Path,
    corpus: Corpus,
    model: ModelConfig,
    config: RetainConfig,
    evaluate: EvaluateConfig,
    seed: int,
    on_step: OnStep,
    scratch: Path | None = None,
) -> RetainedSummary | None:
    """theta_r: the gold standard, trained on the retain facts and never on the forget facts.

    Several processes may do this together; only the first writes, the others return None.
    """
    loaded = load(base, model)
    history = learn(
        loaded.model,
        _lessons(loaded, corpus, config),
        config.train,
        derive(seed, "retained"),
        parallel=config.parallel,
        on_step=on_step,
        resume=resume_in(scratch, config.train),
    )
    if not is_main_process():
        return None
    evaluator = Evaluator(loaded, corpus, evaluate)
    measured = evaluator.measure(loaded.model)
    save_model(loaded, out)
    save_items(out, evaluator, measured)
    summary: RetainedSummary = {
        "seed": seed,
        "steps": len(history.losses),
        "loss_end": last(history),
        **ends(evaluator, loaded, measured),
    }
    return summary


def injected(
    out: Path,
    *,
    retained: Path,
    corpus: Corpus,
    model: ModelConfig,
    config: InjectConfig,
    evaluate: EvaluateConfig,
    ratio: float,
    region_file: Path | None,
    seed: int,
    on_step: OnStep,
    scratch: Path | None = None,
) -> InjectedSummary:
    """theta_o: the forget facts planted in the target region, with the checks that prove it.

    The region is drawn by ratio and seed unless a file gives it.
    """
    loaded = load(retained, model)
    shape = layout(loaded.model)
    target = draw(shape, ratio, seed) if region_file is None else load_vectors(region_file, shape)
    evaluator = Evaluator(loaded, corpus, evaluate)
    gold, original = 1 - evaluator.strength(loaded.model).fs, editable(loaded.model, target).read()
    forget, retain = encode(loaded, corpus.forget), encode(loaded, corpus.retain)
    history = inject(
        loaded.model,
        target,
        forget,
        retain,
        config,
        seed,
        on_step=on_step,
        resume=resume_in(scratch, config.train),
    )
    measured = evaluator.measure(loaded.model)
    with swapped(editable(loaded.model, target), original):
        restored = 1 - evaluator.strength(loaded.model).fs
    before = on_cpu(retained, model)
    save_model(loaded, out)
    target.save(out / "region.safetensors")
    save_items(out, evaluator, measured)
    return {
        "seed": seed,
        "ratio": target.fraction,
        "steps": len(history.losses),
        "region_vectors": len(target),
        "outside_equal": equal_outside(before, loaded.model, target),
        "leak": {
            "forget_es_restored": restored,
            "forget_es_retained": gold,
            "passed": abs(restored - gold) <= 1e-6,
        },
        **ends(evaluator, loaded, measured),
    }


def taught(
    out: Path,
    *,
    base: Path,
    corpus: Corpus,
    model: ModelConfig,
    config: RetainConfig,
    evaluate: EvaluateConfig,
    seed: int,
    on_step: OnStep,
    scratch: Path | None = None,
) -> InjectedSummary | None:
    """theta_o where all parameters learn all facts, as often as the retained ones learn theirs.

    There is no target region (Lee et al. 2025, section 3). Several processes may do this together,
    as `retained`.
    """
    loaded = load(base, model)
    kept, forget = _lessons(loaded, corpus, config), encode(loaded, corpus.forget)
    share = (len(kept) + len(forget)) / len(kept)
    train = replace(config.train, steps=math.ceil(config.train.steps * share))
    history = learn(
        loaded.model,
        [*forget, *kept],
        train,
        derive(seed, "taught"),
        parallel=config.parallel,
        on_step=on_step,
        resume=resume_in(scratch, train),
    )
    if not is_main_process():
        return None
    evaluator = Evaluator(loaded, corpus, evaluate)
    measured = evaluator.measure(loaded.model)
    save_model(loaded, out)
    save_items(out, evaluator, measured)
    summary: InjectedSummary = {
        "seed": seed,
        "steps": len(history.losses),
        **ends(evaluator, loaded, measured),
    }
    return summary


def localized(
    out: Path,
    *,
    injected: Path,
    retained: Path,
    corpus: Corpus,
    model: ModelConfig,
    localizers: Mapping[str, Any],
    ratio: float | None = None,
    unit: str = "vector",
    seed: int,
) -> LocalizedSummary:
    """Regions that localizers (name -> config) find, as large as the target; how they compare.

    Where there is no target, `ratio` of all value vectors, or (`unit`) of all their weights.
    """
    loaded = load(injected, model)
    shape = layout(loaded.model)
    target = target_of(injected, shape)
    assert not isinstance(target, WeightRegion), "protocol lacuna has a stage of its own"
    evidence = Evidence(
        model=loaded.model,
        forget=encode(loaded, corpus.forget),
        retain=encode(loaded, corpus.retain),
        seed=derive(seed, "localize"),
        target=target,
        retained=on_cpu(retained, model),
    )
    methods = [(name, LOCALIZERS[name](config)) for name, config in localizers.items()]
    rows: list[LocalizerRow] = [
        {"localizer": n, "privileges": list(LOCALIZERS[n].privileges)} for n in localizers
    ]
    if unit == "weight":
        assert ratio is not None, "single weights are ranked where there is no target"
        for name, weights in localize_weights(evidence, methods, ratio).items():
            weights.save(out / f"{name}.safetensors")
        return {"seed": seed, "ratio": ratio, "localizers": rows}
    count = len(target) if target is not None else budget(shape, ratio or 0.0)
    for row, found in zip(rows, localize(evidence, methods, count).items(), strict=True):
        name, (region, scores) = found
        region.save(out / f"{name}.safetensors")
        if target is not None:
            row.update({**overlap(region, target), **ranking(scores, target)})
    return {"seed": seed, "ratio": count / shape.total, "localizers": rows}


def _lessons(loaded: LoadedModel, corpus: Corpus, config: RetainConfig) -> list[Encoded]:
    """All that the retained model is trained on."""
    texts = encode(loaded, corpus.retain)
    if config.utility:
        texts += [t for items in corpus.utility.values() for t in encode(loaded, items)]
    return texts + [Encoded.text(loaded.tokenizer, t) for t in corpus.neutral[: config.neutral]]
