"""The stages of a study, in order. Each reads finished folders and writes one of its own.

    base -> retained -> injected -> localized -> trial, control

A stage returns a small JSON summary; the folders hold models in hub layout, regions and per-item
scores. Nothing here knows about Ray, MLflow or Hydra.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from lacuna.artifacts import read_json, write_json
from lacuna.attack import AttackConfig, Way, attack, gather
from lacuna.data import Corpus
from lacuna.data.tokens import Encoded, Prompt, encode_examples
from lacuna.evaluate import (
    EvaluateConfig,
    Exam,
    forget_quality,
    full_curve,
    inspect,
    strength_curve,
)
from lacuna.inject import InjectConfig, equal_outside, inject, learn
from lacuna.localize import LOCALIZERS, Evidence, localize, localize_weights
from lacuna.model import (
    Layout,
    LoadedModel,
    MiniConfig,
    build_mini,
    layout,
    load_model,
    save_model,
    train_tokenizer,
)
from lacuna.moved import moved
from lacuna.region import (
    Region,
    WeightRegion,
    budget,
    draw,
    load_region,
    load_vectors,
    overlap,
    ranking,
)
from lacuna.seeds import derive
from lacuna.summary import (
    Summary,
    ends,
    full_summary,
    mean,
    save_items,
    strength_summary,
    write_items,
)
from lacuna.train import (
    Editable,
    History,
    OnStep,
    Parallel,
    TrainConfig,
    editable,
    leads,
    swapped,
)
from lacuna.unlearn import OBJECTIVES, WRAPPERS, UnlearnData, parse, unlearn


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model, and how it is asked and held."""

    source: str | None = None
    """Hub name, or a folder in hub layout; None builds the embedded model."""
    revision: str | None = None
    """Commit or tag on the hub."""
    dtype: str = "float32"
    """Weights in memory: float32 or bfloat16 (masters are float32 either way)."""
    attention: str = "sdpa"
    """Attention implementation of transformers."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`."""
    prompt: Prompt = field(default_factory=Prompt)
    """How a question is put."""
    mini: MiniConfig = field(default_factory=MiniConfig)
    """Shape of the embedded model."""
    pretrain: TrainConfig = field(default_factory=TrainConfig)
    """Base training of the embedded model: background people, utility questions, neutral text."""


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


def load(folder: Path, config: ModelConfig) -> LoadedModel:
    """A model written by an earlier stage, or the one its pointer names."""
    pointer = folder / "pointer.json"
    where: dict[str, Any] = {"source": str(folder), "revision": None}
    if pointer.exists():
        where = read_json(pointer)
    return load_model(
        where["source"],
        revision=where["revision"],
        prompt=config.prompt,
        dtype=config.dtype,
        device=config.device,
        attention=config.attention,
    )


