"""Every key a user may type, with its type and default. Hydra refuses all others.

Defaults live in the dataclasses of `lacuna`; the YAML files of `sweeps/conf` only say where a
study, a model or a recipe differs. Objectives, localizers and data sources come from their
registries, so a new one is known here without an edit.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from importlib.resources import files
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from lacuna.attack import ATTACKS, AttackConfig
from lacuna.data import DATA
from lacuna.evaluate import EvaluateConfig
from lacuna.inject import InjectConfig
from lacuna.localize import LOCALIZERS
from lacuna.pipeline import ModelConfig, ProtocolConfig, RetainConfig
from lacuna.registry import Registry
from lacuna.report import Margins
from lacuna.train import Parallel, TrainConfig
from lacuna.unlearn import OBJECTIVES, WRAPPERS

T = TypeVar("T")


@dataclass
class RegionConfig:
    """Where facts are planted."""

    ratio: Any = 0.1
    """Share of all value vectors in the target region (and in every other region), or a list of
    shares: each is a grid of its own, whose seeds share their injections."""
    unit: str = "vector"
    """What regions are made of: `vector`, or with inject.method=full `weight`: single weights of
    the MLPs' output matrices (Lee et al., table 5), by the localizers that score those."""
    file: str | None = None
    """Plant into this saved region instead of drawing one per seed and ratio."""


@dataclass
class RetainedConfig:
    """The retained model and whether seeds share it."""

    seed: int | None = 0
    """One retained model for the study, as published; null trains one per seed."""
    recipe: RetainConfig = field(default_factory=RetainConfig)
    """How it is trained."""


def _options(registry: Registry[Any]) -> type:
    """A dataclass with one field per method, holding the method's own `Config`."""
    made = [
        (name, method.Config, field(default_factory=method.Config))
        for name, method in registry.items()
    ]
    return make_dataclass(f"{registry.kind.title()}Options", made)


ObjectiveOptions: Any = _options(OBJECTIVES)
LocalizerOptions: Any = _options(LOCALIZERS)
WrapperOptions: Any = _options(WRAPPERS)


@dataclass
class UnlearnSettings:
    """How trials unlearn and how their learning rate is found."""

    lr: float | None = None
    """Fixes the rate of every trial and skips the search."""
    lrs: dict[str, Any] = field(default_factory=dict)
    """Candidate rates: scenario -> objective -> list; `region` stands for all scenarios but `full`.
    A wrapped objective that is not listed by its full name takes the objective's.
    A single candidate is used as it is, without a search (published rates)."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, batch size, schedule."""
    parallel: Parallel = field(default_factory=Parallel)
    """Over how many devices trials in the scenario `full` unlearn."""
    options: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    """Options of each objective."""
    wrap: WrapperOptions = field(default_factory=WrapperOptions)
    """Options of each wrapper; `objectives=[npo+sam]` puts one around an objective."""


@dataclass
class SearchConfig:
    """How a rate is chosen: highest AUES among candidates whose FS ends inside the window."""

    method: str = "grid"
    """`grid` tries the listed rates; `optuna` lets a searcher suggest rates between the lowest and
    the highest of them, log-uniformly at first. A single listed rate is never searched."""
    low: float | None = None
    """Lower bound of `optuna` for all cells, in place of the lowest listed rate."""
    high: float | None = None
    """Upper bound, likewise."""
    trials: int = 8
    """Rates that `optuna` tries in every cell."""
    round: int = 4
    """Rates of a cell that `optuna` suggests before it is told results: they run side by side."""
    rungs: int = 0
    """Stop rates early: looks at them after fewer steps, each letting 1 of `eta` through; 0 is
    none. Rungs lie `eta` times apart below `unlearn.train.steps`."""
    eta: int = 3
    """See `rungs`."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """Tuning seeds; must not be test seeds. The first seeds searchers too, all cells' alike."""
    fs_low: float = 0.90
    """Forget strength at alpha = 1 that counts as unlearned."""
    fs_high: float = 1.0
    """And that counts as too much (not reached)."""


@dataclass
class SignificanceConfig:
    """The tests at the end."""

    permutations: int = 10000
    """Shuffles and resamples of every sampled test."""
    seed: int = 0
    """Of all of them."""


@dataclass
class StageResources:
    """What stages of one kind take; null: as `resources` says for all."""

    cpus: float | None = None
    """CPUs of such a stage."""
    gpus: float | None = None
    """GPUs of such a stage."""


@dataclass
class ResourceConfig:
    """What one stage takes, and what Ray may use."""

    cpus: float = 1.0
    """CPUs per stage; also its number of threads."""
    gpus: float = 0.0
    """GPUs per stage: whole ones, or a share of one."""
    base: StageResources = field(default_factory=StageResources)
    retained: StageResources = field(default_factory=StageResources)
    injected: StageResources = field(default_factory=StageResources)
    localized: StageResources = field(default_factory=StageResources)
    trial: StageResources = field(default_factory=StageResources)
    control: StageResources = field(default_factory=StageResources)
    workers: int | None = None
    """CPUs of the local Ray (null: all of the machine's)."""
    flops: float | None = None
    """FLOP/s that one stage sustains, for `plan=true` (null: an assumption, which it prints)."""
    gpu_memory: float | None = None
    """GB of a GPU that training has to fit into, such as 24, 40 or 80: batches are cut by
    `sequences`, and as many accumulated as make up the batch (null: not cut)."""
    sequences: dict[str, int] = field(default_factory=dict)
    """GB of a GPU -> sequences that a training batch may have there; from the model's file."""


