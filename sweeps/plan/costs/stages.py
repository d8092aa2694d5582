"""Work, memory and disk of a stage, from its configuration and the length of its texts.

Work is counted in passes (`lacuna.costs`): one of N weights is 2 N FLOP. Protocols and methods say
themselves what they take. The memory of an edit is that of a training; inspections are not counted.
"""

import math
from collections.abc import Iterable

from lacuna import attack
from lacuna.costs import ALL, READ, REGION
from lacuna.localize import LOCALIZERS, Localizer, LocalizerConfig
from lacuna.localize.evidence import Statistic
from lacuna.train import ONE_DEVICE, Parallel, TrainConfig
from lacuna.unlearn import OBJECTIVES, WRAPPERS, Method, Wrapper, parse
from sweeps.config.schema import build
from sweeps.plan.costs.memory import BYTES, RESUME_BYTES, Memory, Size
from sweeps.plan.costs.texts import StudyTexts
from sweeps.plan.stages import StageFactory
from sweeps.stage import Stage

TRANSPLANT = 6
"""Models that are asked the forget questions for one transplant record."""


class Costs:
    """Work, memory and disk of a stage of a planned study."""

    def __init__(self, stages: StageFactory, size: Size) -> None:
        self.config, self.protocol, self.size = stages.config, stages.protocol, size
        indexed = self.config.region.unit == "weight"
        self.bytes = Memory(size, BYTES[self.config.model.dtype], indexed)
        self.texts = StudyTexts(self.config, stages.corpus)
        self.load = self.texts.workload(size.layers)

    def flop(self, stage: Stage) -> float:
        """Floating-point operations of the whole stage."""
        return 2 * self.size.model * self._work(stage)

    def _work(self, stage: Stage) -> float:
        """Passes of the whole stage."""
        if stage.kind == "base":
            return self._pretraining()
        if stage.kind == "localized":
            localizers = self._localizers(stage)
            shared = sum(asked.work(self.load) for asked in _statistics(localizers))
            exchanged = self._exchanged(stage, 2 * len(localizers) + 2)
            asked = shared + sum(localizer.work(self.load) for localizer in localizers)
            gauges = int(str(stage.params.get("rescalings", 0)))
            return asked * (gauges + 2 if gauges else 1) + exchanged  # balanced, too, and as it is
        if stage.kind == "trial":
            return self._unlearning(stage) + self._measuring(stage)
        if stage.kind == "control":
            measured = READ * self.texts.everything + self._exchanged(stage, 2 * TRANSPLANT)
            return measured + attack.work(self.config.attack, self.load)
        return self.protocol.work(stage, self.texts)

    def shared(self, stage: Stage) -> float:
        """FLOP that the devices of a spread stage share; the first does the rest alone."""
        if not stage.workers:
            return 0.0
        if stage.kind == "trial":
            return 2 * self.size.model * self._unlearning(stage)
        return 2 * self.size.model * self.protocol.training(stage, self.texts)

    def memory(self, stage: Stage) -> float:
        """Bytes per device of weights, gradients, optimizer states and copies at the peak."""
        if stage.kind == "base":
            return self.bytes.trained() if self._embedded else 0.0
        if stage.kind == "localized":
            matrices = sum(asked.matrices for asked in _statistics(self._localizers(stage)))
            return self.bytes.weights + 4 * matrices * self.size.values
        if stage.kind == "trial":
            return self._trial_memory(stage)
        if stage.kind == "control":
            return self._attack_memory()
        return self.protocol.memory(stage, self.bytes)

    def disk(self, stage: Stage) -> float:
        """Bytes of the model a stage saves, and of what it resumes from while it trains."""
        if stage.kind == "base":
            return self.bytes.weights if self._embedded else 0.0
        if stage.kind == "trial":
            resumed = stage.workers and self.config.unlearn.train.save_every
            return float(RESUME_BYTES * self.size.model) if resumed else 0.0
        if stage.kind in ("localized", "control"):
            return 0.0
        return self.protocol.disk(stage, self.bytes)

    @property
    def _embedded(self) -> bool:
        return self.config.model.source is None

    def _pretraining(self) -> float:
        if not self._embedded:
            return 0.0
        known = [*self.texts.corpus.background, *self.texts.utility]
        read = self.texts.lengths(known) + self.texts.neutral
        return ALL * self.texts.trained(self.config.model.pretrain, read)

    def _unlearning(self, trial: Stage) -> float:
        train = build(TrainConfig, trial.param("train", dict))
        gradient = ALL if trial.params["scenario"] == "full" else REGION
        wrappers = self._wrappers(trial)
        work = self._method(trial).work(self.load, train, gradient)
        work += sum(wrapper.scoring(self.load, gradient) for wrapper in wrappers)
        passes = math.prod(wrapper.passes for wrapper in wrappers)
        if passes > 1:
            work += gradient * passes * self.load.forget.drawn(train.texts)
        return work

    def _measuring(self, trial: Stage) -> float:
        """The mixing curve and, of a test trial, the attacks."""
        alphas = self.config.evaluate.alphas
        if trial.params["attack"] is None:
            return READ * alphas * self.texts.strength
        attacks = attack.work(self.config.attack, self.load)
        return READ * alphas * self.texts.everything + attacks + self._exchanged(trial, TRANSPLANT)

    def _exchanged(self, stage: Stage, models: int) -> float:
        """So many models asked the forget questions, where the stage exchanges regions."""
        return READ * models * self.texts.forget if _exchanges(stage) else 0.0

    def _trial_memory(self, trial: Stage) -> float:
        weights, method = self.bytes.weights, self._method(trial)
        full = trial.params["scenario"] == "full"
        copy = weights if full else 0.0  # of what may change; of a region it is small
        peak = self._held(trial) + (weights if method.needs_retained else 0.0)
        if full:
            peak += self.bytes.trained(self._parallel(trial)) + copy
        else:
            peak += weights + self.bytes.region
        peak += copy if method.keeps_original else 0.0
        if trial.params["attack"] is None:
            return peak
        other = weights if _exchanges(trial) else 0.0
        # both ends of the curve outlive it
        return max(peak, max(self._attack_memory(), weights + other) + 2 * copy)

    def _attack_memory(self) -> float:
        """Bytes while a model is attacked."""
        model, training = self.bytes.weights, self.bytes.trained()
        attacks = attack.asked(self.config.attack).values()
        taken = (each.copies * model + (training if each.trains_all else model) for each in attacks)
        return max(taken, default=model)

    def _held(self, trial: Stage) -> float:
        """Bytes of the float32 copies that method and wrappers keep beside the weights."""
        everywhere = trial.params["scenario"] == "full"
        moved = self.size.model if everywhere else self.size.region
        held = self._method(trial).copies * moved
        for wrapper in self._wrappers(trial):
            reach = getattr(wrapper.config, "reach", "editable")
            held += wrapper.copies * (self.size.model if reach == "all" else moved)
        return 4.0 * held

    def _parallel(self, trial: Stage) -> Parallel:
        return self.config.unlearn.parallel if trial.workers else ONE_DEVICE

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


def _exchanges(stage: Stage) -> bool:
    """Whether the stage puts a region of one model into another."""
    return "evaluate" in stage.params and "transplant" in stage.param("evaluate", dict)


def _statistics(localizers: Iterable[Localizer]) -> list[Statistic]:
    """What localizers ask of the evidence, which computes it once for all of them."""
    return list(dict.fromkeys(asked for one in localizers for asked in one.statistics))
