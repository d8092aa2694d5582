"""A study's stages, one by one: each named by all that its result depends on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, NamedTuple, ParamSpec

from lacuna.artifacts import Json, JsonObject
from lacuna.attack import ATTACKS, AttackConfig, asked
from lacuna.data import Corpus
from lacuna.evaluate import FullCurve
from lacuna.localize import LOCALIZERS
from lacuna.model import Layout
from lacuna.registry import Revised, revisions
from lacuna.results import Kind
from lacuna.train import ONE_DEVICE, Parallel
from lacuna.unlearn import OBJECTIVES, WRAPPERS, parse
from sweeps.config.schema import Study, build_attack
from sweeps.plan.protocols import PROTOCOLS, Draft, evaluate_params
from sweeps.plan.sources import identity
from sweeps.stage import Stage

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = ParamSpec("P")

SPREAD = {
    "retained": "retained.recipe.parallel",
    "injected": "inject.parallel",
    "trial": "unlearn.parallel",
}
"""Kinds of stages that train all parameters -> the key that spreads them over devices."""


class Cell(NamedTuple):
    """One cell of the grid: its trials differ in rate and seed only."""

    ratio: float
    objective: str
    scenario: str

    @classmethod
    def of(cls, trial: Stage) -> "Cell":
        """The cell that a trial belongs to."""
        ratio, names = trial.param("ratio", float), ("objective", "scenario")
        return cls(ratio, *(trial.param(name, str) for name in names))


def once(
    make: Callable[Concatenate["StageFactory", P], Stage],
) -> Callable[Concatenate["StageFactory", P], Stage]:
    """Decorator: a factory makes a stage once for the same arguments; later calls get the same."""

    @wraps(make)
    def made(self: "StageFactory", /, *args: P.args, **kwargs: P.kwargs) -> Stage:
        asked = (make.__name__, *args, *kwargs.items())
        if asked not in self.made:
            self.made[asked] = make(self, *args, **kwargs)
        return self.made[asked]

    return made


UNUSED: JsonObject = {"lr": 1e-5, "save_every": 0}
"""Fields that the trainings of an attack once had, to no effect, and that keys still hold."""


def attack_params(config: AttackConfig, unlearned: bool = True) -> JsonObject:
    """The attacks as parameters of a stage; `extra` only where it names any.

    Matched starts in order of their level, as only claims depend on which comes first, and only
    where an attack is made from them: on a model that is `unlearned`.
    """
    params = asdict(config)
    repeated = unlearned and any(each.matched for each in asked(config).values())
    params["matched"] = (sorted(config.starts) if repeated else []) or None
    for training in (params["train"], params["lora"]["train"]):
        training.update(UNUSED)
    if not params["extra"]:
        del params["extra"]
    return params


def attack_config(stage: Stage) -> AttackConfig:
    """The attacks that a stage's `attack_params` were made from."""
    params = dict(stage.param("attack", dict))
    params["train"] = _used(params["train"])
    params["lora"] = {**params["lora"], "train": _used(params["lora"]["train"])}
    return build_attack(params)


def _used(training: JsonObject) -> JsonObject:
    return {name: value for name, value in training.items() if name not in UNUSED}


def _numbered(draft: Draft, region: int) -> Draft:
    """The draft for one of a seed's random regions; of the first as if it were the only one."""
    if region == 1:
        return draft
    return replace(
        draft,
        label=f"{draft.label} region={region}",
        params={**draft.params, "random_region": region},
        tags={**draft.tags, "region": region},
    )


def revised(methods: Mapping[str, type[Revised]]) -> JsonObject:
    """What stages that hold results of these methods have in their parameters besides options."""
    return {"revisions": dict(found)} if (found := revisions(methods)) else {}


def option_params(config: "DataclassInstance") -> JsonObject:
    """An objective's options as parameters of a stage; later ones only where they differ."""
    params = asdict(config)
    for option in fields(config):
        if option.metadata.get("later") and params[option.name] == option.default:
            del params[option.name]
    return params


