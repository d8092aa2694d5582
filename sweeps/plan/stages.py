"""A study's stages, one by one: each named by all that its result depends on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from lacuna.artifacts import digest, file_digest
from lacuna.data import Corpus
from lacuna.errors import UserError
from lacuna.model import Layout
from lacuna.region import load_vectors
from lacuna.train import Parallel
from lacuna.unlearn import parse
from sweeps.stage import Stage

SPREAD = {
    "retained": "retained.recipe.parallel",
    "injected": "inject.parallel",
    "trial": "unlearn.parallel",
}
"""Kinds of stages that train all parameters -> the key that spreads them over devices."""
SCENARIO_LOCALIZER = {"random": "complement", "uniform": "random"}
"""Lee et al.'s Random region lies outside the target region, where there is one; `uniform` lies
anywhere."""


class Cell(NamedTuple):
    """One cell of the grid: its trials differ in rate and seed only."""

    ratio: float
    objective: str
    scenario: str


@dataclass(frozen=True)
class Stages:
    """Knows a study's configuration and corpus, and names its stages."""

    config: DictConfig
    corpus: Corpus
    layout: Layout
    """Value vectors of the model, known before any weight is loaded."""
    plain: dict[str, Any] = field(init=False)
    digest: str = field(init=False)
    identity: str | None = field(init=False)
    """What stands for the model in keys; a folder's bytes, maybe gigabytes, are read once."""

    def __post_init__(self) -> None:
        plain = OmegaConf.to_container(self.config, resolve=True)
        object.__setattr__(self, "plain", plain)
        object.__setattr__(self, "digest", self.corpus.digest())
        object.__setattr__(self, "identity", _identity(self.config.model.source))

    def ratios(self) -> list[float]:
        """Mask ratios of the study, as asked for."""
        given = self.plain["region"]["ratio"]
        return [_ratio(value) for value in (given if isinstance(given, list) else [given])]

    def base(self) -> Stage:
        """theta_p."""
        return self._stage("base", "base", {"seed": self.config.base_seed}, {}, {})

    @property
    def by_weight(self) -> bool:
        """Whether facts are planted into single weights (protocol `lacuna`)."""
        return bool(self.plain["protocol"] == "lacuna")

    @property
    def divided(self) -> bool:
        """Whether facts are drawn from what the injected model recites."""
        return self.by_weight and self.corpus.book is not None

    def _read_splits(self, seed: int, ratio: float) -> dict[str, str]:
        """The input whose splits a stage works on, if any."""
        return {"injected": self.injected(seed, ratio).key} if self.divided else {}

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
        inputs = {"base": self.base().key}
        if kind == "retained":
            inputs |= self._read_splits(seed, ratio)
        if kind == "injected" and (checkpoint := self.plain["checkpoint"]) is not None:
            params["checkpoint"] = _identity(checkpoint)
            context["checkpoint"] = checkpoint
        return self._stage(
            kind,
            f"{kind} seed={seed} ratio={ratio:g}",
            params,
            inputs,
            {"seed": seed, "ratio": ratio, "model": kind},
            context,
        )

    def _protocol(self, ratio: float) -> dict[str, Any]:
        """What stages of protocol `lacuna` depend on, besides their seed; of others nothing."""
        if not self.by_weight:
            return {}
        params = {
            "protocol": dict(self.plain["masked"]),
            "evaluate": self.plain["evaluate"],
            "ratio": ratio,
        }
        if not self.divided:
            del params["protocol"]["splits"]
        file = self.plain["region"]["file"]
        return params if file is None else {**params, "masks_file": file_digest(Path(file))}

    def _masks_file(self) -> dict[str, str]:
        file = self.plain["region"]["file"]
        return {} if file is None else {"region_file": str(Path(file).absolute())}

    def _splits(self) -> dict[str, Any]:
        """What decides whose facts are forgotten, where that differs from seed to seed."""
        return {"masks": self.plain["masked"]["masks"]} if self.by_weight else {}

    def injected(self, seed: int, ratio: float) -> Stage:
        """theta_o; shared by all seeds if the study fixes its seed."""
        fixed = self.config.inject_seed
        seed = seed if fixed is None else fixed
        if self.everywhere:
            return self._taught(seed, ratio)
        if self.by_weight:
            return self._planted("injected", seed, ratio)
        region, inject = self.plain["region"], dict(self.plain["inject"])
        del inject["method"], inject["parallel"]
        params = {
            "inject": inject,
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

    def _taught(self, seed: int, ratio: float) -> Stage:
        """theta_o that learned all facts with all its parameters; the ratio is that of regions."""
        recipe, parallel = self.plain["retained"]["recipe"], self.plain["inject"]["parallel"]
        return self._stage(
            "injected",
            f"injected seed={seed} (all parameters)",
            {
                "recipe": {**recipe, "parallel": parallel},
                "evaluate": self.plain["evaluate"],
                "seed": seed,
            },
            {"base": self.base().key},
            {"seed": seed, "ratio": ratio, "model": "injected"},
        )

    @property
    def everywhere(self) -> bool:
        """Whether facts are learned by all parameters, so that there is no target region."""
        return str(self.config.inject.method) == "full"

    @property
    def single(self) -> bool:
        """Whether regions are made of single weights."""
        return str(self.config.region.unit) == "weight"

    def trial(
        self,
        cell: Cell,
        lr: float,
        seed: int,
        purpose: str,
        turn: int = 0,
        steps: int | None = None,
        validation: str | None = None,
    ) -> Stage:
        """theta_u and what is measured of it; `turn` (1, 2, ...) orders the rates of a search.

        With fewer `steps` than the study's it is a rung of that search. With a `validation` field
        it forgets the validation split of that field in place of the main one.
        """
        ratio, objective, scenario = cell
        base, wrappers = parse(objective)
        train = self.plain["unlearn"]["train"]
        steps = train["steps"] if steps is None else steps
        rung = {"rung": steps} if steps != train["steps"] else {}
        split = {} if validation is None else {"validation": validation}
        localizer = self.localizer(scenario)
        inputs = {"injected": self.injected(seed, ratio).key, "retained": self.retained(seed).key}
        if scenario not in ("oracle", "full"):
            inputs["region"] = self._localized(seed, ratio, (localizer,)).key
        if self.by_weight and purpose == "test":
            inputs["base"] = self.base().key
        params = {
            "objective": objective,
            "scenario": scenario,
            "localizer": localizer,
            "train": {**train, "lr": lr, "steps": steps},
            "options": self.plain["unlearn"]["options"][base],
            "evaluate": self.plain["evaluate"],
            "attack": self._attack() if purpose == "test" else None,
            "ratio": ratio,
            "seed": seed,
            **self._splits(),
            **split,
        }
        if scenario == "full" and (parallel := self.plain["unlearn"]["parallel"])["zero"]:
            params["parallel"] = parallel
        if wrappers:
            params["wrappers"] = {name: self.plain["unlearn"]["wrap"][name] for name in wrappers}
        tags = {
            **cell._asdict(),
            "localizer": localizer,
            "seed": seed,
            "lr": lr,
            "purpose": purpose,
            **({"turn": turn} if turn else {}),
            **rung,
            **split,
        }
        label = f"{purpose} {objective} {scenario} ratio={ratio:g} lr={lr:g} seed={seed}"
        label += f" steps={steps}" if rung else ""
        label += f" validation={validation}" if split else ""
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
            "attack": self._attack(),
            "seed": seed,
        }
        inputs = {"model": parent.key, "retained": self.retained(seed).key}
        inputs |= self._read_splits(seed, self.ratios()[0])
        tags = {"seed": seed, "model": name, **({} if ratio is None else {"ratio": ratio})}
        label = " ".join(["control", *(f"{name}={value}" for name, value in tags.items())])
        return self._stage("control", label, params, inputs, tags)

    def _attack(self) -> dict[str, Any]:
        """What attacks depend on; those of other packages only where there are any."""
        asked = dict(self.plain["attack"])
        if not asked["extra"]:
            del asked["extra"]
        return asked

    def resources(self, kind: str) -> tuple[float, float]:
        """CPUs and GPUs of a stage of this kind; search and test are kinds of trial."""
        general = self.config.resources
        own = general["trial" if kind in ("search", "test") else kind]
        return (
            general.cpus if own.cpus is None else own.cpus,
            general.gpus if own.gpus is None else own.gpus,
        )

    @property
    def spread(self) -> dict[str, str]:
        """Kinds of stages that are spread over devices -> the key that asks for it."""
        asked = OmegaConf.select
        return {kind: key for kind, key in SPREAD.items() if asked(self.config, f"{key}.zero")}

    def localizer(self, scenario: str) -> str:
        """The localizer that gives a scenario its region."""
        if self.everywhere and scenario == "random":
            return scenario  # there is no target region to be outside of
        return SCENARIO_LOCALIZER.get(scenario, scenario)

    def _localized(self, seed: int, ratio: float, names: tuple[str, ...]) -> Stage:
        options = self.plain["localize"]
        label = names[0] if len(names) == 1 else f"{len(names)} localizers"
        params = {"localizers": {name: options[name] for name in names}, "seed": seed}
        if self.everywhere:
            params["ratio"] = ratio
        if self.single:
            params["unit"] = "weight"
        return self._stage(
            "localized",
            f"localized {label} seed={seed} ratio={ratio:g}",
            {**params, **self._protocol(ratio)},
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
        model["prompt"] = {name: v for name, v in model["prompt"].items() if v is not None}
        cpus, gpus = self.resources(kind)
        workers = spread_over(params).workers if spread_over(params).zero else 0
        return Stage(
            kind=kind,
            label=label,
            params={
                **params,
                "model": {**model, "source": self.identity},
                "corpus": self.digest,
            },
            inputs=inputs,
            tags={"stage": kind, **{name: str(value) for name, value in tags.items()}},
            cpus=cpus,
            gpus=workers if workers and gpus else gpus,
            workers=workers,
            context={
                "data": self.plain["data"],
                "embedded": source is None,
                "source": source,
                "device": device,
                **(context or {}),
            },
        )


def spread_over(params: Mapping[str, Any]) -> Parallel:
    """Over how many devices a stage of these parameters trains."""
    found = params.get("parallel") or params.get("recipe", {}).get("parallel", {})
    return Parallel(**found)


def _identity(source: str | None) -> str | None:
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
