"""From a stage's plain values to the library's functions; runs inside a worker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from lacuna.data import Corpus
from lacuna.errors import UserError
from lacuna.evaluate import EvaluateConfig
from lacuna.inject import InjectConfig, MaskConfig
from lacuna.localize import LOCALIZERS
from lacuna.pipeline import (
    ModelConfig,
    PlantingInputs,
    ProtocolConfig,
    RetainConfig,
    TrialConfig,
    protocol_lacuna,
    protocol_lee,
    trial,
)
from lacuna.pipeline.splits import working
from lacuna.results import Summary
from lacuna.train import ONE_DEVICE, OnStep, Parallel, TrainConfig
from lacuna.unlearn import OBJECTIVES, WRAPPERS, parse
from sweeps.config.schema import build, build_attack
from sweeps.plan.corpus import load_corpus
from sweeps.stage import Stage

T = TypeVar("T")
Inputs = Mapping[str, Path]


@dataclass(frozen=True)
class Job:
    """A stage at work: what it reads and writes, and its parameters as the library takes them."""

    stage: Stage
    inputs: Inputs
    """Role -> folder of a parent stage's result."""
    out: Path
    on_step: OnStep

    def config(self, name: str, kind: type[T]) -> T:
        """One of the parameters, as the record that it was made from."""
        return build(kind, self.stage.param(name, dict))

    @property
    def seed(self) -> int:
        """Seed of the stage's random draws."""
        return self.stage.param("seed", int)

    @property
    def evaluate(self) -> EvaluateConfig:
        """What is asked of the model."""
        return self.config("evaluate", EvaluateConfig)

    @property
    def model(self) -> ModelConfig:
        """The model, where it is from here, on the device that was counted for the stage."""
        config, device = self.config("model", ModelConfig), self.stage.path("device")
        if device is None or (device == "auto" and not self.stage.gpus):
            device = "cpu"  # a GPU that nobody counted may be another stage's
        return replace(config, source=self.stage.path("source"), device=device)

    @property
    def scratch(self) -> Path | None:
        """A folder for what the stage can resume from; it outlives an attempt that is killed."""
        return _folder(self.stage.path("scratch"))

    @property
    def region_file(self) -> Path | None:
        """The region or masks that a study brings along."""
        return _folder(self.stage.path("region_file"))

    @cached_property
    def planned_corpus(self) -> Corpus:
        """The study's corpus. Raises `UserError` where the data here is not what was planned."""
        stage, data = self.stage, self.stage.context["data"]
        assert isinstance(data, Mapping)
        corpus, planned = load_corpus(data, bool(stage.context["embedded"])), stage.params["corpus"]
        if corpus.digest() != planned:
            raise UserError(
                f"{stage.label}: the data here differs from the data that was planned with "
                f"(digest {corpus.digest()[:12]}, planned {str(planned)[:12]})"
            )
        return corpus

    @property
    def corpus(self) -> Corpus:
        """The planned corpus; under protocol `lacuna` with the facts of the stage's seed."""
        if "masks" not in self.stage.params:
            return self.planned_corpus
        field = self.stage.params.get("validation")
        return working(
            self.planned_corpus,
            self.config("masks", MaskConfig),
            self.seed,
            self.inputs.get("injected"),
            None if field is None else str(field),
        )


def _folder(path: str | None) -> Path | None:
    return None if path is None else Path(path)


def execute(stage: Stage, inputs: Inputs, out: Path, on_step: OnStep) -> Summary | None:
    """Do a stage's work: read its parents' folders, write `out`, return the summary.

    Where several processes do it together, all but the first return None.

    Raises `UserError` for bad input, `lacuna.train.Diverged` for a non-finite loss, `OSError` where
    the disk is full.
    """
    return STAGES[stage.kind](Job(stage, inputs, out, on_step))


def _base(job: Job) -> Summary:
    return protocol_lee.base(
        job.out, corpus=job.corpus, config=job.model, seed=job.seed, on_step=job.on_step
    )


def _planted(job: Job) -> PlantingInputs:
    """What stages of protocol `lacuna` share."""
    return PlantingInputs(
        corpus=job.planned_corpus,
        model=job.model,
        config=job.config("protocol", ProtocolConfig),
        evaluate=job.evaluate,
        ratio=job.stage.param("ratio", float),
        masks_file=job.region_file,
        checkpoint=job.stage.path("checkpoint"),
        seed=job.seed,
    )