class StageFactory:
    """Makes the stages of a study: parameters, parents, label, resources, and so the key."""

    def __init__(self, config: Study, corpus: Corpus, layout: Layout) -> None:
        """`layout` has the model's value vectors, known before any weight is loaded."""
        self.config, self.corpus, self.layout = config, corpus, layout
        self.protocol = PROTOCOLS[config.protocol](config, corpus, layout)
        self.digest = corpus.digest()
        self.identity = identity(config.model.source)  # a folder's gigabytes are read once
        self.made: dict[tuple[object, ...], Stage] = {}

    @once
    def base(self) -> Stage:
        """theta_p, the base model."""
        seed = self.config.base_seed
        return self._stage("base", Draft(label="base", params={"seed": seed}, parents={}, tags={}))

    @once
    def retained(self, seed: int) -> Stage:
        """theta_r, the retained model, which never read the forget facts."""
        return self._stage("retained", self.protocol.retained(self, seed))

    @once
    def injected(self, seed: int, ratio: float) -> Stage:
        """theta_o, which knows all facts; with `inject_seed` one model for all seeds."""
        fixed = self.config.inject_seed
        own = seed if fixed is None else fixed
        return self._stage("injected", self.protocol.injected(self, own, ratio))

    @once
    def localized(
        self,
        seed: int,
        ratio: float,
        names: tuple[str, ...],
        region: int = 1,
        swapped: bool = False,
        rescalings: int = 0,
    ) -> Stage:
        """The regions that one or several localizers find; of random ones the one of a number.

        With `swapped` each is exchanged between injected and retained model; each is found again
        under as many `rescalings`.
        """
        gauges = {"rescalings": rescalings} if rescalings else {}
        measured = {"evaluate": evaluate_params(self.config.evaluate, True)} if swapped else {}
        label = names[0] if len(names) == 1 else f"{len(names)} localizers"
        options = {name: asdict(self.config.localize.of(name)) for name in names}
        draft = Draft(
            label=f"localized {label} seed={seed} ratio={ratio:g}",
            params={
                "localizers": options,
                "seed": seed,
                **self.protocol.localized(ratio),
                **measured,
                **gauges,
                **revised({name: LOCALIZERS[name] for name in names}),
            },
            parents={"injected": self.injected(seed, ratio), "retained": self.retained(seed)},
            tags={"seed": seed, "ratio": ratio, "localizer": "+".join(names)},
        )
        return self._stage("localized", _numbered(draft, region))

    def trial(
        self,
        cell: Cell,
        lr: float,
        seed: int,
        purpose: str,
        turn: int = 0,
        steps: int | None = None,
        validation: str | None = None,
        region: int = 1,
    ) -> Stage:
        """theta_u, the unlearned model, and its scores. `turn` (1, 2, ...) is a rate's in a search.

        With fewer `steps` than the study's it is a rung of that search. With a `validation` field
        it forgets the validation split of that field in place of the main one. `region` is the
        number of its random region.
        """
        ratio, objective, scenario = cell
        whole, localizer = self.config.unlearn.train.steps, self.protocol.localizer(scenario)
        steps = whole if steps is None else steps
        tags = {
            **cell._asdict(),
            "localizer": localizer,
            "seed": seed,
            "lr": lr,
            "purpose": purpose,
        }
        label = f"{purpose} {objective} {scenario} ratio={ratio:g} lr={lr:g} seed={seed}"
        params = {
            **self._unlearning(cell, lr, steps),
            "objective": objective,
            "scenario": scenario,
            "localizer": localizer,
            "evaluate": evaluate_params(self.config.evaluate, purpose == "test"),
            "attack": attack_params(self.config.attack) if purpose == "test" else None,
            "ratio": ratio,
            "seed": seed,
            **self.protocol.split(),
            **revised(self._revised(objective, purpose)),
        }
        if turn:
            tags["turn"] = turn
        if steps != whole:
            tags["rung"] = steps
            label += f" steps={steps}"
        if validation is not None:
            params["validation"] = tags["validation"] = validation
            label += f" validation={validation}"
        draft = Draft(
            label=label,
            params=params,
            parents=self._trial_parents(cell, seed, purpose, region),
            tags=tags,
            parallel=self._trial_parallel(scenario),
        )
        return self._stage("trial", _numbered(draft, region))

    def _unlearning(self, cell: Cell, lr: float, steps: int) -> dict[str, Json]:
        """The method with its options, and how it moves weights."""
        config, parallel = self.config.unlearn, self._trial_parallel(cell.scenario)
        base, wrappers = parse(cell.objective)
        params: dict[str, Json] = {
            "train": {**asdict(config.train), "lr": lr, "steps": steps},
            "options": option_params(config.options.of(base)),
        }
        if parallel.zero:
            params["parallel"] = asdict(parallel)
        if wrappers:
            params["wrappers"] = {name: asdict(config.wrap.of(name)) for name in wrappers}
        return params

    def _revised(self, objective: str, purpose: str) -> dict[str, type[Revised]]:
        """What a trial's results come from: its methods, and of a test trial the measurements."""
        base, wrappers = parse(objective)
        methods: dict[str, type[Revised]] = {base: OBJECTIVES[base]}
        methods |= {name: WRAPPERS[name] for name in wrappers}
        if purpose != "test":
            return methods
        if any(item.perturbed_answers for item in [*self.corpus.forget, *self.corpus.retain]):
            methods["forget quality"] = FullCurve  # which no other data has
        return methods | self._attacks()

    def _attacks(self) -> dict[str, type[Revised]]:
        return {name: ATTACKS[name] for name in asked(self.config.attack)}

    def _trial_parents(self, cell: Cell, seed: int, purpose: str, region: int) -> dict[str, Stage]:
        ratio, _, scenario = cell
        parents = {"injected": self.injected(seed, ratio), "retained": self.retained(seed)}
        if scenario not in ("oracle", "full"):
            names = (self.protocol.localizer(scenario),)
            parents["region"] = self.localized(seed, ratio, names, region)
        return {**parents, **self.protocol.trial_parents(self, purpose)}

    def _trial_parallel(self, scenario: str) -> Parallel:
        return self.config.unlearn.parallel if scenario == "full" else ONE_DEVICE

    def control(self, name: str, seed: int, ratio: float | None = None) -> Stage:
        """Attacks on a model that was not unlearned; `ratio` is given for the injected one only."""
        parent = self.injected(seed, ratio) if ratio is not None else self.retained(seed)
        if name == "base":
            parent = self.base()
        params: JsonObject = {
            "name": name,
            **self.protocol.split(),
            "evaluate": evaluate_params(self.config.evaluate, ratio is not None),
            "attack": attack_params(self.config.attack, unlearned=False),
            "seed": seed,
            **revised(self._attacks()),
        }
        parents = {"model": parent, "retained": self.retained(seed)}
        parents |= self.protocol.split_parents(self, seed, self.config.region.ratios[0])
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

    def _stage(self, kind: Kind, draft: Draft) -> Stage:
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
                "protocol": self.config.protocol,
                **draft.context,
            },
        )