def base(out: Path, *, corpus: Corpus, config: ModelConfig, seed: int, on_step: OnStep) -> Summary:
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
        [*_facts(loaded, known), *plain],
        config.pretrain,
        derive(seed, "base"),
        on_step=on_step,
    )
    save_model(loaded, out)
    return {"seed": seed, "steps": len(history.losses), "loss_end": _last(history)}


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
) -> Summary:
    """theta_r: the gold standard, trained on the retain facts and never on the forget facts.

    Several processes may do this together; only the first writes and has a summary.
    """
    loaded = load(base, model)
    history = learn(
        loaded.model,
        _lessons(loaded, corpus, config),
        config.train,
        derive(seed, "retained"),
        parallel=config.parallel,
        on_step=on_step,
        resume=_resume(scratch, config.train),
    )
    if not leads():
        return {}
    exam = Exam(loaded, corpus, evaluate)
    measured = exam.measure(loaded.model)
    save_model(loaded, out)
    save_items(out, exam, measured)
    return {
        "seed": seed,
        "steps": len(history.losses),
        "loss_end": _last(history),
        **ends(exam, loaded, measured),
    }


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
) -> Summary:
    """theta_o: the forget facts planted in the target region, with the checks that prove it.

    The region is drawn by ratio and seed unless a file gives it.
    """
    loaded = load(retained, model)
    shape = layout(loaded.model)
    target = draw(shape, ratio, seed) if region_file is None else load_vectors(region_file, shape)
    exam = Exam(loaded, corpus, evaluate)
    gold, original = 1 - exam.strength(loaded.model).fs, editable(loaded.model, target).read()
    forget, retain = _facts(loaded, corpus.forget), _facts(loaded, corpus.retain)
    history = inject(
        loaded.model,
        target,
        forget,
        retain,
        config,
        seed,
        on_step=on_step,
        resume=_resume(scratch, config.train),
    )
    measured = exam.measure(loaded.model)
    with swapped(editable(loaded.model, target), original):
        restored = 1 - exam.strength(loaded.model).fs
    before = _on_cpu(retained, model)
    save_model(loaded, out)
    target.save(out / "region.safetensors")
    save_items(out, exam, measured)
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
        **ends(exam, loaded, measured),
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
) -> Summary:
    """theta_o where all parameters learn all facts, as often as the retained ones learn theirs.

    There is no target region (Lee et al. 2025, section 3). Several processes may do this together,
    as `retained`.
    """
    loaded = load(base, model)
    kept, forget = _lessons(loaded, corpus, config), _facts(loaded, corpus.forget)
    share = (len(kept) + len(forget)) / len(kept)
    train = replace(config.train, steps=math.ceil(config.train.steps * share))
    history = learn(
        loaded.model,
        [*forget, *kept],
        train,
        derive(seed, "taught"),
        parallel=config.parallel,
        on_step=on_step,
        resume=_resume(scratch, train),
    )
    if not leads():
        return {}
    exam = Exam(loaded, corpus, evaluate)
    measured = exam.measure(loaded.model)
    save_model(loaded, out)
    save_items(out, exam, measured)
    return {"seed": seed, "steps": len(history.losses), **ends(exam, loaded, measured)}


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
) -> Summary:
    """Regions that localizers (name -> config) find, as large as the target; how they compare.

    Where there is no target, `ratio` of all value vectors, or (`unit`) of all their weights.
    """
    loaded = load(injected, model)
    shape = layout(loaded.model)
    target = _target(injected, shape)
    assert not isinstance(target, WeightRegion), "protocol lacuna has a stage of its own"
    evidence = Evidence(
        model=loaded.model,
        forget=_facts(loaded, corpus.forget),
        retain=_facts(loaded, corpus.retain),
        seed=derive(seed, "localize"),
        target=target,
        retained=_on_cpu(retained, model),
    )
    methods = [(name, LOCALIZERS[name](config)) for name, config in localizers.items()]
    rows: list[Summary] = [
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
            row |= {**overlap(region, target), **ranking(scores, target)}
    return {"seed": seed, "ratio": count / shape.total, "localizers": rows}


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One point of the grid: an objective inside a scenario's region."""

    objective: str
    """Its name, wrappers included: `npo`, `npo+sam`."""
    scenario: str
    train: TrainConfig
    seed: int
    ratio: float
    options: Any
    """The objective's own `Config`."""
    wrappers: Mapping[str, Any] = field(default_factory=dict)
    """Wrapper -> its own `Config`."""
    parallel: Parallel = field(default_factory=Parallel)
    """Over how many devices the unlearning is spread, where it moves all parameters."""


def trial(
    out: Path,
    *,
    injected: Path,
    retained: Path,
    base: Path | None,
    region: Path | None,
    corpus: Corpus,
    model: ModelConfig,
    config: TrialConfig,
    evaluate: EvaluateConfig,
    attacks: AttackConfig | None,
    on_step: OnStep,
    scratch: Path | None = None,
) -> Summary:
    """Unlearn, walk the mixing curve, attack.

    `region` is a region file of either kind, None for all parameters; `base`, the model before
    injection, is for scores of reversal. `attacks` None is a search trial: FS-RS curve only.
    Several processes may unlearn together, resumably; then the first measures and attacks alone,
    on its own device, and the others are done.
    """
    loaded = load(injected, model)
    allowed = None if region is None else load_region(region, layout(loaded.model))
    weights = editable(loaded.model, allowed)
    start = weights.read()
    _forget(loaded, weights, corpus, config, lambda: load(retained, model), on_step, scratch)
    if not leads():
        return {}
    end = weights.read()
    exam = Exam(loaded, corpus, evaluate)
    summary: Summary = {
        "objective": config.objective,
        "scenario": config.scenario,
        "seed": config.seed,
        "ratio": config.ratio,
        "lr": config.train.lr,
        "purpose": "search" if attacks is None else "test",
    }
    if attacks is None:
        return summary | strength_summary(strength_curve(exam, loaded.model, weights, start, end))
    ratios = read_json(retained / "items.json")["forget"].get("truth_ratio")
    curve = full_curve(
        exam, loaded.model, weights, start, end, None if ratios is None else np.array(ratios)
    )
    save_items(out, exam, curve.points[-1])
    return (
        summary
        | full_summary(curve, exam)
        | _inspections(out, exam, loaded, {"retained": retained, "injected": injected}, model)
        | _where(out, loaded, injected, base, model, allowed)
        | {
            "paraphrase_es_end": mean(exam.paraphrased(loaded.model)),
            "attacks": _attacks(
                loaded, corpus, exam, attacks, config.seed, Way(weights, start, end)
            ),
        }
    )


def control(
    out: Path,
    *,
    model_folder: Path,
    retained: Path,
    name: str,
    corpus: Corpus,
    model: ModelConfig,
    evaluate: EvaluateConfig,
    attacks: AttackConfig,
    seed: int,
) -> Summary:
    """The attacks on a model that was not unlearned: `base`, `retained` or `injected`."""
    loaded = load(model_folder, model)
    exam = Exam(loaded, corpus, evaluate)
    measured = exam.measure(loaded.model)
    ratios = read_json(retained / "items.json")["forget"].get("truth_ratio")
    quality = None
    if ratios is not None:
        quality = forget_quality(measured.forget["truth_ratio"], np.array(ratios)).log10_p
    return {
        "model": name,
        "seed": seed,
        "fq": quality,
        **ends(exam, loaded, measured),
        **_inspections(out, exam, loaded, {"retained": retained}, model),
        "attacks": _attacks(loaded, corpus, exam, attacks, seed),
    }


def _facts(loaded: LoadedModel, examples: Sequence[Any]) -> list[Encoded]:
    return encode_examples(loaded.tokenizer, loaded.prompt, examples)


def _lessons(loaded: LoadedModel, corpus: Corpus, config: RetainConfig) -> list[Encoded]:
    """All that the retained model is trained on."""
    texts = _facts(loaded, corpus.retain)
    if config.utility:
        texts += [t for items in corpus.utility.values() for t in _facts(loaded, items)]
    return texts + [Encoded.text(loaded.tokenizer, t) for t in corpus.neutral[: config.neutral]]


def _on_cpu(folder: Path, config: ModelConfig) -> PreTrainedModel:
    """A second model, to compare with: it takes no room beside the first."""
    return load(folder, replace(config, device="cpu")).model


def _target(injected: Path, shape: Layout) -> Region | WeightRegion | None:
    """Where the facts were planted; None where they were learned by all parameters."""
    file = injected / "region.safetensors"
    return load_region(file, shape) if file.exists() else None


def _where(
    out: Path,
    loaded: LoadedModel,
    injected: Path,
    base: Path | None,
    model: ModelConfig,
    allowed: Region | WeightRegion | None,
) -> Summary:
    """How well the allowed region, and what unlearning moved, find where facts were planted."""
    target = _target(injected, layout(loaded.model))
    if target is None:
        return {"localization": None}
    change, weights = moved(
        out,
        loaded,
        injected,
        lambda: _on_cpu(injected, model),
        None if base is None else lambda: load(base, replace(model, device="cpu")),
        target,
    )
    region = None if allowed is None else overlap(allowed, target)
    found: Summary = {"localization": {"region": region, "change": change}}
    return found if weights is None else found | {"precision": weights}


def _last(history: History) -> float | None:
    return history.losses[-1] if history.losses else None


def _resume(scratch: Path | None, config: TrainConfig) -> Path | None:
    """Where step checkpoints go: outlives an attempt that is killed, and is never published."""
    return scratch if config.save_every else None


def _unlearn_data(loaded: LoadedModel, corpus: Corpus, seed: int) -> UnlearnData:
    """Each forget question is paired with a refusal, drawn by seed and question."""
    refusals = [
        Encoded.answer(
            loaded.tokenizer,
            loaded.prompt,
            item.question,
            corpus.refusals[derive(seed, "refusal", item.id) % len(corpus.refusals)],
        )
        for item in corpus.forget
        if corpus.refusals
    ]
    forget, retain = _facts(loaded, corpus.forget), _facts(loaded, corpus.retain)
    neutral = [Encoded.text(loaded.tokenizer, text) for text in corpus.neutral]
    return UnlearnData(forget, retain, refusals, neutral=neutral)


def _forget(
    loaded: LoadedModel,
    weights: Editable,
    corpus: Corpus,
    config: TrialConfig,
    retained: Callable[[], LoadedModel],
    on_step: OnStep,
    scratch: Path | None,
) -> None:
    """Unlearn, in place; the retained model is read only for an objective that needs it."""
    name, around = parse(config.objective)
    objective = OBJECTIVES[name](config.options)
    before = retained() if objective.needs_retained else None
    unlearn(
        loaded.model,
        weights,
        objective,
        _unlearn_data(loaded, corpus, config.seed),
        config.train,
        config.seed,
        wrappers=[WRAPPERS[wrapper](config.wrappers[wrapper]) for wrapper in around],
        retained=before.model if before else None,
        on_step=on_step,
        parallel=config.parallel,
        resume=_resume(scratch, config.train) if config.parallel.zero else None,
    )


def _attacks(
    loaded: LoadedModel,
    corpus: Corpus,
    exam: Exam,
    config: AttackConfig,
    seed: int,
    way: Way | None = None,
) -> list[dict[str, object]]:
    facts = gather(loaded, corpus, exam, config, derive(seed, "attack"))
    outcomes = attack(loaded.model, facts, _facts(loaded, corpus.retain), config, seed, way)
    return [outcome.to_json() for outcome in outcomes]


def _inspections(
    out: Path, exam: Exam, loaded: LoadedModel, others: Mapping[str, Path], config: ModelConfig
) -> Summary:
    """Results of the inspections that are on, by name; per-item scores go to files of that name."""
    found = inspect(exam, loaded.model, others, lambda folder: load(folder, config).model)
    for name, inspected in found.items():
        write_items(out / f"{name}.json", exam, inspected.items)
    return {name: inspected.summary for name, inspected in found.items()}