@dataclass
class Study:
    """A named grid with its tables."""

    study: str = MISSING
    """Name; also the folder under `artifacts`."""
    data: Any = MISSING
    """Where the facts come from: a data source by name, whose own keys lie below."""
    model: ModelConfig = field(default_factory=ModelConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    seeds: list[int] = field(default_factory=lambda: [1])
    """Test seeds: region, batches and (where not shared) the retained model."""
    base_seed: int = 0
    """Seed of the embedded base model."""
    objectives: list[str] = field(default_factory=list)
    """Unlearning methods by name: objectives, or edits; `npo+sam` wraps one."""
    scenarios: list[str] = field(default_factory=list)
    """`oracle`, `random` (outside the target region; under protocol `lacuna` outside all masks),
    `uniform` (anywhere), `full`, or a localizer's name."""
    localizers: list[str] = field(default_factory=list)
    """Localizers of the precision table; empty: all."""
    retained: RetainedConfig = field(default_factory=RetainedConfig)
    inject: InjectConfig = field(default_factory=InjectConfig)
    inject_seed: int | None = None
    """One injected model, and target region, for all seeds; null plants anew for each."""
    protocol: str = "lee"
    """How facts are planted: `lee` (value vectors, after the retain facts) or `lacuna` (groups of
    people in masks of single weights, see `masked`)."""
    checkpoint: str | None = None
    """An injected model to start from (`hub:NAME[/SUBFOLDER][@REVISION]` or a folder) instead of
    planting; under protocol `lacuna`, with its masks as `region.file` and its base as `model`. From
    data with a book splits are drawn anew, so other fields need no other injection."""
    masked: ProtocolConfig = field(default_factory=ProtocolConfig)
    """Masks and their training, under protocol `lacuna`; there `region.ratio` is the share of all
    weights in each mask, and `region.file` a file of masks."""
    localize: LocalizerOptions = field(default_factory=LocalizerOptions)
    unlearn: UnlearnSettings = field(default_factory=UnlearnSettings)
    search: SearchConfig = field(default_factory=SearchConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    attack: AttackConfig = field(default_factory=AttackConfig)
    significance: SignificanceConfig = field(default_factory=SignificanceConfig)
    margins: Margins = field(default_factory=Margins)
    resources: ResourceConfig = field(default_factory=ResourceConfig)
    artifacts: str = "artifacts"
    """Output root."""
    store: str | None = None
    """Folder or URL (`s3://bucket/prefix`) of all results; null: checkpoints under the root."""
    address: str | None = None
    """HOST:PORT of a running Ray cluster; null starts a local one."""
    tracking_uri: str | None = None
    """MLflow server; null is a SQLite file under the output root."""
    plan: bool = False
    """Print what would run, and stop."""


def register() -> None:
    """Make the schema and the data sources known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=_structured(Study))
    for name, source in DATA.items():
        store.store(group="data", name=name, node=_structured(_named(source.Config, name)))
        file = files("sweeps.config") / "recipe" / f"mini-{name}.yaml"
        if source.recipe is not None and not file.is_file():
            recipe = {"defaults": ["mini-jsonl"], **source.recipe}
            store.store(group="recipe", name=f"mini-{name}", node=recipe, package="_global_")


def _structured(config: type) -> DictConfig:
    """Frozen dataclasses become read-only nodes; composing needs to write them.

    Made once, as it is the slow part of composing: merging and composing copy it.
    """
    if config not in _made:
        _made[config] = OmegaConf.structured(config)
        for node in _nodes(_made[config]):
            OmegaConf.set_readonly(node, None)
    return _made[config]


_made: dict[type, DictConfig] = {}


def _named(config: type, name: str) -> type:
    """The source's Config with its name in front, so that the composed tree says which it is."""
    assert is_dataclass(config)
    columns = [(f.name, f.type, _default(f)) for f in fields(config)]
    return make_dataclass(config.__qualname__, [("name", str, field(default=name)), *columns])


def _default(column: Any) -> Any:
    if column.default_factory is not dataclasses.MISSING:
        return field(default_factory=column.default_factory)
    if column.default is dataclasses.MISSING:
        return field(default=MISSING)
    return field(default=column.default)


def _nodes(config: DictConfig) -> Iterator[DictConfig]:
    yield config
    for name in config:
        if not OmegaConf.is_missing(config, name) and isinstance(config[name], DictConfig):
            yield from _nodes(config[name])


def build(config: type[T], values: Mapping[str, Any]) -> T:
    """A `Config` from plain values; unknown keys and wrong types are refused."""
    merged = OmegaConf.merge(_structured(config), dict(values))
    built = OmegaConf.to_object(merged)
    assert isinstance(built, config)
    return built


def build_attack(values: Mapping[str, Any]) -> AttackConfig:
    """The attacks of a study; those of other packages get their own `Config`."""
    config = build(AttackConfig, values)
    extra = {name: build(ATTACKS[name].Config, given) for name, given in config.extra.items()}
    return dataclasses.replace(config, extra=extra)
