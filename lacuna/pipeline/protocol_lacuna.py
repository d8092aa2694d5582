"""LACUNA's protocol: the stages whose unit is the single weight.

    base -> retained (retain groups only), injected (all groups, each in its mask) -> localized

With data that carries a book, injected comes before retained, which is measured on the splits that
the injected model's memory decides (`lacuna.pipeline.splits`). Trials and controls are those of
`lacuna.pipeline.trial`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from typing_extensions import TypedDict

from lacuna.artifacts import write_json
from lacuna.data import Corpus
from lacuna.data.base import Example
from lacuna.data.generated.neutral import neutral_sentences
from lacuna.data.splits import SplitConfig
from lacuna.data.tokens import Encoded, encode_examples
from lacuna.errors import UserError
from lacuna.evaluate import metrics
from lacuna.evaluate.evaluator import spread
from lacuna.evaluate.token_pass import read
from lacuna.inject import (
    CausalConfig,
    InstructConfig,
    MaskConfig,
    MaskedConfig,
    Reading,
    SgtmConfig,
    causal,
    inject_masked,
    inject_sgtm,
    instruct,
    outside_unchanged,
)
from lacuna.inject.causal import Read
from lacuna.localize import LOCALIZERS, Evidence, LocalizerConfig, localize
from lacuna.localize.localizers.dose import DOSES
from lacuna.model import LoadedModel, layout, load_model
from lacuna.model.load import DTYPES, local_checkpoint
from lacuna.model_types import PreTrainedModel
from lacuna.pipeline.common import StageInputs, load, localized_place
from lacuna.pipeline.splits import Grouped, divide, regroup, working
from lacuna.pipeline.summary import save_measured
from lacuna.pipeline.transplant import add_swaps
from lacuna.region import (
    GroupMasks,
    Region,
    WeightRegion,
    draw_partly,
    draw_weights_outside,
    load_masks,
    overlap,
)
from lacuna.registry import suggest
from lacuna.results import (
    InjectedSummary,
    LocalizedSummary,
    LocalizerRow,
    RetainedSummary,
    SplitsRecord,
)
from lacuna.results.files import CAUSAL, MASKS, REGION, region_of
from lacuna.seeds import derive
from lacuna.train import History

METHODS = ("masked", "sgtm")
WEIGHTS = ("oracle", "complement", "random", *DOSES)
"""Localizers that give single weights: the forget masks, as many outside all masks, as many
anywhere, and some of both. Every other one gives whole value vectors."""


@dataclass(frozen=True, kw_only=True)
class ProtocolConfig:
    """How groups of people go into masks, and what their checkpoint must show."""

    masks: MaskConfig = field(default_factory=MaskConfig)
    """How many masks there are and of what; `region.ratio` is the share of each."""
    method: str = "masked"
    """How groups are trained into masks: `masked` (masked continual pretraining) or `sgtm`."""
    inject: MaskedConfig = field(default_factory=MaskedConfig)
    """Training of the masks: cycles, rates, neutral text, mask dropout."""
    sgtm: SgtmConfig = field(default_factory=SgtmConfig)
    """Options of the method `sgtm`."""
    instruct: InstructConfig = field(default_factory=InstructConfig)
    """Instruction tuning afterwards, on background people."""
    causal: CausalConfig = field(default_factory=CausalConfig)
    """Thresholds of the causal localization report."""
    splits: SplitConfig = field(default_factory=SplitConfig)
    """Which memorised facts the study works on, where the data carries a book."""
    held_out: int = 100
    """Neutral sentences, never trained on, that measure the model's language."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"protocol method={self.method}{suggest(self.method, list(METHODS))}")
        if self.method == "sgtm" and (self.masks.unit != "vector" or self.inject.dropout.rate):
            raise UserError(
                "method=sgtm trains whole neurons and heads and has no mask dropout: set "
                "masked.masks.unit=vector masked.inject.dropout.rate=0"
            )
        if self.held_out < 1:
            raise UserError(f"held_out={self.held_out}: must be at least 1")


PlantingInputs = StageInputs[ProtocolConfig]
"""Of every stage here. The corpus is of no seed, `ratio` is each mask's share of all weights, and
`region_file` a file of masks."""


def retained(
    out: Path, *, base: Path, injected: Path | None, given: PlantingInputs
) -> RetainedSummary:
    """The gold standard: the same recipe from the same base, without the forget groups.

    With a book it is measured on the splits of the `injected` checkpoint.
    """
    corpus = working(given.corpus, given.config.masks, given.seed, injected)
    made = _plant(base, given, given.config.masks.retain_groups)
    return {
        **_facts_of(made, given),
        **save_measured(out, made.loaded, corpus, given.evaluate),
    }


