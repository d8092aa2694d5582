"""Every key a user may type, with its type and default. Hydra refuses all others.

Defaults live in the dataclasses of `lacuna`; the YAML files of `sweeps/config` only say where a
study, a model or a recipe differs. Objectives, localizers and data sources come from their
registries, so a new one is known here without an edit. `sweeps.config.compose` makes a `Study` of
what was typed; it is frozen, and everything below takes it as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from lacuna.artifacts import JsonObject
from lacuna.attack import ATTACKS, AttackConfig
from lacuna.data import DATA
from lacuna.errors import UserError
from lacuna.evaluate import EvaluateConfig
from lacuna.evaluate.curve_summaries import FS_WINDOW
from lacuna.inject import InjectConfig
from lacuna.localize import LOCALIZERS
from lacuna.pipeline import ModelConfig, ProtocolConfig, RetainConfig
from lacuna.registry import Registry
from lacuna.report import Margins
from lacuna.report.results import FLOOR
from lacuna.train import Parallel, Resumable
from lacuna.unlearn import OBJECTIVES, WRAPPERS
from sweeps.paths import ROOT
from sweeps.stage import KINDS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class DataConfig(DataclassInstance, Protocol):
        """The `Config` of a data source, which in a study also has the source's name."""

        name: str

    Ratio = float | list[float]
    RateTable = dict[str, dict[str, list[float]]]
else:  # OmegaConf knows neither; what they hold is looked at where it is used
    DataConfig, Ratio, RateTable = Any, Any, dict[str, Any]

T = TypeVar("T")


@dataclass(frozen=True)
class RegionConfig:
    """Where facts are planted."""

    ratio: Ratio = 0.1
    """Share of all value vectors in the target region (and in every other region), or a list of
    shares: each is a grid of its own, whose seeds share their injections."""
    unit: str = "vector"
    """What regions are made of: `vector`, or with protocol=full `weight`: single weights of
    the MLPs' output matrices (Lee et al., table 5), by the localizers that score those."""
    file: str | None = None
    """Plant into this saved region instead of drawing one per seed and ratio."""

    @property
    def ratios(self) -> list[float]:
        """The ratio or ratios, as a list. Raises `UserError` for one that is no number."""
        given = self.ratio if isinstance(self.ratio, list) else [self.ratio]
        return [_ratio(value) for value in given]


def _ratio(value: object) -> float:
    if not isinstance(value, int | float):
        raise UserError(f"region.ratio={value}: give a number, or a list such as [0.05,0.1]")
    return float(value)


@dataclass(frozen=True)
class RetainedConfig:
    """The retained model and whether seeds share it."""

    seed: int | None = 0
    """One retained model for the study, as published; null trains one per seed."""
    recipe: RetainConfig = field(default_factory=RetainConfig)
    """How it is trained."""


@dataclass(frozen=True)
class MethodOptions:
    """One field per method of a registry: the method's own `Config`, under the method's name."""

    def of(self, name: str) -> "DataclassInstance":
        """The options of one method."""
        options: DataclassInstance = getattr(self, name)
        return options


def _options(registry: Registry[Any]) -> type[MethodOptions]:
    """The class with a field for each method that is registered now."""
    made = [
        (name, method.Config, field(default_factory=method.Config))
        for name, method in registry.items()
    ]
    name = f"{registry.kind.title()}Options"
    return make_dataclass(name, made, bases=(MethodOptions,), frozen=True)


ObjectiveOptions = _options(OBJECTIVES)
LocalizerOptions = _options(LOCALIZERS)
WrapperOptions = _options(WRAPPERS)


@dataclass(frozen=True)
class UnlearnSettings:
    """How trials unlearn and how their learning rate is found."""

    lr: float | None = None
    """Learning rate of every trial, which then is not searched for; null searches."""
    lrs: RateTable = field(default_factory=dict)
    """Candidate rates: scenario -> objective -> list; `region` stands for all scenarios but `full`.
    A wrapped objective that is not listed by its full name takes the objective's.
    A single candidate is used as it is, without a search (published rates)."""
    train: Resumable = field(default_factory=Resumable)
    """Steps, batch size and schedule of unlearning; its rate is `unlearn.lr` or searched for."""
    parallel: Parallel = field(default_factory=Parallel)
    """Over how many devices trials in the scenario `full` unlearn."""
    options: MethodOptions = field(default_factory=ObjectiveOptions)
    """Options of each objective, by its name."""
    wrap: MethodOptions = field(default_factory=WrapperOptions)
    """Options of each wrapper, by its name; `objectives=[npo+sam]` puts one around an objective."""


