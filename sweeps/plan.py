"""From a study to a graph of keyed stages. Equal stages have equal keys and appear once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lacuna.artifacts import digest, file_digest
from lacuna.data import Corpus
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS
from lacuna.localize.evidence import TARGET
from lacuna.model import Layout, MiniConfig, mini_layout, read_layout
from lacuna.protocol import WEIGHTS
from lacuna.region import load_vectors
from lacuna.unlearn import OBJECTIVES, parse
from sweeps.check import check
from sweeps.graph import Stage
from sweeps.schema import build
from sweeps.stages import load_corpus

SCENARIO_LOCALIZER = {"random": "complement", "uniform": "random"}
"""Lee et al.'s Random region lies outside the target region; `uniform` lies anywhere."""


class Cell(NamedTuple):
    """One cell of the grid: its trials differ in rate and seed only."""

    ratio: float
    objective: str
    scenario: str


@dataclass(frozen=True)
class Planner:
    """Knows a study's configuration and corpus, and names its stages."""

    config: DictConfig
    corpus: Corpus
    layout: Layout
    """Value vectors of the model, known before any weight is loaded."""
    plain: dict[str, Any] = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        plain = OmegaConf.to_container(self.config, resolve=True)
        object.__setattr__(self, "plain", plain)
        object.__setattr__(self, "digest", self.corpus.digest())
        check(self)

    def setup(self) -> list[Stage]:
        """All that trials stand on, parents first: injection finishes before trials start."""
        stages: dict[str, Stage] = {}
        tuning = self.config.search.seeds if self.searched() else []
        for seed in [*tuning, *self.config.seeds]:
            for ratio in self.ratios():
                parents = self.base(), self.retained(seed), self.injected(seed, ratio)
                for stage in (*parents, *self.regions(seed, ratio)):
                    stages.setdefault(stage.key, stage)
        for seed in self.config.seeds:
            for ratio in self.ratios():
                survey = self.survey(seed, ratio)
                stages.setdefault(survey.key, survey)
        return list(stages.values())

    def ratios(self) -> list[float]:
        """Mask ratios of the study, as asked for."""
        given = self.plain["region"]["ratio"]
        return [_ratio(value) for value in (given if isinstance(given, list) else [given])]

    def cells(self) -> list[Cell]:
        """The whole grid; an objective that cannot be confined has the scenario `full` only."""
        config = self.config
        return [
            Cell(ratio, objective, scenario)
            for ratio in self.ratios()
            for objective in config.objectives
            for scenario in config.scenarios
            if scenario == "full" or OBJECTIVES[parse(objective).objective].confined
        ]

    def searched(self) -> list[Cell]:
        """Cells whose rate has to be found."""
        return [cell for cell in self.cells() if len(self.candidates(cell)) > 1]

    def search(self, asked: Mapping[Cell, Mapping[float, int]]) -> list[Stage]:
        """Search trials of rates, each with its turn in its cell's search, on all tuning seeds."""
        return [
            self.trial(cell, lr, seed, "search", turn)
            for cell, rates in asked.items()
            for lr, turn in rates.items()
            for seed in self.config.search.seeds
        ]

    def tests(self, rates: Mapping[Cell, float]) -> list[Stage]:
        """Test trials at the chosen rates; a cell whose candidates all failed has none."""
        return [
            self.trial(cell, rates[cell], seed, "test")
            for cell in self.cells()
            if cell in rates
            for seed in self.config.seeds
        ]

    def controls(self) -> list[Stage]:
        """The attacks on retained and injected models."""
        stages = []
        for seed in self.config.seeds:
            names = ["base", "retained"] if self.by_weight else ["retained"]
            stages += [self.control(name, seed) for name in names]
            stages += [self.control("injected", seed, ratio) for ratio in self.ratios()]
        return list({stage.key: stage for stage in stages}.values())

    def bounds(self, cell: Cell) -> tuple[float, float]:
        """Between which rates a searcher may choose; meaningless unless `searched`."""
        search, rates = self.config.search, self.candidates(cell)
        low = min(rates) if search.low is None else search.low
        high = max(rates) if search.high is None else search.high
        return float(low), float(high)

    def foreseen(self, cell: Cell) -> list[float]:
        """As many rates as will be tried; of a searcher's only the number is known beforehand."""
        search, rates = self.config.search, self.candidates(cell)
        if search.method == "grid" or len(rates) == 1:
            return rates
        low, high = self.bounds(cell)
        return [float(rate) for rate in np.geomspace(low, high, search.trials + 2)[1:-1]]

    def candidates(self, cell: Cell) -> list[float]:
        """Listed rates: the fixed one, or the recipe's for this scenario and objective."""
        _, objective, scenario = cell
        if self.config.unlearn.lr is not None:
            return [_rate(self.config.unlearn.lr)]
        table = self.plain["unlearn"]["lrs"]
        kind = "full" if scenario == "full" else "region"
        base = parse(objective).objective
        listed = [
            table.get(place, {}).get(name)
            for name in dict.fromkeys((objective, base))
            for place in (scenario, kind)
        ]
        rates = next(filter(None, listed), OBJECTIVES[base].rates)
        if not rates:
            raise UserError(
                f"no learning rates for objective {objective!r} in scenario {scenario!r}: set "
                f"unlearn.lr=RATE or +unlearn.lrs.{kind}.{objective}=[RATE,...]"
            )
        return [_rate(rate) for rate in rates]

    def base(self) -> Stage:
        """theta_p."""
        return self._stage("base", "base", {"seed": self.config.base_seed}, {}, {})

    @property
    def by_weight(self) -> bool:
        """Whether facts are planted into single weights (protocol `lacuna`)."""
        return bool(self.plain["protocol"] == "lacuna")

    def retained(self, seed: int) -> Stage:
        """theta_r; shared by all seeds if the study fixes its seed, which needs protocol `lee`."""
        if self.by_weight:
            return self._planted("retained", seed, self.ratios()[0])
        fixed = self.config.retained.seed
        own = seed if fixed is None else fixed
        return self._stage(
            "retained",
            f"retained seed={own}",
            {
                "recipe": self.plain["retained"]["recipe"],
                "evaluate": self.plain["evaluate"],
                "seed": own,
            },
            {"base": self.base().key},
            {"seed": own, "model": "retained"},
        )

    def _planted(self, kind: str, seed: int, ratio: float) -> Stage:
        """theta_r or theta_o of protocol `lacuna`: both stem from the base model."""
        params, context = {**self._protocol(ratio), "seed": seed}, self._masks_file()
        if kind == "injected" and (checkpoint := self.plain["checkpoint"]) is not None:
            params["checkpoint"] = self._identity(checkpoint)
            context["checkpoint"] = checkpoint
        return self._stage(
            kind,
            f"{kind} seed={seed} ratio={ratio:g}",
            params,
            {"base": self.base().key},
            {"seed": seed, "ratio": ratio, "model": kind},
            context,
        )

    def _protocol(self, ratio: float) -> dict[str, Any]:
        """What stages of protocol `lacuna` depend on, besides their seed; of others nothing."""
        if not self.by_weight:
            return {}
        params = {
            "protocol": self.plain["masked"],
            "evaluate": self.plain["evaluate"],
            "ratio": ratio,
        }
        file = self.plain["region"]["file"]
        return params if file is None else {**params, "masks_file": file_digest(Path(file))}

    def _masks_file(self) -> dict[str, str]:
        file = self.plain["region"]["file"]
        return {} if file is None else {"region_file": str(Path(file).absolute())}

    def _splits(self) -> dict[str, Any]:
        """What decides whose facts are forgotten, where that differs from seed to seed."""
        return {"masks": self.plain["masked"]["masks"]} if self.by_weight else {}

    def injected(self, seed: int, ratio: float) -> Stage:
        """theta_o."""
        if self.by_weight:
            return self._planted("injected", seed, ratio)
        region = self.plain["region"]
        params = {
            "inject": self.plain["inject"],
            "evaluate": self.plain["evaluate"],
            "ratio": ratio,
            "seed": seed,
        }
        context = {}
        if region["file"] is not None:
            path = Path(region["file"]).absolute()
            columns = load_vectors(path, self.layout).columns  # a file's bytes differ by saving
            params["region"] = digest({name: found.tolist() for name, found in columns.items()})
            context = self._masks_file()
        return self._stage(
            "injected",
            f"injected seed={seed} ratio={ratio:g}",
            params,
            {"retained": self.retained(seed).key},
            {"seed": seed, "ratio": ratio, "model": "injected"},
            context,
        )

    def regions(self, seed: int, ratio: float) -> list[Stage]:
        """The localizers that scenarios need, one stage each."""
        return [self._localized(seed, ratio, (name,)) for name in self.scenario_localizers()]

    def survey(self, seed: int, ratio: float) -> Stage:
        """All localizers of the precision table, sharing their gradient passes."""
        return self._localized(seed, ratio, tuple(self.config.localizers or self.known()))

    def known(self) -> list[str]:
        """Localizers of the study's protocol: single weights cannot be told as value vectors."""
        if not self.by_weight:
            return list(LOCALIZERS)
        told = {n for n, method in LOCALIZERS.items() if TARGET in method.privileges}
        return [n for n in LOCALIZERS if n not in told or n in WEIGHTS]

    def trial(self, cell: Cell, lr: float, seed: int, purpose: str, turn: int = 0) -> Stage:
        """theta_u and what is measured of it; `turn` (1, 2, ...) orders the rates of a search."""
        ratio, objective, scenario = cell
        base, wrappers = parse(objective)
        localizer = SCENARIO_LOCALIZER.get(scenario, scenario)
        inputs = {"injected": self.injected(seed, ratio).key, "retained": self.retained(seed).key}
        if scenario not in ("oracle", "full"):
            inputs["region"] = self._localized(seed, ratio, (localizer,)).key
        params = {
            "objective": objective,
            "scenario": scenario,
            "localizer": localizer,
            "train": {**self.plain["unlearn"]["train"], "lr": lr},
            "options": self.plain["unlearn"]["options"][base],
            "evaluate": self.plain["evaluate"],
            "attack": self.plain["attack"] if purpose == "test" else None,
            "ratio": ratio,
            "seed": seed,
            **self._splits(),
        }
        if wrappers:
            params["wrappers"] = {name: self.plain["unlearn"]["wrap"][name] for name in wrappers}
        tags = {
            **cell._asdict(),
            "localizer": localizer,
            "seed": seed,
            "lr": lr,
            "purpose": purpose,
            **({"turn": turn} if turn else {}),
        }
        label = f"{purpose} {objective} {scenario} ratio={ratio:g} lr={lr:g} seed={seed}"
        return self._stage("trial", label, params, inputs, tags)

    def control(self, name: str, seed: int, ratio: float | None = None) -> Stage:
        """Attacks on a model that was not unlearned; only an injected one has a ratio."""
        parent = self.injected(seed, ratio) if ratio is not None else self.retained(seed)
        if name == "base":
            parent = self.base()
        params = {
            "name": name,
            **self._splits(),
            "evaluate": self.plain["evaluate"],
            "attack": self.plain["attack"],
            "seed": seed,
        }
        inputs = {"model": parent.key, "retained": self.retained(seed).key}
        tags = {"seed": seed, "model": name, **({} if ratio is None else {"ratio": ratio})}
        label = " ".join(["control", *(f"{name}={value}" for name, value in tags.items())])
        return self._stage("control", label, params, inputs, tags)

    def samples(self) -> list[Stage]:
        """A stage of every kind: where these fit, all of the study does."""
        seed, ratio, cell = self.config.seeds[0], self.ratios()[0], self.cells()[0]
        return [
            self.base(),
            self.retained(seed),
            self.injected(seed, ratio),
            self.survey(seed, ratio),
            self.trial(cell, self.candidates(cell)[0], seed, "test"),
            self.control("retained", seed),
        ]

    def resources(self, kind: str) -> tuple[float, float]:
        """CPUs and GPUs of a stage of this kind."""
        general = self.config.resources
        own = general[kind]
        return (
            general.cpus if own.cpus is None else own.cpus,
            general.gpus if own.gpus is None else own.gpus,
        )

    def scenario_localizers(self) -> list[str]:
        """Localizers that give the scenarios their regions."""
        names = [s for s in self.config.scenarios if s not in ("oracle", "full")]
        return [SCENARIO_LOCALIZER.get(name, name) for name in names]

    def _localized(self, seed: int, ratio: float, names: tuple[str, ...]) -> Stage:
        options = self.plain["localize"]
        label = names[0] if len(names) == 1 else f"{len(names)} localizers"
        return self._stage(
            "localized",
            f"localized {label} seed={seed} ratio={ratio:g}",
            {
                "localizers": {name: options[name] for name in names},
                "seed": seed,
                **self._protocol(ratio),
            },
            {"injected": self.injected(seed, ratio).key, "retained": self.retained(seed).key},
            {"seed": seed, "ratio": ratio, "localizer": "+".join(names)},
        )

    def _stage(
        self,
        kind: str,
        label: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, str],
        tags: Mapping[str, Any],
        context: Mapping[str, Any] | None = None,
    ) -> Stage:
        model = dict(self.plain["model"])
        device, source = model.pop("device"), model.pop("source")
        cpus, gpus = self.resources(kind)
        return Stage(
            kind=kind,
            label=label,
            params={
                **params,
                "model": {**model, "source": self._identity(source)},
                "corpus": self.digest,
            },
            inputs=inputs,
            tags={"stage": kind, **{name: str(value) for name, value in tags.items()}},
            cpus=cpus,
            gpus=gpus,
            context={
                "data": self.plain["data"],
                "embedded": source is None,
                "source": source,
                "device": device,
                **(context or {}),
            },
        )

    def _identity(self, source: str | None) -> str | None:
        """A hub name is its own identity; a folder is known by its content, wherever it is."""
        if source is None or not Path(source).is_dir():
            return source
        files = sorted(p for p in Path(source).iterdir() if p.suffix in (".json", ".safetensors"))
        return "folder:" + ",".join(file_digest(p)[:16] for p in files)


def _ratio(value: Any) -> float:
    """A mask ratio as the user gave it."""
    if not isinstance(value, int | float):
        raise UserError(f"region.ratio={value}: give a number, or a list such as [0.05,0.1]")
    return float(value)


def _rate(value: Any) -> float:
    """A learning rate as the user gave it."""
    if not isinstance(value, int | float) or not (value >= 0 and math.isfinite(value)):
        raise UserError(f"learning rate {value!r}: must be a finite number, 0 or more")
    return float(value)


def make_planner(config: DictConfig) -> Planner:
    """Read the corpus, look at the model, and check the study; nothing is trained.

    Raises `UserError` for data or a model that cannot be used.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    source = config.model.source
    corpus = load_corpus(plain["data"], embedded=source is None)
    if source is None:
        shape = mini_layout(build(MiniConfig, plain["model"]["mini"]))
    else:
        shape = read_layout(source, config.model.revision)
    return Planner(config, corpus, shape)