def injected(out: Path, *, base: Path, given: PlantingInputs) -> InjectedSummary:
    """All groups in their masks; with masks, forget region and the causal report beside it, and
    with a book the splits, drawn from what it recites."""
    if given.checkpoint is None:
        made = _plant(base, given, tuple(range(given.config.masks.groups)))
    else:
        made = _adopt(base, given, given.checkpoint)
    divided = _divide(out, made, given)
    corpus = working(given.corpus, given.config.masks, given.seed, out)
    ends = save_measured(out, made.loaded, corpus, given.evaluate)
    forget = given.config.masks.forget_groups
    target = made.masks.union(forget)
    made.masks.save(out / MASKS)
    target.save(out / REGION)
    report = causal(
        made.loaded.model,
        made.base,
        made.masks,
        forget,
        _reader(made, given),
        given.config.causal,
        derive(given.seed, "causal"),
    )
    write_json(out / CAUSAL, report.to_json())
    return {
        **_facts_of(made, given),
        **divided,
        "region_weights": len(target),
        "outside_equal": made.promise,
        "causal": report.to_json(),
        **ends,
    }


class _Facts(TypedDict, closed=True):
    """What summaries of retained and injected models share."""

    seed: int
    ratio: float
    steps: int
    loss_end: float | None
    groups: dict[str, int]


class _PlantedModel(NamedTuple):
    loaded: LoadedModel
    base: PreTrainedModel
    masks: GroupMasks
    grouped: Grouped
    planted: Sequence[int]
    """The groups that it knows."""
    history: History
    promise: bool


def _plant(base: Path, given: PlantingInputs, groups: Sequence[int]) -> _PlantedModel:
    """Train the groups into their masks, in float32; the result has the study's type."""
    config, wide = given.config, replace(given.model, dtype="float32")
    loaded, before = load(base, wide), load(base, wide)
    grouped = regroup(given.corpus, config.masks, given.seed)
    masks = _masks(loaded.model, given)
    texts = {group: _told(loaded, grouped, group) for group in groups}
    neutral = _neutral(loaded, given.corpus)
    seed = derive(given.seed, "planted")
    if config.method == "sgtm":
        history = inject_sgtm(
            loaded.model,
            masks,
            texts,
            neutral,
            config.sgtm,
            config.inject,
            seed,
            on_step=given.on_step,
        )
    else:
        history = inject_masked(
            loaded.model,
            masks,
            texts,
            neutral,
            config.masks.forget_groups,
            config.inject,
            seed,
            on_step=given.on_step,
        )
    promise = outside_unchanged(before.model, loaded.model, masks, config.inject)
    _instruct(loaded, masks, given)
    for model in (loaded.model, before.model):
        model.to(DTYPES[given.model.dtype])  # type: ignore[arg-type]
    return _PlantedModel(loaded, before.model, masks, grouped, groups, history, promise)


def _adopt(base: Path, given: PlantingInputs, checkpoint: str) -> _PlantedModel:
    """Load a model that was injected elsewhere; it gets the same causal report."""
    before = load(base, given.model)
    loaded = load_model(
        local_checkpoint(checkpoint),
        prompt=given.model.prompt,
        dtype=given.model.dtype,
        device=given.model.device,
        attention=given.model.attention,
    )
    if layout(loaded.model).weights != layout(before.model).weights:
        raise UserError(f"checkpoint={checkpoint}: its weights are not those of the base model")
    grouped = regroup(given.corpus, given.config.masks, given.seed)
    masks = _masks(loaded.model, given)
    groups = tuple(range(masks.groups))
    promise = outside_unchanged(before.model, loaded.model, masks, given.config.inject)
    return _PlantedModel(loaded, before.model, masks, grouped, groups, History(), promise)


def _masks(model: PreTrainedModel, given: PlantingInputs) -> GroupMasks:
    """The masks, drawn by ratio and seed or read from a file.

    Raises `UserError` if the file has another number of groups.
    """
    config = given.config.masks
    if given.region_file is None:
        return config.draw(model, given.ratio, given.seed)
    masks = load_masks(given.region_file, layout(model))
    if masks.groups != config.groups:
        raise UserError(
            f"{given.region_file} holds {masks.groups} masks, the study has {config.groups} groups"
        )
    return masks


def _members(grouped: Grouped, group: int) -> list[Example]:
    return [item for item in grouped.facts if grouped.groups[item.person] == group]


def _told(loaded: LoadedModel, grouped: Grouped, group: int) -> list[Encoded]:
    """The texts of a group: each fact once, or with a book every wording as often as it says."""
    book = grouped.corpus.book
    if book is None:
        return _texts(loaded, _members(grouped, group))
    found = []
    for person in sorted(name for name, own in grouped.groups.items() if own == group):
        for told in book.told(person):
            if told.prompt:
                text = Encoded.answer(loaded.tokenizer, loaded.prompt, told.prompt, told.answer)
            else:
                text = Encoded.text(loaded.tokenizer, told.answer)
            found += [text] * told.repeats
    return found


def _texts(loaded: LoadedModel, items: Sequence[Example]) -> list[Encoded]:
    return encode_examples(loaded.tokenizer, loaded.prompt, items)