@dataclass(frozen=True)
class SearchConfig:
    """How a rate is chosen: highest AUES among candidates whose FS ends inside the window."""

    method: str = "grid"
    """`grid` tries the listed rates; `optuna` lets a searcher suggest rates between the lowest and
    the highest of them, log-uniformly at first. A single listed rate is never searched."""
    low: float | None = None
    """Lowest rate that `optuna` may suggest, for all cells; null takes the lowest listed rate."""
    high: float | None = None
    """Highest rate that `optuna` may suggest, for all cells; null takes the highest listed rate."""
    trials: int = 8
    """Rates that `optuna` tries in every cell."""
    round: int = 4
    """Rates of a cell that `optuna` suggests before it is told results: they run side by side."""
    rungs: int = 0
    """How often rates are compared before their last step, so that the worse ones stop early; each
    time 1 of `search.eta` goes on. 0 trains every rate to the end."""
    eta: int = 3
    """One of so many rates passes a rung, and the steps between rungs grow by this factor."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """Tuning seeds; must not be test seeds. The first seeds searchers too, all cells' alike."""
    fs_low: float = FS_WINDOW[0]
    """Lowest forget strength at alpha = 1 that counts as unlearned."""
    fs_high: float = FS_WINDOW[1]
    """Forget strength at alpha = 1 from which on a trial has unlearned too much."""


@dataclass(frozen=True)
class SignificanceConfig:
    """The tests at the end."""

    permutations: int = 10000
    """Shuffles and resamples of every sampled test."""
    seed: int = 0
    """Seed of all sampled tests."""


@dataclass(frozen=True)
class StageResources:
    """What stages of one kind take; null: as `resources` says for all."""

    cpus: float | None = None
    """CPUs of each stage of this kind, and its number of threads; null: `resources.cpus`."""
    gpus: float | None = None
    """GPUs of each stage of this kind: whole ones, or a share of one; null: `resources.gpus`."""


@dataclass(frozen=True)
class Resources:
    """What one stage takes, and what Ray may use."""

    cpus: float = 1.0
    """CPUs per stage; also its number of threads."""
    gpus: float = 0.0
    """GPUs per stage: whole ones, or a share of one."""
    workers: int | None = None
    """CPUs of the local Ray (null: all of the machine's)."""
    flops: float | None = None
    """FLOP/s that one stage sustains, for `plan=true` (null: an assumption, which it prints)."""
    gpu_memory: float | None = None
    """GB of a GPU that training has to fit into, such as 24, 40 or 80: batches are cut by
    `sequences`, and as many accumulated as make up the batch (null: not cut)."""
    sequences: dict[str, int] = field(default_factory=dict)
    """GB of a GPU -> sequences that a training batch may have there; from the model's file."""

    def of(self, kind: str) -> StageResources:
        """What is asked for stages of one kind, besides what is asked for all."""
        own: StageResources = getattr(self, kind)
        return own


_BY_KIND = [(kind, StageResources, field(default_factory=StageResources)) for kind in KINDS]
ResourceConfig = make_dataclass("ResourceConfig", _BY_KIND, bases=(Resources,), frozen=True)
"""`Resources`, and beside them a field for each kind of stage."""


@dataclass(frozen=True)
class AlarmConfig:
    """What is done where the gold standard knows what it must never have seen."""

    floor: float = FLOOR
    """Forget extraction strength of a retained or base model above which it knows, 0 to 1."""
    stop: bool = True
    """Stop the study after the retained models; false goes on, and labels every number."""

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise UserError(f"alarm.floor={self.floor:g}: a share from 0 to 1")


