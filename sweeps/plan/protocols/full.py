"""Protocol `full`: all parameters learn all facts, so nobody knows where a fact lies.

    base -> retained (as under protocol `lee`), injected (all facts)

Lee et al. 2025, section 3. Both models learn by one recipe, `retained.recipe`. There is no target
region: `region.ratio` is the size of the regions that localizers find, of value vectors or with
`region.unit=weight` of single weights.
"""

from dataclasses import asdict

from lacuna import pipeline
from lacuna.artifacts import JsonObject
from lacuna.costs import READ
from lacuna.errors import UserError
from lacuna.localize import LOCALIZERS
from lacuna.localize.evidence import TARGET
from lacuna.pipeline import RetainConfig
from lacuna.region import budget
from lacuna.results import InjectedSummary, LocalizedSummary
from sweeps.plan.costs.memory import RESUME_BYTES, Memory, Size
from sweeps.plan.costs.texts import StudyTexts
from sweeps.plan.protocols.base import PROTOCOLS, Draft, Stages, evaluate_params
from sweeps.plan.protocols.job import Job
from sweeps.plan.protocols.lee import Lee
from sweeps.stage import Stage


@PROTOCOLS.register("full")
class Full(Lee):
    """Facts in all parameters."""

    units = ("vector", "weight")
    rescales = False
    one_device = {}
    compact = False

    def injected(self, stages: Stages, seed: int, ratio: float) -> Draft:
        """All parameters learn all facts; one model for all ratios, which are those of regions."""
        parallel = self.config.inject.parallel
        recipe = {**asdict(self.config.retained.recipe), "parallel": asdict(parallel)}
        return Draft(
            label=f"injected seed={seed} (all parameters)",
            params={
                "recipe": recipe,
                "evaluate": evaluate_params(self.config.evaluate),
                "seed": seed,
            },
            parents={"base": stages.base()},
            tags={"seed": seed, "ratio": ratio, "model": "injected"},
            parallel=parallel,
        )

    def localized(self, ratio: float) -> JsonObject:
        """How large regions are, and what they are made of, as no target region says so."""
        return {"ratio": ratio, **({"unit": "weight"} if self._single else {})}

    @property
    def _single(self) -> bool:
        """Whether regions are made of single weights."""
        return self.config.region.unit == "weight"

    def check(self) -> None:
        """Regions have a size, and no target."""
        if self.config.evaluate.transplant:
            raise UserError(
                "evaluate.transplant=true exchanges the target region, and protocol=full has none: "
                "use protocol=lee or lacuna, or drop it"
            )
        if self.config.region.file is not None:
            raise UserError("region.file is a target region, and protocol=full has none: drop one")
        for ratio in self.config.region.ratios:
            budget(self.layout, ratio)

    def room(self) -> int:
        """As often as the largest region goes into the model: there is none to keep clear of."""
        if self._single:
            values = sum(height * width for height, width in self.layout.shapes.values())
            return values // max(1, self.region_weights(0, values))
        return self.layout.total // self._vectors()

    def unfit(self, localizer: str) -> str | None:
        """There is no target region to be told, and few localizers score single weights."""
        if TARGET in LOCALIZERS[localizer].privileges:
            return "needs a target region, and protocol=full plants facts everywhere"
        if self._single and not LOCALIZERS[localizer].scores_weights():
            return "scores whole value vectors, and region.unit=weight ranks single weights"
        return None

    def localizer(self, scenario: str) -> str:
        """There is no target region to be outside of: `random` lies anywhere."""
        return "random" if scenario == "random" else super().localizer(scenario)

    def region_weights(self, model: int, values: int) -> int:
        """Of the largest region that a localizer finds."""
        if self._single:
            return round(max(self.config.region.ratios) * values)
        return super().region_weights(model, values)

    def region_text(self, size: Size) -> str:
        """A region's size, for people."""
        if self._single:
            return f"{size.region:,} of {size.values:,} weights"
        return super().region_text(size)

    def work(self, stage: Stage, texts: StudyTexts) -> float:
        """Training, then measuring."""
        return self.training(stage, texts) + READ * texts.everything

    def training(self, stage: Stage, texts: StudyTexts) -> float:
        """An injected model learns more facts, each as often as the retained model its own."""
        retained = super().training(stage, texts)
        if stage.kind == "retained":
            return retained
        return retained * (1 + len(self.corpus.forget) / len(self.corpus.retain))

    def memory(self, stage: Stage, model: Memory) -> float:
        """All weights in training."""
        config = self.config
        kept = config.retained.recipe.parallel
        return model.trained(kept if stage.kind == "retained" else config.inject.parallel)

    def disk(self, stage: Stage, model: Memory) -> float:
        """The model, and step checkpoints of all weights."""
        resumes = self.config.retained.recipe.train.save_every
        return model.weights + (RESUME_BYTES * model.size.model if resumes else 0)

    @staticmethod
    def inject(job: Job) -> InjectedSummary | None:
        """Teach all facts."""
        given = job.given(job.config("recipe", RetainConfig))
        return pipeline.full.injected(job.out, base=job.inputs["base"], given=given)

    @staticmethod
    def localize(job: Job) -> LocalizedSummary:
        """Ask localizers for regions of the ratio."""
        stage = job.stage
        return pipeline.full.localized(
            job.out,
            injected=job.inputs["injected"],
            retained=job.inputs["retained"],
            given=job.given(None),
            localizers=job.localizers,
            unit=stage.param("unit", str) if "unit" in stage.params else "vector",
        )
