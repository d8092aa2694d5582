"""From a stage's plain values to the library's functions; runs inside a worker."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

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
from lacuna.train import Parallel, TrainConfig
from lacuna.unlearn import OBJECTIVES, WRAPPERS, parse
from sweeps.config.schema import build, build_attack
from sweeps.plan.corpus import load_corpus
from sweeps.stage import Stage

OnStep = Callable[[int, Mapping[str, float]], None]
Inputs = Mapping[str, Path]


def execute(stage: Stage, inputs: Inputs, out: Path, on_step: OnStep) -> Summary | None:
    """Do a stage's work: read its parents' folders, write `out`, return the summary.

    Where several processes do it together, all but the first return None.

    Raises `UserError` for bad input, `lacuna.train.Diverged` for a non-finite loss, `OSError` where
    the disk is full.
    """
    return STAGES[stage.kind](stage, inputs, out, on_step)


def _corpus(stage: Stage, inputs: Inputs) -> Corpus:
    """The planned corpus; under protocol `lacuna` with the facts of the stage's seed."""
    corpus, params = _planned_corpus(stage), stage.params
    if "masks" not in params:
        return corpus
    masks, tuned_on = build(MaskConfig, params["masks"]), params.get("validation")
    return working(corpus, masks, params["seed"], inputs.get("injected"), tuned_on)


def _planned_corpus(stage: Stage) -> Corpus:
    corpus = load_corpus(stage.context["data"], stage.context["embedded"])
    if corpus.digest() != stage.params["corpus"]:
        raise UserError(
            f"{stage.label}: the data here differs from the data that was planned with "
            f"(digest {corpus.digest()[:12]}, planned {str(stage.params['corpus'])[:12]})"
        )
    return corpus


def _model(stage: Stage) -> ModelConfig:
    config, device = build(ModelConfig, stage.params["model"]), stage.context["device"]
    if device == "auto" and not stage.gpus:
        device = "cpu"  # a GPU that nobody counted may be another stage's
    return replace(config, source=stage.context["source"], device=device)


def _scratch(stage: Stage) -> Path | None:
    found = stage.context.get("scratch")
    return None if found is None else Path(found)


def _base(stage: Stage, inputs: Inputs, out: Path, on_step: OnStep) -> Summary:
    return protocol_lee.base(
        out,
        corpus=_corpus(stage, inputs),
        config=_model(stage),
        seed=stage.params["seed"],
        on_step=on_step,
    )


def _planted(stage: Stage) -> PlantingInputs:
    """What stages of protocol `lacuna` share."""
    masks = stage.context.get("region_file")
    return PlantingInputs(
        corpus=_planned_corpus(stage),
        model=_model(stage),
        config=build(ProtocolConfig, stage.params["protocol"]),
        evaluate=build(EvaluateConfig, stage.params["evaluate"]),
        ratio=stage.params["ratio"],
        masks_file=None if masks is None else Path(masks),
        checkpoint=stage.context.get("checkpoint"),
        seed=stage.params["seed"],
    )


def _retained(stage: Stage, inputs: Inputs, out: Path, on_step: OnStep) -> Summary | None:
    if "protocol" in stage.params:
        return protocol_lacuna.retained(
            out,
            base=inputs["base"],
            injected=inputs.get("injected"),
            given=_planted(stage),
            on_step=on_step,
        )
    return _learned(protocol_lee.retained, stage, inputs, out, on_step)


def _learned(
    learn: Callable[..., Summary | None], stage: Stage, inputs: Inputs, out: Path, on_step: OnStep
) -> Summary | None:
    """All parameters learn from the base on, by the retained model's recipe."""
    return learn(
        out,
        base=inputs["base"],
        corpus=_corpus(stage, inputs),
        model=_model(stage),
        config=build(RetainConfig, stage.params["recipe"]),
        evaluate=build(EvaluateConfig, stage.params["evaluate"]),
        seed=stage.params["seed"],
        on_step=on_step,
        scratch=_scratch(stage),
    )


