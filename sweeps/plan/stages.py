"""A study's stages, one by one: each named by all that its result depends on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import wraps
from pathlib import Path
from typing import Concatenate, NamedTuple, ParamSpec

from lacuna.artifacts import Json, JsonObject, digest, file_digest
from lacuna.data import Corpus
from lacuna.model import Layout
from lacuna.region import load_vectors
from lacuna.train import ONE_DEVICE, Parallel
from lacuna.unlearn import parse
from sweeps.config.schema import Study
from sweeps.stage import Stage

P = ParamSpec("P")

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


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What one stage adds to what all stages of a study share."""

    label: str
    params: JsonObject
    parents: Mapping[str, Stage]
    """Role -> the stage whose result is read."""
    tags: Mapping[str, object]
    context: JsonObject = field(default_factory=dict)
    parallel: Parallel = ONE_DEVICE


def once(
    make: Callable[Concatenate["StageFactory", P], Stage],
) -> Callable[Concatenate["StageFactory", P], Stage]:
    """Have a factory make a stage once for the same arguments, as many others stand on it."""

    @wraps(make)
    def made(self: "StageFactory", /, *args: P.args, **kwargs: P.kwargs) -> Stage:
        asked = (make.__name__, *args, *kwargs.items())
        if asked not in self.made:
            self.made[asked] = make(self, *args, **kwargs)
        return self.made[asked]

    return made


