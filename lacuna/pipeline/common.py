"""What all stages share: their inputs, models as earlier stages left them, and facts as texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from lacuna.artifacts import read_json
from lacuna.data import Corpus, Example
from lacuna.data.tokens import Encoded, Prompt, encode_examples
from lacuna.errors import UserError
from lacuna.evaluate import EvaluateConfig
from lacuna.model import Layout, LoadedModel, MiniConfig, load_model
from lacuna.model_types import PreTrainedModel
from lacuna.region import Region, WeightRegion, load_region
from lacuna.results import LocalizedPlace
from lacuna.results.files import POINTER, REGION
from lacuna.train import History, OnStep, Resumable, TrainConfig

C = TypeVar("C", covariant=True)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model a study is about, how questions are put to it, and how it is loaded."""

    source: str | None = None
    """Hub name, or a folder in hub layout; None builds the embedded model."""
    revision: str | None = None
    """Commit or tag on the hub."""
    dtype: str = "float32"
    """Weights in memory: float32 or bfloat16 (masters are float32 either way)."""
    attention: str = "sdpa"
    """Attention implementation of transformers."""
    device: str = "auto"
    """Where models run: `cpu`, `cuda`, or `auto` (a GPU if the stage was given one)."""
    prompt: Prompt = field(default_factory=Prompt)
    """How a question becomes a prompt."""
    mini: MiniConfig = field(default_factory=MiniConfig)
    """Shape of the embedded model."""
    pretrain: TrainConfig = field(default_factory=TrainConfig)
    """Base training of the embedded model: background people, utility questions, neutral text."""

    def __post_init__(self) -> None:
        if self.pretrain.save_every:
            raise UserError(
                f"model.pretrain.save_every={self.pretrain.save_every}: base training is not "
                f"resumed: leave it out"
            )


def nobody_listens(step: int, metrics: Mapping[str, float]) -> None:
    """The default for `on_step`: does nothing."""


@dataclass(frozen=True, kw_only=True)
class StageInputs(Generic[C]):
    """What a stage needs to know, besides the folders that it reads and writes."""

    corpus: Corpus
    """Facts by split, as the study has them."""
    model: ModelConfig
    """Which model, and how it is asked and held."""
    config: C
    """The stage's own settings."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """What is asked of the model."""
    seed: int
    """Decides every random draw of the stage."""
    ratio: float = 0.0
    """Size of a region: a share of all value vectors, or of all weights (0: there is none)."""
    region: int = 1
    """Which of its seed's random regions it is about."""
    region_file: Path | None = None
    """A region, or masks, to take instead of drawing them."""
    checkpoint: str | None = None
    """An injected model to take instead of planting: `hub:NAME`, or a folder."""
    on_step: OnStep = nobody_listens
    """Called after every training step, with its number and metrics."""
    scratch: Path | None = None
    """Where an interrupted training resumes from; it outlives an attempt that is killed."""


def load(folder: Path, config: ModelConfig) -> LoadedModel:
    """A model written by an earlier stage, or the one its pointer names."""
    pointer, source, revision = folder / POINTER, str(folder), None
    if pointer.exists():
        found = read_json(pointer)
        source, revision = found["source"], found["revision"]
    return load_model(
        source,
        revision=revision,
        prompt=config.prompt,
        dtype=config.dtype,
        device=config.device,
        attention=config.attention,
    )


def on_cpu(folder: Path, config: ModelConfig) -> PreTrainedModel:
    """A second model to compare with, on the CPU, so that it takes no GPU memory."""
    return load(folder, replace(config, device="cpu")).model


def encode(loaded: LoadedModel, examples: Sequence[Example]) -> list[Encoded]:
    """Questions with their answers, tokenised as the model is asked."""
    return encode_examples(loaded.tokenizer, loaded.prompt, examples)


def target_of(injected: Path, shape: Layout) -> Region | WeightRegion | None:
    """Where the facts were planted; None where they were learned by all parameters."""
    file = injected / REGION
    return load_region(file, shape) if file.exists() else None


def localized_place(given: StageInputs[object], ratio: float) -> LocalizedPlace:
    """What regions were found for: a seed, a size, and which of the seed's random regions."""
    place: LocalizedPlace = {"seed": given.seed, "ratio": ratio}
    if given.region > 1:
        place["region"] = given.region
    return place


def last(history: History) -> float | None:
    """The loss at the end of training; None where there was none."""
    return history.losses[-1] if history.losses else None


def resume_in(scratch: Path | None, config: Resumable) -> Path | None:
    """Where step checkpoints go: outlives an attempt that is killed, and is never published."""
    return scratch if config.save_every else None
