"""A stage at work, in a worker: its plain values as the records that the library takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from lacuna.data import Corpus
from lacuna.errors import UserError
from lacuna.evaluate import EvaluateConfig
from lacuna.localize import LOCALIZERS, LocalizerConfig
from lacuna.pipeline import ModelConfig, StageInputs
from lacuna.train import OnStep
from sweeps.config.schema import build
from sweeps.plan.sources import load_corpus
from sweeps.stage import Stage

C = TypeVar("C")


@dataclass(frozen=True)
class Job:
    """A stage, the folders it reads and writes, and who hears of its steps."""

    stage: Stage
    inputs: Mapping[str, Path]
    """Role -> folder of a parent stage's result."""
    out: Path
    """An empty folder for the result."""
    on_step: OnStep

    def config(self, name: str, kind: type[C]) -> C:
        """One of the stage's parameters, as the record that it was made from."""
        return build(kind, self.stage.param(name, dict))

    def given(self, config: C, corpus: Corpus | None = None) -> StageInputs[C]:
        """The inputs of the library's stage, with its own `config`; a corpus of its own, if any."""
        params, scratch, region = (
            self.stage.params,
            *map(self.stage.path, ("scratch", "region_file")),
        )
        return StageInputs(
            corpus=self.corpus if corpus is None else corpus,
            model=self.model,
            config=config,
            evaluate=self.config("evaluate", EvaluateConfig)
            if "evaluate" in params
            else EvaluateConfig(),
            seed=self.stage.param("seed", int),
            ratio=self.stage.param("ratio", float) if "ratio" in params else 0.0,
            region=self.stage.param("random_region", int) if "random_region" in params else 1,
            region_file=None if region is None else Path(region),
            checkpoint=self.stage.path("checkpoint"),
            on_step=self.on_step,
            scratch=None if scratch is None else Path(scratch),
        )

    @property
    def model(self) -> ModelConfig:
        """The model, where it is from here, on the device that was counted for the stage."""
        config, device = self.config("model", ModelConfig), self.stage.path("device")
        if device is None or (device == "auto" and not self.stage.gpus):
            device = "cpu"  # a GPU that nobody counted may be another stage's
        return replace(config, source=self.stage.path("source"), device=device)

    @cached_property
    def corpus(self) -> Corpus:
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
    def localizers(self) -> dict[str, LocalizerConfig]:
        """The localizers to ask, each with its options."""
        options = self.stage.param("localizers", dict)
        return {name: build(LOCALIZERS[name].Config, options[name]) for name in options}
