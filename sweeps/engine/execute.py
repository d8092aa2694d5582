"""From a stage's plain values to the library's functions; runs inside a worker."""

from collections.abc import Callable, Mapping
from pathlib import Path

# What stages use is imported here, so that `worker.freeze` has it; elsewhere it is when it is used.
import peft  # noqa: F401
import scipy.stats  # noqa: F401
import transformers.modeling_utils  # noqa: F401

from lacuna import pipeline
from lacuna.pipeline import TrialConfig
from lacuna.results import Kind, Summary
from lacuna.results.files import REGION, region_of
from lacuna.train import ONE_DEVICE, OnStep, Parallel, TrainConfig
from lacuna.unlearn import OBJECTIVES, WRAPPERS, parse
from sweeps.config.schema import build
from sweeps.plan.protocols import PROTOCOLS, Job, Protocol
from sweeps.plan.stages import attack_config
from sweeps.stage import Stage


def execute(stage: Stage, inputs: Mapping[str, Path], out: Path, on_step: OnStep) -> Summary | None:
    """Do a stage's work: read its parents' folders, write `out`, return the summary.

    Where several processes do it together, all but the first return None.

    Raises `UserError` for bad input, `lacuna.train.Diverged` for a non-finite loss, `OSError` where
    the disk is full.
    """
    return WORK[stage.kind](Job(stage, inputs, out, on_step))


def _protocol(job: Job) -> type[Protocol]:
    name = job.stage.path("protocol")
    assert name is not None, f"{job.stage.label} was planned under no protocol"
    return PROTOCOLS[name]


def _base(job: Job) -> Summary:
    return pipeline.base(job.out, given=job.given(None))


def _trial(job: Job) -> Summary | None:
    stage, attacked = job.stage, job.stage.params["attack"] is not None
    objective, wrappers = parse(stage.param("objective", str))
    config = TrialConfig(
        objective=stage.param("objective", str),
        scenario=stage.param("scenario", str),
        train=job.config("train", TrainConfig),
        options=job.config("options", OBJECTIVES[objective].Config),
        wrappers={
            name: build(WRAPPERS[name].Config, stage.param("wrappers", dict)[name])
            for name in wrappers
        },
        parallel=job.config("parallel", Parallel) if "parallel" in stage.params else ONE_DEVICE,
        attacks=attack_config(stage) if attacked else None,
    )
    return pipeline.trial(
        job.out,
        injected=job.inputs["injected"],
        retained=job.inputs["retained"],
        base=job.inputs.get("base"),
        region=_region_file(job),
        given=job.given(config, _protocol(job).facts(job)),
    )


def _region_file(job: Job) -> Path | None:
    scenario = job.stage.param("scenario", str)
    if scenario == "full":
        return None
    if scenario == "oracle":
        return job.inputs["injected"] / REGION
    return job.inputs["region"] / region_of(job.stage.param("localizer", str))


def _control(job: Job) -> Summary:
    return pipeline.control(
        job.out,
        model_folder=job.inputs["model"],
        retained=job.inputs["retained"],
        name=job.stage.param("name", str),
        given=job.given(attack_config(job.stage), _protocol(job).facts(job)),
    )


WORK: dict[Kind, Callable[[Job], Summary | None]] = {
    "base": _base,
    "retained": lambda job: _protocol(job).retain(job),
    "injected": lambda job: _protocol(job).inject(job),
    "localized": lambda job: _protocol(job).localize(job),
    "trial": _trial,
    "control": _control,
}