@dataclass(frozen=True)
class Study:
    """A named grid with its tables."""

    study: str = MISSING
    """Name; also the folder under `artifacts`."""
    data: DataConfig = MISSING
    """Where facts come from: a source's name, and the source's own settings below it."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Which model, and how it is asked and held."""
    region: RegionConfig = field(default_factory=RegionConfig)
    """Where facts are planted."""
    seeds: list[int] = field(default_factory=lambda: [1])
    """Test seeds: region, batches and (where not shared) the retained model."""
    scenario_seeds: dict[str, int] = field(default_factory=dict)
    """Scenario -> how many of the test seeds it has, the first ones; absent: all. `oracle` and
    `random`, which claims compare, have all."""
    regions: int = 1
    """Random regions of every test seed: scenario `random` is unlearned, attacked and reported in
    each, with no further injection. They are disjoint from the target region and from each other; a
    table shows their mean as the seed's one number. The learning rate is searched in the first, and
    the first is the same whatever their number: a study with more takes the earlier from the
    store. Refused where so many do not fit."""
    base_seed: int = 0
    """Seed of the embedded base model."""
    objectives: list[str] = field(default_factory=list)
    """Unlearning methods: objectives and edits by name, wrapped ones as `npo+sam`."""
    scenarios: list[str] = field(default_factory=list)
    """`oracle`, `random` (outside the target region; under protocol `lacuna` outside all masks),
    `uniform` (anywhere), `full`, or a localizer's name."""
    localizers: list[str] = field(default_factory=list)
    """Localizers of the precision table; empty: all."""
    retained: RetainedConfig = field(default_factory=RetainedConfig)
    """The model that never saw the forget facts."""
    inject: InjectConfig = field(default_factory=InjectConfig)
    """How the forget facts go into the model."""
    inject_seed: int | None = None
    """One injected model, and target region, for all seeds; null plants anew for each."""
    protocol: str = "lee"
    """How facts are planted: `lee` (into value vectors, after the retain facts), `full` (into all
    parameters, beside the retain facts, so that nobody knows where a fact lies) or `lacuna` (groups
    of people into masks of single weights, see `masked`)."""
    checkpoint: str | None = None
    """An injected model to start from (`hub:NAME[/SUBFOLDER][@REVISION]` or a folder) instead of
    planting; under protocol `lacuna`, with its masks as `region.file` and its base as `model`. From
    data with a book splits are drawn anew, so other fields need no other injection."""
    masked: ProtocolConfig = field(default_factory=ProtocolConfig)
    """Masks and their training, under protocol `lacuna`; there `region.ratio` is the share of all
    weights in each mask, and `region.file` a file of masks."""
    localize: MethodOptions = field(default_factory=LocalizerOptions)
    """Options of each localizer, by its name."""
    unlearn: UnlearnSettings = field(default_factory=UnlearnSettings)
    """How trials unlearn."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """How learning rates are found."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """What is asked of every model."""
    attack: AttackConfig = field(default_factory=AttackConfig)
    """Attacks on unlearned models and on controls."""
    significance: SignificanceConfig = field(default_factory=SignificanceConfig)
    """The tests at the end."""
    alarm: AlarmConfig = field(default_factory=AlarmConfig)
    """When a gold standard is said to know what it must not."""
    margins: Margins = field(default_factory=Margins)
    """Differences too small to matter."""
    resources: Resources = field(default_factory=ResourceConfig)
    """What a stage takes, for all kinds or by kind (`resources.trial.gpus`)."""
    engine: str = "ray"
    """What runs the stages: `ray` (a local Ray, or the cluster at `address`; runs are tracked), or
    `local`: this process, one stage after the other, without Ray and without tracking. Keys and
    results are the same, and each finds what the other has published below this output root."""
    artifacts: str = ROOT
    """Output root."""
    store: str | None = None
    """Folder or URL (`s3://bucket/prefix`) of all results; null: checkpoints under the root."""
    address: str | None = None
    """HOST:PORT of a running Ray cluster; null starts a local one."""
    tracking_uri: str | None = None
    """MLflow server; null is a SQLite file under the output root."""
    plan: bool = False
    """Print what would run, and stop."""
    power: float | None = None
    """With `plan=true`: a margin of AUES to equal depth. Prints how many seeds and random regions
    find that the true region is no better by it, from the spread in a `pilot`."""
    pilot: str | None = None
    """Folder of the finished study whose spread `power` goes by; null: this study's own."""


def register() -> None:
    """Make the schema and the data sources that are there by now known to Hydra."""
    _register(frozenset(DATA))


@cache
def _register(sources: frozenset[str]) -> None:
    store = ConfigStore.instance()
    store.store(name="schema", node=_structured(Study))
    for name in sources:
        source = DATA[name]
        store.store(group="data", name=name, node=_structured(named_config(name)))
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


@cache
def named_config(name: str) -> type["DataConfig"]:
    """The `Config` of a data source with the source's name, so that a study says which it is."""
    config = DATA[name].Config
    column = ("name", str, field(default=name, kw_only=True))
    return make_dataclass(config.__qualname__, [column], bases=(config,), frozen=True)


def _nodes(config: DictConfig) -> Iterator[DictConfig]:
    yield config
    for name in config:
        if not OmegaConf.is_missing(config, name) and isinstance(config[name], DictConfig):
            yield from _nodes(config[name])


def build(config: type[T], values: JsonObject) -> T:
    """A `Config` from plain values; unknown keys and wrong types are refused."""
    merged = OmegaConf.merge(_structured(config), values)
    built = OmegaConf.to_object(merged)
    assert isinstance(built, config)
    return built


def build_attack(values: JsonObject) -> AttackConfig:
    """The attacks of a study; those of other packages get their own `Config`."""
    config = build(AttackConfig, values)
    extra = {name: build(ATTACKS[name].Config, given) for name, given in config.extra.items()}
    return replace(config, extra=extra)