def _injected(stage: Stage, inputs: Inputs, out: Path, on_step: OnStep) -> Summary | None:
    if "recipe" in stage.params:
        return _learned(protocol_lee.taught, stage, inputs, out, on_step)
    if "protocol" in stage.params:
        return protocol_lacuna.injected(
            out, base=inputs["base"], given=_planted(stage), on_step=on_step
        )
    region = stage.context.get("region_file")
    return protocol_lee.injected(
        out,
        retained=inputs["retained"],
        corpus=_corpus(stage, inputs),
        model=_model(stage),
        config=build(InjectConfig, stage.params["inject"]),
        evaluate=build(EvaluateConfig, stage.params["evaluate"]),
        ratio=stage.params["ratio"],
        region_file=None if region is None else Path(region),
        seed=stage.params["seed"],
        on_step=on_step,
        scratch=_scratch(stage),
    )


def _localized(stage: Stage, inputs: Inputs, out: Path, on_step: OnStep) -> Summary:
    options = stage.params["localizers"]
    localizers = {n: build(LOCALIZERS[n].Config, options[n]) for n in options}
    parents = {"injected": inputs["injected"], "retained": inputs["retained"]}
    if "protocol" in stage.params:
        return protocol_lacuna.localized(
            out, **parents, given=_planted(stage), localizers=localizers
        )
    return protocol_lee.localized(
        out,
        **parents,
        corpus=_corpus(stage, inputs),
        model=_model(stage),
        localizers=localizers,
        ratio=stage.params.get("ratio"),
        unit=stage.params.get("unit", "vector"),
        seed=stage.params["seed"],
    )


def _trial(stage: Stage, inputs: Inputs, out: Path, on_step: OnStep) -> Summary | None:
    params = stage.params
    attacks, objective = params["attack"], OBJECTIVES[parse(params["objective"]).objective]
    wrappers = params.get("wrappers", {})
    return trial.trial(
        out,
        injected=inputs["injected"],
        retained=inputs["retained"],
        base=inputs.get("base"),
        region=_region_file(stage, inputs),
        corpus=_corpus(stage, inputs),
        model=_model(stage),
        config=TrialConfig(
            objective=params["objective"],
            scenario=params["scenario"],
            train=build(TrainConfig, params["train"]),
            seed=params["seed"],
            ratio=params["ratio"],
            options=build(objective.Config, params["options"]),
            wrappers={n: build(WRAPPERS[n].Config, wrappers[n]) for n in wrappers},
            parallel=build(Parallel, params.get("parallel", {})),
        ),
        evaluate=build(EvaluateConfig, params["evaluate"]),
        attacks=None if attacks is None else build_attack(attacks),
        on_step=on_step,
        scratch=_scratch(stage),
    )


def _region_file(stage: Stage, inputs: Inputs) -> Path | None:
    if stage.params["scenario"] == "full":
        return None
    if stage.params["scenario"] == "oracle":
        return inputs["injected"] / "region.safetensors"
    return inputs["region"] / f"{stage.params['localizer']}.safetensors"


def _control(stage: Stage, inputs: Inputs, out: Path, on_step: OnStep) -> Summary:
    return trial.control(
        out,
        model_folder=inputs["model"],
        retained=inputs["retained"],
        name=stage.params["name"],
        corpus=_corpus(stage, inputs),
        model=_model(stage),
        evaluate=build(EvaluateConfig, stage.params["evaluate"]),
        attacks=build_attack(stage.params["attack"]),
        seed=stage.params["seed"],
    )


STAGES: dict[str, Callable[[Stage, Inputs, Path, OnStep], Summary | None]] = {
    "base": _base,
    "retained": _retained,
    "injected": _injected,
    "localized": _localized,
    "trial": _trial,
    "control": _control,
}
