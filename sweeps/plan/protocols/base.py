"""Protocols: how facts get into models, and what follows from that for a study.

A protocol is one file: what its retained and injected stages depend on and stand on, what it
refuses and which localizers cannot work under it, what its stages cost, and how a worker runs them.
It registers itself; planner, costs and workers ask it, and know none by its name. Protocols of
other packages are found by an entry point (`lacuna.registry`).
"""

import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from lacuna.artifacts import JsonObject
from lacuna.data import Corpus
from lacuna.evaluate import EvaluateConfig
from lacuna.model import Layout
from lacuna.registry import Registry
from lacuna.results import InjectedSummary, LocalizedSummary, RetainedSummary
from lacuna.train import ONE_DEVICE, Parallel
from sweeps.config.schema import Study
from sweeps.plan.costs.memory import Memory, Size
from sweeps.plan.costs.texts import StudyTexts
from sweeps.plan.protocols.job import Job
from sweeps.stage import Stage

SCENARIO_LOCALIZER = {"random": "complement", "uniform": "random"}
"""Lee et al.'s Random region lies outside the target region, where there is one; `uniform` lies
anywhere. Other scenarios are named after their localizer."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What one stage adds to what all stages of a study share."""

    label: str
    """For people: `injected seed=1 ratio=0.1`."""
    params: JsonObject
    """What its result depends on."""
    parents: Mapping[str, Stage]
    """Role -> the stage whose result is read."""
    tags: Mapping[str, object]
    """Columns of the tracking UI."""
    context: JsonObject = field(default_factory=dict)
    """What a worker needs but the result does not depend on."""
    parallel: Parallel = ONE_DEVICE
    """Over how many devices it trains."""


def evaluate_params(config: EvaluateConfig, transplants: bool = False) -> JsonObject:
    """What is asked of a stage's model, as its parameters.

    With `transplants` where the stage exchanges regions: only there, and only where the study asks
    for it, it is a part of the key. Rescalings are asked of localizers alone.
    """
    params = asdict(config)
    del params["rescalings"]
    if not (transplants and config.transplant):
        del params["transplant"]
    if not config.depth:  # came after results with keys
        del params["depth"]
    return params


class Stages(typing.Protocol):
    """The other stages of a study, for a protocol's to stand on."""

    def base(self) -> Stage:
        """theta_p."""

    def retained(self, seed: int) -> Stage:
        """theta_r."""

    def injected(self, seed: int, ratio: float) -> Stage:
        """theta_o."""


class Protocol(ABC):
    """One way to plant facts, in one study."""

    units: ClassVar[Sequence[str]] = ("vector",)
    """What its regions can be made of (`region.unit`)."""
    rescales: ClassVar[bool] = False
    """Whether it plants into value vectors that can be rescaled (`lacuna.region.gauge`)."""
    adopts: ClassVar[bool] = False
    """Can start from somebody else's injected model (`checkpoint`)."""
    one_device: ClassVar[Mapping[str, str]] = {}
    """Kinds of stages that cannot be spread over devices -> why, and the way out."""
    compact: ClassVar[bool] = True
    """Trains a region's weights only, and no others, when it injects."""
    controls: ClassVar[Sequence[str]] = ("retained",)
    """Models that are attacked beside the injected one: `base`, `retained`."""

    def __init__(self, config: Study, corpus: Corpus, layout: Layout) -> None:
        """`layout` has the model's value vectors, known before any weight is loaded."""
        self.config, self.corpus, self.layout = config, corpus, layout

    # Its stages

    @abstractmethod
    def retained(self, stages: Stages, seed: int) -> Draft:
        """theta_r, which knows the facts to keep and never read the others."""

    @abstractmethod
    def injected(self, stages: Stages, seed: int, ratio: float) -> Draft:
        """theta_o, which knows all facts."""

    def localized(self, ratio: float) -> JsonObject:
        """What regions depend on, besides localizers, seed and both models."""
        return {}

    def split(self) -> JsonObject:
        """What decides whose facts a trial forgets, where that is not the corpus alone."""
        return {}

    def split_parents(self, stages: Stages, seed: int, ratio: float) -> Mapping[str, Stage]:
        """The stages whose results decide whose facts are forgotten, by role."""
        return {}

    def trial_parents(self, stages: Stages, purpose: str) -> Mapping[str, Stage]:
        """What a trial reads besides the injected and retained model and its region, by role."""
        return {}

    def tuned_on(self) -> Sequence[str | None]:
        """Fields whose validation splits learning rates are chosen on; None is the main split."""
        return [None]

    # What it allows

    @abstractmethod
    def check(self) -> None:
        """Raises `UserError` for what cannot work under this protocol, before anything trains."""

    @abstractmethod
    def room(self) -> int:
        """Random regions that fit beside each other and the target region (config `regions`)."""

    def unfit(self, localizer: str) -> str | None:
        """Why a localizer cannot be asked, or None."""
        return None

    def localizer(self, scenario: str) -> str:
        """The localizer that gives a scenario its region."""
        return SCENARIO_LOCALIZER.get(scenario, scenario)

    def localized_scenarios(self) -> list[str]:
        """The study's scenarios that take their region from a localizer."""
        return [name for name in self.config.scenarios if name not in ("oracle", "full")]

    def scenario_localizers(self) -> list[str]:
        """Localizers that give the study's scenarios their regions."""
        return [self.localizer(name) for name in self.localized_scenarios()]

    # What it takes

    @abstractmethod
    def region_weights(self, model: int, values: int) -> int:
        """Weights of the largest region, of a model with so many weights, of value vectors."""

    def region_text(self, size: Size) -> str:
        """A region's size, for people."""
        vectors = size.region // next(iter(self.layout.shapes.values()))[0]
        return f"{vectors:,} of {self.layout.total:,} value vectors, {size.region:,} weights"

    @abstractmethod
    def work(self, stage: Stage, texts: StudyTexts) -> float:
        """Passes of a whole retained or injected stage (`lacuna.costs`)."""

    def training(self, stage: Stage, texts: StudyTexts) -> float:
        """Those of its passes that several devices share."""
        return 0.0

    @abstractmethod
    def memory(self, stage: Stage, model: Memory) -> float:
        """Bytes per device of a retained or injected stage, at the peak."""

    def disk(self, stage: Stage, model: Memory) -> float:
        """Bytes that a retained or injected stage leaves, or resumes from."""
        return model.weights

    # At work, in a worker

    @staticmethod
    def facts(job: Job) -> Corpus:
        """The corpus with what a trial or control forgets and retains."""
        return job.corpus

    @staticmethod
    @abstractmethod
    def retain(job: Job) -> RetainedSummary | None:
        """Do a retained stage."""

    @staticmethod
    @abstractmethod
    def inject(job: Job) -> InjectedSummary | None:
        """Do an injected stage."""

    @staticmethod
    @abstractmethod
    def localize(job: Job) -> LocalizedSummary:
        """Do a localized stage."""


PROTOCOLS: Registry[type[Protocol]] = Registry("protocol")
"""Maps a protocol's name, as in `protocol=lee`, to its class."""
