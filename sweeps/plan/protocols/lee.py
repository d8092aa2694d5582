"""Protocol `lee`: forget facts go into value vectors of a model that knows the retain facts.

    base -> retained -> injected

Lee et al. 2025, section 4: all parameters learn the retain facts; then the value vectors of the
target region, and no other weight, learn the forget facts.
"""

from dataclasses import asdict
from pathlib import Path

from lacuna import pipeline
from lacuna.artifacts import Json, JsonObject, digest
from lacuna.costs import ALL, READ, REGION
from lacuna.errors import UserError
from lacuna.inject import InjectConfig
from lacuna.localize.localizers.dose import DOSES
from lacuna.pipeline import RetainConfig
from lacuna.region import budget, load_vectors
from lacuna.results import InjectedSummary, LocalizedSummary, RetainedSummary
from sweeps.plan.costs.memory import RESUME_BYTES, Memory
from sweeps.plan.costs.texts import StudyTexts
from sweeps.plan.protocols.base import PROTOCOLS, Draft, Protocol, Stages, evaluate_params
from sweeps.plan.protocols.job import Job
from sweeps.stage import Stage


@PROTOCOLS.register("lee")
class Lee(Protocol):
    """Facts in value vectors, after the retain facts."""

    rescales = True
    one_device = {
        "injected": "a region is planted on one device: drop it, or use protocol=full",
    }

    def retained(self, stages: Stages, seed: int) -> Draft:
        """All parameters learn the retain facts; one for all seeds if the study fixes its seed."""
        config = self.config.retained
        own = seed if config.seed is None else config.seed
        return Draft(
            label=f"retained seed={own}",
            params={
                "recipe": asdict(config.recipe),
                "evaluate": evaluate_params(self.config.evaluate),
                "seed": own,
            },
            parents={"base": stages.base()},
            tags={"seed": own, "model": "retained"},
            parallel=config.recipe.parallel,
        )

    def injected(self, stages: Stages, seed: int, ratio: float) -> Draft:
        """The target region, drawn by seed and ratio or read, learns the forget facts."""
        file = self.config.region.file
        inject = {name: v for name, v in asdict(self.config.inject).items() if name != "parallel"}
        if self.config.inject.gauge == "none":
            del inject["gauge"]  # keys from before there was one
        params: dict[str, Json] = {
            "inject": inject,
            "evaluate": evaluate_params(self.config.evaluate),
            "ratio": ratio,
            "seed": seed,
        }
        context: JsonObject = {}
        if file is not None:
            columns = load_vectors(Path(file), self.layout).columns
            # the vectors and not the file: its bytes differ by saving
            params["region"] = digest({name: found.tolist() for name, found in columns.items()})
            context = {"region_file": file}
        return Draft(
            label=f"injected seed={seed} ratio={ratio:g}",
            params=params,
            parents={"retained": stages.retained(seed)},
            tags={"seed": seed, "ratio": ratio, "model": "injected"},
            context=context,
        )

    def check(self) -> None:
        """The region fits, and leaves room for a random one outside it."""
        file, ratios = self.config.region.file, self.config.region.ratios
        for ratio in ratios:
            budget(self.layout, ratio)
        if file is not None and len(ratios) > 1:
            raise UserError(
                f"region.ratio={ratios}: region.file={file} is one region: give one ratio"
            )
        share = max(ratios) if file is None else load_vectors(Path(file), self.layout).fraction
        outside = {"complement", *DOSES} & {*self.scenario_localizers()}
        for wanted, name in (
            (bool(outside), "scenario random or a dose"),
            (self.config.evaluate.transplant, "evaluate.transplant=true"),
        ):
            if share > 0.5 and wanted:
                raise UserError(
                    f"region.ratio={share:g} leaves no room for as large a region outside it "
                    f"({name}): use at most 0.5, or drop that"
                )

    def room(self) -> int:
        """As often as the largest region goes into what it leaves."""
        return self.layout.total // self._vectors() - 1

    def _vectors(self) -> int:
        """Value vectors of the largest region."""
        file = self.config.region.file
        if file is not None:
            return len(load_vectors(Path(file), self.layout))
        return budget(self.layout, max(self.config.region.ratios))

    def region_weights(self, model: int, values: int) -> int:
        """Of the value vectors that learn the forget facts."""
        return self._vectors() * next(iter(self.layout.shapes.values()))[0]

    def work(self, stage: Stage, texts: StudyTexts) -> float:
        """Training, then measuring; an injected model also before it, and with its region back."""
        if stage.kind == "retained":
            return self.training(stage, texts) + READ * texts.everything
        planted = REGION * texts.pairs(self.config.inject.train)
        return planted + READ * (texts.everything + 2 * texts.strength)

    def training(self, stage: Stage, texts: StudyTexts) -> float:
        """All parameters learn the retain facts, and what is rehearsed beside them."""
        recipe = self.config.retained.recipe
        read = texts.lengths(self.corpus.retain) + texts.neutral[: recipe.neutral]
        if recipe.utility:
            read += texts.lengths(texts.utility)
        return ALL * texts.trained(recipe.train, read)

    def memory(self, stage: Stage, model: Memory) -> float:
        """All weights in training, or the model and its region in training."""
        if stage.kind == "retained":
            return model.trained(self.config.retained.recipe.parallel)
        return model.weights + model.region

    def disk(self, stage: Stage, model: Memory) -> float:
        """The model, and step checkpoints of what trains."""
        train, moved = self.config.retained.recipe.train, model.size.model
        if stage.kind == "injected":
            train, moved = self.config.inject.train, model.size.region
        return model.weights + (RESUME_BYTES * moved if train.save_every else 0)

    @staticmethod
    def retain(job: Job) -> RetainedSummary | None:
        """Teach the retain facts."""
        given = job.given(job.config("recipe", RetainConfig))
        return pipeline.lee.retained(job.out, base=job.inputs["base"], given=given)

    @staticmethod
    def inject(job: Job) -> InjectedSummary | None:
        """Plant the forget facts."""
        given = job.given(job.config("inject", InjectConfig))
        return pipeline.lee.injected(job.out, retained=job.inputs["retained"], given=given)

    @staticmethod
    def localize(job: Job) -> LocalizedSummary:
        """Ask localizers for as many value vectors as the target region has."""
        return pipeline.lee.localized(
            job.out,
            injected=job.inputs["injected"],
            retained=job.inputs["retained"],
            given=job.given(None),
            localizers=job.localizers,
            rescalings=int(str(job.stage.params.get("rescalings", 0))),
        )