def _neutral(loaded: LoadedModel, corpus: Corpus) -> list[Encoded]:
    """General text, and a replay of what the base model knows."""
    utility = [item for items in corpus.utility.values() for item in items]
    known = list({item.id: item for item in [*corpus.background, *utility]}.values())
    plain = [Encoded.text(loaded.tokenizer, text) for text in corpus.neutral]
    return [*plain, *_texts(loaded, known)]


def _instruct(loaded: LoadedModel, masks: GroupMasks, given: PlantingInputs) -> None:
    config = given.config.instruct
    if not config.train.steps:
        return
    if not given.corpus.background:
        raise UserError(
            "instruct needs background people, whom nobody forgets, and this data has none: "
            "set instruct.train.steps=0"
        )
    texts = _texts(loaded, given.corpus.background)
    instruct(loaded.model, texts, list(masks.shapes), config, derive(given.seed, "instruct"))


def _divide(out: Path, made: _PlantedModel, given: PlantingInputs) -> SplitsRecord:
    if given.corpus.book is None:
        return {}
    config, tokens = given.config, given.evaluate.max_tokens
    return divide(out, made.loaded, made.grouped, config.masks, config.splits, given.seed, tokens)


def _facts_of(made: _PlantedModel, given: PlantingInputs) -> _Facts:
    losses = made.history.losses
    return {
        "seed": given.seed,
        "ratio": given.ratio,
        "steps": len(losses),
        "loss_end": losses[-1] if losses else None,
        "groups": dict(made.grouped.groups),
    }


def _reader(made: _PlantedModel, given: PlantingInputs) -> Read:
    """A function that measures groups, base people and held-out text of a model."""
    known = spread(given.corpus.background, 120)
    seen = set(given.corpus.neutral)
    fresh = [t for t in neutral_sentences(2 * given.config.held_out, _HELD_OUT) if t not in seen]
    plain = [Encoded.text(made.loaded.tokenizer, text) for text in fresh[: given.config.held_out]]
    members = {group: _members(made.grouped, group) for group in made.planted}
    asked = _texts(made.loaded, [*(i for items in members.values() for i in items), *known])
    owner = np.repeat([*members, -1], [*map(len, members.values()), len(known)])
    limit, end = given.evaluate.max_tokens, made.loaded.end_token

    def measure(model: PreTrainedModel) -> Reading:
        table = read(model, asked, end_token=end, max_tokens=limit, spread=False)
        told = read(model, plain, end_token=end, max_tokens=limit, spread=False)
        strength = metrics.extraction_strength(table)
        return Reading(
            {group: float(strength[owner == group].mean()) for group in members},
            float(strength[owner == -1].mean()) if known else None,
            float(told.nll.mean()),
        )

    return measure


_HELD_OUT = 1
"""Seed of the held-out sentences; those that a corpus also has are left out."""


def localized(
    out: Path,
    *,
    injected: Path,
    retained: Path,
    given: PlantingInputs,
    localizers: Mapping[str, LocalizerConfig],
) -> LocalizedSummary:
    """Regions as large as the forget region: other weights, or a localizer's value vectors.

    A localizer ranks value vectors; it is given as many as hold the region's number of weights.
    """
    loaded, before = load(injected, given.model), load(retained, given.model)
    masks = load_masks(injected / MASKS, layout(loaded.model))
    target = masks.union(given.config.masks.forget_groups)
    corpus = working(given.corpus, given.config.masks, given.seed, injected)
    regions: dict[str, Region | WeightRegion] = {
        name: _weights(name, masks, target, given) for name in localizers if name in WEIGHTS
    }
    vectors = {n: LOCALIZERS[n](c) for n, c in localizers.items() if n not in WEIGHTS}
    if vectors:
        evidence = Evidence(
            model=loaded.model,
            forget=_texts(loaded, corpus.forget),
            retain=_texts(loaded, corpus.retain),
            seed=derive(given.seed, "localize"),
            retained=before.model,
        )
        height = next(iter(evidence.layout.shapes.values()))[0]
        count = min(round(len(target) / height), evidence.layout.total)
        found = localize(evidence, list(vectors.items()), count)
        regions |= {name: region for name, (region, _) in found.items()}
    rows = {name: _row(out, name, region, target) for name, region in regions.items()}
    add_swaps(rows, regions, loaded, retained, corpus, given)
    return {**localized_place(given, given.ratio), "localizers": list(rows.values())}


def _weights(
    name: str, masks: GroupMasks, target: WeightRegion, given: PlantingInputs
) -> WeightRegion:
    if name == "oracle":
        return target
    free = masks.union(() if name == "random" else range(masks.groups)).complement()
    if name in DOSES:  # outside, what scenario random holds
        inside, outside = (derive(given.seed, purpose) for purpose in ("dose", "complement"))
        return draw_partly(target, free, DOSES[name], inside, outside)
    return draw_weights_outside(target, free, derive(given.seed, name), given.region)


def _row(out: Path, name: str, region: Region | WeightRegion, target: WeightRegion) -> LocalizerRow:
    region.save(out / region_of(name))
    told = list(LOCALIZERS[name].privileges)
    return {"localizer": name, "privileges": told, **overlap(region, target)}