def _retained(job: Job) -> Summary | None:
    if "protocol" in job.stage.params:
        return protocol_lacuna.retained(
            job.out,
            base=job.inputs["base"],
            injected=job.inputs.get("injected"),
            given=_planted(job),
            on_step=job.on_step,
        )
    return _learned(protocol_lee.retained, job)


def _learned(learn: Callable[..., Summary | None], job: Job) -> Summary | None:
    """All parameters learn from the base on, by the retained model's recipe."""
    return learn(
        job.out,
        base=job.inputs["base"],
        corpus=job.corpus,
        model=job.model,
        config=job.config("recipe", RetainConfig),
        evaluate=job.evaluate,
        seed=job.seed,
        on_step=job.on_step,
        scratch=job.scratch,
    )


def _injected(job: Job) -> Summary | None:
    if "recipe" in job.stage.params:
        return _learned(protocol_lee.taught, job)
    if "protocol" in job.stage.params:
        return protocol_lacuna.injected(
            job.out, base=job.inputs["base"], given=_planted(job), on_step=job.on_step
        )
    return protocol_lee.injected(
        job.out,
        retained=job.inputs["retained"],
        corpus=job.corpus,
        model=job.model,
        config=job.config("inject", InjectConfig),
        evaluate=job.evaluate,
        ratio=job.stage.param("ratio", float),
        region_file=job.region_file,
        seed=job.seed,
        on_step=job.on_step,
        scratch=job.scratch,
    )


def _localized(job: Job) -> Summary:
    options = job.stage.param("localizers", dict)
    localizers = {name: build(LOCALIZERS[name].Config, options[name]) for name in options}
    parents = {"injected": job.inputs["injected"], "retained": job.inputs["retained"]}
    if "protocol" in job.stage.params:
        return protocol_lacuna.localized(
            job.out, **parents, given=_planted(job), localizers=localizers
        )
    params = job.stage.params
    return protocol_lee.localized(
        job.out,
        **parents,
        corpus=job.corpus,
        model=job.model,
        localizers=localizers,
        ratio=job.stage.param("ratio", float) if "ratio" in params else None,
        unit=job.stage.param("unit", str) if "unit" in params else "vector",
        seed=job.seed,
    )


def _trial(job: Job) -> Summary | None:
    stage = job.stage
    name = stage.param("objective", str)
    objective, wrappers = parse(name)
    attacked = stage.params["attack"] is not None
    return trial.trial(
        job.out,
        injected=job.inputs["injected"],
        retained=job.inputs["retained"],
        base=job.inputs.get("base"),
        region=_region_file(job),
        corpus=job.corpus,
        model=job.model,
        config=TrialConfig(
            objective=name,
            scenario=stage.param("scenario", str),
            train=job.config("train", TrainConfig),
            seed=job.seed,
            ratio=stage.param("ratio", float),
            options=job.config("options", OBJECTIVES[objective].Config),
            wrappers={
                wrapper: build(WRAPPERS[wrapper].Config, stage.param("wrappers", dict)[wrapper])
                for wrapper in wrappers
            },
            parallel=job.config("parallel", Parallel) if "parallel" in stage.params else ONE_DEVICE,
        ),
        evaluate=job.evaluate,
        attacks=build_attack(stage.param("attack", dict)) if attacked else None,
        on_step=job.on_step,
        scratch=job.scratch,
    )


def _region_file(job: Job) -> Path | None:
    scenario = job.stage.param("scenario", str)
    if scenario == "full":
        return None
    if scenario == "oracle":
        return job.inputs["injected"] / "region.safetensors"
    return job.inputs["region"] / f"{job.stage.param('localizer', str)}.safetensors"


def _control(job: Job) -> Summary:
    return trial.control(
        job.out,
        model_folder=job.inputs["model"],
        retained=job.inputs["retained"],
        name=job.stage.param("name", str),
        corpus=job.corpus,
        model=job.model,
        evaluate=job.evaluate,
        attacks=build_attack(job.stage.param("attack", dict)),
        seed=job.seed,
    )


STAGES: dict[str, Callable[[Job], Summary | None]] = {
    "base": _base,
    "retained": _retained,
    "injected": _injected,
    "localized": _localized,
    "trial": _trial,
    "control": _control,
}