class StageFactory:
    """Knows a study's configuration and corpus, and names its stages."""

    def __init__(self, config: Study, corpus: Corpus, layout: Layout) -> None:
        """`layout` has the model's value vectors, known before any weight is loaded."""
        self.config, self.corpus, self.layout = config, corpus, layout
        self.digest = corpus.digest()
        self.identity = identity(config.model.source)  # a folder's gigabytes are read once
        self.made: dict[tuple[object, ...], Stage] = {}

    @once
    def base(self) -> Stage:
        """theta_p."""
        seed = self.config.base_seed
        return self._stage("base", Draft(label="base", params={"seed": seed}, parents={}, tags={}))

    @property
    def by_weight(self) -> bool:
        """Whether facts are planted into single weights (protocol `lacuna`)."""
        return self.config.protocol == "lacuna"

    @property
    def divided(self) -> bool:
        """Whether facts are drawn from what the injected model recites."""
        return self.by_weight and self.corpus.book is not None

    def _read_splits(self, seed: int, ratio: float) -> dict[str, Stage]:
        """The input whose splits a stage works on, if any."""
        return {"injected": self.injected(seed, ratio)} if self.divided else {}

    @once
    def retained(self, seed: int) -> Stage:
        """theta_r; shared by all seeds if the study fixes its seed, which needs protocol `lee`."""
        if self.by_weight:
            return self._planted("retained", seed, self.config.region.ratios[0])
        config = self.config.retained
        own = seed if config.seed is None else config.seed
        params: JsonObject = {
            "recipe": asdict(config.recipe),
            "evaluate": self._evaluate,
            "seed": own,
        }
        return self._stage(
            "retained",
            Draft(
                label=f"retained seed={own}",
                params=params,
                parents={"base": self.base()},
                tags={"seed": own, "model": "retained"},
                parallel=config.recipe.parallel,
            ),
        )

    def _planted(self, kind: str, seed: int, ratio: float) -> Stage:
        """theta_r or theta_o of protocol `lacuna`: both stem from the base model."""
        params: dict[str, Json] = {**self._protocol(ratio), "seed": seed}
        context = self._masks_file()
        parents = {"base": self.base()}
        if kind == "retained":
            parents |= self._read_splits(seed, ratio)
        if kind == "injected" and (checkpoint := self.config.checkpoint) is not None:
            params["checkpoint"] = identity(checkpoint)
            context["checkpoint"] = checkpoint
        return self._stage(
            kind,
            Draft(
                label=f"{kind} seed={seed} ratio={ratio:g}",
                params=params,
                parents=parents,
                tags={"seed": seed, "ratio": ratio, "model": kind},
                context=context,
            ),
        )

    def _protocol(self, ratio: float) -> JsonObject:
        """What stages of protocol `lacuna` depend on, besides their seed; of others nothing."""
        if not self.by_weight:
            return {}
        protocol = asdict(self.config.masked)
        if not self.divided:
            del protocol["splits"]
        params: JsonObject = {"protocol": protocol, "evaluate": self._evaluate, "ratio": ratio}
        file = self.config.region.file
        return params if file is None else {**params, "masks_file": file_digest(Path(file))}

    def _masks_file(self) -> dict[str, str]:
        file = self.config.region.file
        return {} if file is None else {"region_file": file}

    def _splits(self) -> JsonObject:
        """What decides whose facts are forgotten, where that differs from seed to seed."""
        return {"masks": asdict(self.config.masked.masks)} if self.by_weight else {}

    @property
    def _evaluate(self) -> JsonObject:
        return asdict(self.config.evaluate)

    @property
    def _attack(self) -> JsonObject:
        """What attacks depend on; those of other packages only where there are any."""
        asked = asdict(self.config.attack)
        return asked if asked["extra"] else {n: v for n, v in asked.items() if n != "extra"}

    @once
    def injected(self, seed: int, ratio: float) -> Stage:
        """theta_o; shared by all seeds if the study fixes its seed."""
        fixed = self.config.inject_seed
        seed = seed if fixed is None else fixed
        if self.everywhere:
            return self._taught(seed, ratio)
        if self.by_weight:
            return self._planted("injected", seed, ratio)
        inject, file = asdict(self.config.inject), self.config.region.file
        del inject["method"], inject["parallel"]
        params: dict[str, Json] = {
            "inject": inject,
            "evaluate": self._evaluate,
            "ratio": ratio,
            "seed": seed,
        }
        if file is not None:
            columns = load_vectors(Path(file), self.layout).columns
            # the vectors and not the file: its bytes differ by saving
            params["region"] = digest({name: found.tolist() for name, found in columns.items()})
        return self._stage(
            "injected",
            Draft(
                label=f"injected seed={seed} ratio={ratio:g}",
                params=params,
                parents={"retained": self.retained(seed)},
                tags={"seed": seed, "ratio": ratio, "model": "injected"},
                context=self._masks_file(),
            ),
        )

    def _taught(self, seed: int, ratio: float) -> Stage:
        """theta_o that learned all facts with all its parameters; the ratio is that of regions."""
        recipe, parallel = self.config.retained.recipe, self.config.inject.parallel
        params: JsonObject = {
            "recipe": {**asdict(recipe), "parallel": asdict(parallel)},
            "evaluate": self._evaluate,
            "seed": seed,
        }
        return self._stage(
            "injected",
            Draft(
                label=f"injected seed={seed} (all parameters)",
                params=params,
                parents={"base": self.base()},
                tags={"seed": seed, "ratio": ratio, "model": "injected"},
                parallel=parallel,
            ),
        )

    @property
    def everywhere(self) -> bool:
        """Whether facts are learned by all parameters, so that there is no target region."""
        return self.config.inject.method == "full"

    @property
    def single(self) -> bool:
        """Whether regions are made of single weights."""
        return self.config.region.unit == "weight"

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
        config, whole = self.config.unlearn, self.config.unlearn.train.steps
        base, wrappers = parse(objective)
        steps = whole if steps is None else steps
        rung = {} if steps == whole else {"rung": steps}
        split = {} if validation is None else {"validation": validation}
        localizer = self.localizer(scenario)
        parents = {"injected": self.injected(seed, ratio), "retained": self.retained(seed)}
        if scenario not in ("oracle", "full"):
            parents["region"] = self.localized(seed, ratio, (localizer,))
        if self.by_weight and purpose == "test":
            parents["base"] = self.base()
        parallel = config.parallel if scenario == "full" else ONE_DEVICE
        params: dict[str, Json] = {
            "objective": objective,
            "scenario": scenario,
            "localizer": localizer,
            "train": {**asdict(config.train), "lr": lr, "steps": steps},
            "options": asdict(config.options.of(base)),
            "evaluate": self._evaluate,
            "attack": self._attack if purpose == "test" else None,
            "ratio": ratio,
            "seed": seed,
            **self._splits(),
            **split,
        }
        if parallel.zero:
            params["parallel"] = asdict(parallel)
        if wrappers:
            params["wrappers"] = {name: asdict(config.wrap.of(name)) for name in wrappers}
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
        return self._stage(
            "trial",
            Draft(label=label, params=params, parents=parents, tags=tags, parallel=parallel),
        )

    def control(self, name: str, seed: int, ratio: float | None = None) -> Stage:
        """Attacks on a model that was not unlearned; only an injected one has a ratio."""
        parent = self.injected(seed, ratio) if ratio is not None else self.retained(seed)
        if name == "base":
            parent = self.base()
        params: JsonObject = {
            "name": name,
            **self._splits(),
            "evaluate": self._evaluate,
            "attack": self._attack,
            "seed": seed,
        }
        parents = {"model": parent, "retained": self.retained(seed)}
        parents |= self._read_splits(seed, self.config.region.ratios[0])
        tags = {"seed": seed, "model": name, **({} if ratio is None else {"ratio": ratio})}
        label = " ".join(["control", *(f"{name}={value}" for name, value in tags.items())])
        return self._stage("control", Draft(label=label, params=params, parents=parents, tags=tags))

    def resources(self, kind: str) -> tuple[float, float]:
        """CPUs and GPUs of a stage of this kind; search and test are kinds of trial."""
        general = self.config.resources
        own = general.of("trial" if kind in ("search", "test") else kind)
        return (
            general.cpus if own.cpus is None else own.cpus,
            general.gpus if own.gpus is None else own.gpus,
        )

    def localizer(self, scenario: str) -> str:
        """The localizer that gives a scenario its region."""
        if self.everywhere and scenario == "random":
            return scenario  # there is no target region to be outside of
        return SCENARIO_LOCALIZER.get(scenario, scenario)

    @once
    def localized(self, seed: int, ratio: float, names: tuple[str, ...]) -> Stage:
        """Regions that localizers find, one or several in one stage."""
        label = names[0] if len(names) == 1 else f"{len(names)} localizers"
        options = {name: asdict(self.config.localize.of(name)) for name in names}
        params: dict[str, Json] = {"localizers": options, "seed": seed}
        if self.everywhere:
            params["ratio"] = ratio
        if self.single:
            params["unit"] = "weight"
        return self._stage(
            "localized",
            Draft(
                label=f"localized {label} seed={seed} ratio={ratio:g}",
                params={**params, **self._protocol(ratio)},
                parents={"injected": self.injected(seed, ratio), "retained": self.retained(seed)},
                tags={"seed": seed, "ratio": ratio, "localizer": "+".join(names)},
            ),
        )

    def _stage(self, kind: str, draft: Draft) -> Stage:
        model = asdict(self.config.model)
        device, source = model.pop("device"), model.pop("source")
        model["prompt"] = {name: v for name, v in model["prompt"].items() if v is not None}
        cpus, gpus = self.resources(kind)
        workers = draft.parallel.workers if draft.parallel.zero else 0
        return Stage(
            kind=kind,
            label=draft.label,
            params={
                **draft.params,
                "model": {**model, "source": self.identity},
                "corpus": self.digest,
            },
            inputs={role: parent.key for role, parent in draft.parents.items()},
            tags={"stage": kind, **{name: str(value) for name, value in draft.tags.items()}},
            cpus=cpus,
            gpus=workers if workers and gpus else gpus,
            workers=workers,
            context={
                "data": asdict(self.config.data),
                "embedded": source is None,
                "source": source,
                "device": device,
                **draft.context,
            },
        )


def identity(source: str | None) -> str | None:
    """What stands for a model in keys: a hub name, or a digest of a folder's files.

    A folder is known by its content, wherever it is.
    """
    if source is None or not Path(source).is_dir():
        return source
    files = sorted(p for p in Path(source).iterdir() if p.suffix in (".json", ".safetensors"))
    return "folder:" + ",".join(file_digest(p)[:16] for p in files)
