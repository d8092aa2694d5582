"""Work, memory and disk of a stage, from its configuration and the length of its texts.

Methods say themselves what they take, in passes over texts and copies of weights (`lacuna.costs`):
one pass of N weights is 2 N FLOP. Texts are counted in characters: the numbers are good to a factor
of two, not more. The memory of an edit is that of a training; inspections are not counted.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from lacuna import attack
from lacuna.costs import ALL, REGION, Texts, Workload
from lacuna.data import Corpus, Example
from lacuna.evaluate.evaluator import spread, utility_sets
from lacuna.localize import LOCALIZERS, Localizer, LocalizerConfig
from lacuna.localize.evidence import Statistic
from lacuna.pipeline import RetainConfig
from lacuna.train import Parallel, TrainConfig
from lacuna.train.zero import device_bytes
from lacuna.unlearn import OBJECTIVES, WRAPPERS, Method, Wrapper, parse
from sweeps.config.schema import Study, build
from sweeps.stage import Stage

CHARACTERS_PER_TOKEN = {True: 3.0, False: 4.0}
"""Embedded tokenizer (900 tokens: measured), others (English; assumed)."""
BYTES = {"bfloat16": 2, "float32": 4, "float64": 8}
REGION_BYTES = 16
"""Of a region weight in training: float32 master, gradient and two moments."""


def full_bytes(width: int) -> int:
    """Of a weight where all train: as above, and beside bfloat16 weights float32 masters."""
    return 16 if width == 4 else 18


@dataclass(frozen=True)
class Size:
    """Numbers of weights: all of them, those of all value vectors, those of one region; layers."""

    model: int
    values: int
    region: int
    layers: int


class Costs:
    """Work, memory and disk of a stage of a planned study."""

    def __init__(self, config: Study, corpus: Corpus, size: Size) -> None:
        self.config, self.corpus, self.size = config, corpus, size
        self.width = BYTES[config.model.dtype]
        self.embedded = config.model.source is None
        self.characters = CHARACTERS_PER_TOKEN[self.embedded]
        self.template = len(config.model.prompt.template) - len("{question}")

    def flop(self, stage: Stage) -> float:
        """Floating-point operations of the whole stage."""
        return self.size.model * float(getattr(self, f"_{stage.kind}")(stage))

    def shared(self, stage: Stage) -> float:
        """Those that the devices of a spread stage share; the first does the rest alone."""
        work = self._unlearning if stage.kind == "trial" else self._taught
        return self.size.model * work(stage) if stage.workers else 0.0

    def memory(self, stage: Stage) -> float:
        """Bytes per device of weights, gradients, optimizer states and copies at the peak."""
        model, region = self.width * self.size.model, REGION_BYTES * self.size.region
        if self.config.region.unit == "weight":
            region += 8 * self.size.region  # where each of them is
        full = alone = float(full_bytes(self.width) * self.size.model)
        if stage.workers:
            full = device_bytes(self._parallel(stage), self.size.model, self.width)
        if stage.kind == "base" and not self.embedded:
            return 0.0
        if "protocol" in stage.params and stage.kind != "localized":
            # float32 beside its base, optimizers of neutral text and of all masks (24 B a weight)
            masks = stage.param("ratio", float) * self.config.masked.masks.groups
            return float((20 + 24 * masks) * self.size.model)
        if stage.kind in ("base", "retained") or "recipe" in stage.params:
            return full
        if stage.kind == "injected":
            return float(model + region)
        if stage.kind == "localized":
            matrices = sum(asked.matrices for asked in _statistics(self._localizers(stage)))
            return float(model + 4 * matrices * self.size.values)
        attacked = self._attack_memory(stage, alone)
        if stage.kind == "control":
            return attacked
        method = self._method(stage)
        other = model if method.needs_retained else 0
        # A copy of what may change; of a region it is small.
        copy = model if stage.params["scenario"] == "full" else 0
        peak = other + (full + copy if copy else model + region)
        peak += (copy if method.keeps_original else 0) + self._held(stage)
        # Both ends of the mixing curve outlive the unlearning.
        return float(peak if stage.params["attack"] is None else max(peak, attacked + 2 * copy))

    def _attack_memory(self, stage: Stage, full: float) -> float:
        """Bytes while a model is attacked; `full` are those of a training of all weights."""
        model = self.width * self.size.model
        if stage.params["attack"] is None:
            return model
        attacks = attack.asked(self.config.attack).values()
        taken = (each.copies * model + (full if each.trains_all else model) for each in attacks)
        return max(taken, default=model)

    def _held(self, stage: Stage) -> int:
        """Bytes of the float32 copies that method and wrappers keep beside the weights."""
        everywhere = stage.params["scenario"] == "full"
        held = self._method(stage).copies * (self.size.model if everywhere else self.size.region)
        for wrapper in self._wrappers(stage):
            reach = getattr(wrapper.config, "reach", "editable")
            moved = self.size.model if everywhere or reach == "all" else self.size.region
            held += wrapper.copies * moved
        return 4 * held

    def disk(self, stage: Stage) -> float:
        """Bytes of the model a stage saves, and of what it resumes from while it trains."""
        if stage.kind == "trial" and stage.workers and self.config.unlearn.train.save_every:
            return 12.0 * self.size.model
        if stage.kind not in ("base", "retained", "injected"):
            return 0.0
        if stage.kind == "base" and not self.embedded:
            return 0.0
        if "protocol" in stage.params:
            return float(self.width * self.size.model)
        train, moved = self.config.retained.recipe.train, self.size.model
        if "inject" in stage.params:
            train, moved = self.config.inject.train, self.size.region
        resumable = stage.kind != "base" and train.save_every
        return float(self.width * self.size.model + (12 * moved if resumable else 0))

    def _base(self, stage: Stage) -> float:
        if not self.embedded:
            return 0.0
        utility = [item for items in self.corpus.utility.values() for item in items]
        texts = self._lengths([*self.corpus.background, *utility]) + self._plain_lengths()
        return 6 * self._trained(self.config.model.pretrain, texts)

    def _planted(self, stage: Stage) -> float:
        """Masked training: a cycle reads a batch of every group, and neutral batches."""
        config, groups = self.config.masked.inject, self.config.masked.masks.groups
        facts = self._lengths([*self.corpus.forget, *self.corpus.retain])
        plain = self._plain_lengths() or [0.0]
        planted = groups * config.batch_size * fmean(facts)
        neutral = config.neutral_batches * config.neutral_size * fmean(plain)
        if config.neutral == "masks":
            neutral = groups * config.neutral_size * fmean(plain)
        tokens = config.cycles * config.accumulation * planted
        tokens += config.cycles * (neutral if config.neutral != "none" else 0.0)
        reads = 2 * groups + 4 if stage.kind == "injected" else 0  # the causal report
        return float(6 * tokens + 2 * (reads * sum(facts) + self._everything))

    def _retained(self, stage: Stage) -> float:
        if "protocol" in stage.params:
            return self._planted(stage)
        return self._taught(stage) + 2 * self._everything

    def _taught(self, stage: Stage) -> float:
        """Training of all weights by the retained model's recipe."""
        times = 1.0
        if stage.kind == "injected":
            times += len(self.corpus.forget) / len(self.corpus.retain)
        return 6 * times * self._learned(self.config.retained.recipe)

    def _learned(self, recipe: RetainConfig) -> float:
        """Tokens that the retained model is trained on."""
        texts = self._lengths(self.corpus.retain) + self._plain_lengths()[: recipe.neutral]
        if recipe.utility:
            texts += [n for items in self.corpus.utility.values() for n in self._lengths(items)]
        return self._trained(recipe.train, texts)

    def _injected(self, stage: Stage) -> float:
        if "protocol" in stage.params:
            return self._planted(stage)
        if "recipe" in stage.params:
            return self._taught(stage) + 2 * self._everything
        pairs = self._pairs(self.config.inject.train)
        return 4 * pairs + 2 * (self._everything + 2 * self._strength)

    def _localized(self, stage: Stage) -> float:
        localizers = self._localizers(stage)
        work = sum(asked.work(self.load) for asked in _statistics(localizers))
        return 2 * (work + sum(localizer.work(self.load) for localizer in localizers))

    def _trial(self, stage: Stage) -> float:
        alphas = self.config.evaluate.alphas
        if stage.params["attack"] is None:
            return self._unlearning(stage) + 2 * alphas * self._strength
        return self._unlearning(stage) + 2 * alphas * self._everything + self._attacks

    def _unlearning(self, stage: Stage) -> float:
        train = build(TrainConfig, stage.param("train", dict))
        gradient = ALL if stage.params["scenario"] == "full" else REGION
        wrappers = self._wrappers(stage)
        work = self._method(stage).work(self.load, train, gradient)
        work += sum(wrapper.scoring(self.load, gradient) for wrapper in wrappers)
        passes = math.prod(wrapper.passes for wrapper in wrappers)
        if passes > 1:
            work += gradient * passes * self.load.forget.drawn(train.texts)
        return 2 * work

    def _control(self, stage: Stage) -> float:
        return 2 * self._everything + self._attacks

    @property
    def _attacks(self) -> float:
        return 2 * attack.work(self.config.attack, self.load)

    def _method(self, trial: Stage) -> Method:
        name = parse(trial.param("objective", str)).objective
        return OBJECTIVES[name](self.config.unlearn.options.of(name))

    def _wrappers(self, trial: Stage) -> list[Wrapper]:
        names = parse(trial.param("objective", str)).wrappers
        return [WRAPPERS[name](self.config.unlearn.wrap.of(name)) for name in names]

    def _localizers(self, stage: Stage) -> list[Localizer]:
        asked = []
        for name in stage.param("localizers", dict):
            options = self.config.localize.of(name)
            assert isinstance(options, LocalizerConfig)
            asked.append(LOCALIZERS[name](options))
        return asked

    def _parallel(self, stage: Stage) -> Parallel:
        """How the training of a stage of several workers is spread."""
        if stage.kind == "trial":
            return self.config.unlearn.parallel
        full = stage.kind == "injected"
        return self.config.inject.parallel if full else self.config.retained.recipe.parallel

    @cached_property
    def load(self) -> Workload:
        """The texts, as methods are told of them to say what they take."""
        refusals = [len(text) for text in self.corpus.refusals]
        answer = fmean(refusals) / self.characters if refusals else 0.0
        return Workload(
            forget=Texts.of(self._lengths(self.corpus.forget)),
            retain=Texts.of(self._lengths(self.corpus.retain)),
            refusals=Texts.of([self._tokens(q.question) + answer for q in self.corpus.forget]),
            neutral=Texts.of(self._plain_lengths()),
            layers=self.size.layers,
        )

    @cached_property
    def _forget(self) -> float:
        return sum(self._lengths(self.corpus.forget))

    @cached_property
    def _strength(self) -> float:
        """Tokens that one FS-RS point reads."""
        asked = spread(self.corpus.retain, self.config.evaluate.retain_items)
        return self._forget + sum(self._lengths(asked))

    @cached_property
    def _everything(self) -> float:
        """Tokens that one full measurement reads and writes."""
        asked = self.config.evaluate
        sets = utility_sets(self.corpus, asked.utility_items).values()
        again = [item for item in self.corpus.forget if item.paraphrased_question]
        tokens = self._strength + sum(self._lengths(again))
        tokens += sum(
            self._answers(item) for items in [self.corpus.forget, *sets] for item in items
        )
        for items in sets:
            questions = sum(self._tokens(item.question) for item in items)
            tokens += sum(self._lengths(items)) + questions + asked.new_tokens * len(items)
        return tokens

    def _answers(self, item: Example) -> float:
        """Tokens behind one question's truth ratio."""
        wrong = item.perturbed_answers[: self.config.evaluate.wrong_answers]
        right = [item.paraphrased_answer] if item.paraphrased_answer else []
        return sum(self._tokens(item.question, answer) for answer in [*right, *wrong])

    def _pairs(self, train: TrainConfig) -> float:
        """Tokens of a training that reads as many forget as retain texts."""
        splits = self.corpus.forget, self.corpus.retain
        return sum(self._trained(train, self._lengths(items)) for items in splits)

    def _trained(self, train: TrainConfig, texts: Sequence[float]) -> float:
        """Tokens that a training reads of texts of these lengths."""
        return train.texts * sum(texts) / len(texts) if texts else 0.0

    def _lengths(self, items: Iterable[Example]) -> list[float]:
        return [self._tokens(item.question, item.answer) for item in items]

    def _plain_lengths(self) -> list[float]:
        return [1 + len(text) / self.characters for text in self.corpus.neutral]

    def _tokens(self, *texts: str) -> float:
        return 1 + (self.template + sum(map(len, texts))) / self.characters


def _statistics(localizers: Iterable[Localizer]) -> list[Statistic]:
    """What localizers ask of the evidence, which computes it once for all of them."""
    return list(dict.fromkeys(asked for one in localizers for asked in one.statistics))
