"""Protocol `lacuna`: groups of people go into masks of single weights, all from the base model.

    base -> retained (retain groups only), injected (all groups)

LACUNA (2026). Where the data carries a book of wordings, what is forgotten is drawn from what the
injected model recites: then the retained model, trials and controls read its splits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from lacuna import pipeline
from lacuna.artifacts import Json, JsonObject, file_digest
from lacuna.costs import ALL, READ
from lacuna.data import Corpus
from lacuna.errors import UserError
from lacuna.inject import MaskConfig
from lacuna.localize import LOCALIZERS
from lacuna.localize.evidence import TARGET
from lacuna.pipeline import WEIGHTS, ProtocolConfig
from lacuna.pipeline.splits import refuse, working
from lacuna.region import load_masks
from lacuna.results import InjectedSummary, LocalizedSummary, RetainedSummary
from sweeps.plan.costs.memory import Memory, Size
from sweeps.plan.costs.texts import StudyTexts
from sweeps.plan.protocols.base import PROTOCOLS, Draft, Protocol, Stages, evaluate_params
from sweeps.plan.protocols.job import Job
from sweeps.plan.sources import identity
from sweeps.stage import Stage

ONE_DEVICE = "protocol lacuna trains on one device: drop it"


@PROTOCOLS.register("lacuna")
class Lacuna(Protocol):
    """Facts in masks of single weights, a mask for each group of people."""

    adopts = True
    one_device = {"retained": ONE_DEVICE, "injected": ONE_DEVICE}
    controls = ("base", "retained")

    @property
    def divided(self) -> bool:
        """Whether facts are drawn from what the injected model recites."""
        return self.corpus.book is not None

    def retained(self, stages: Stages, seed: int) -> Draft:
        """The retain groups in their masks; the same recipe from the same base."""
        ratio = self.config.region.ratios[0]
        parents = {"base": stages.base(), **self.split_parents(stages, seed, ratio)}
        return self._planted("retained", seed, ratio, parents)

    def injected(self, stages: Stages, seed: int, ratio: float) -> Draft:
        """All groups in their masks, or somebody else's checkpoint with its masks."""
        return self._planted("injected", seed, ratio, {"base": stages.base()})

    def _planted(self, kind: str, seed: int, ratio: float, parents: Mapping[str, Stage]) -> Draft:
        params: dict[str, Json] = {**self.localized(ratio), "seed": seed}
        context: dict[str, Json] = {}
        if self.config.region.file is not None:
            context["region_file"] = self.config.region.file
        if kind == "injected" and self.config.checkpoint is not None:
            params["checkpoint"] = identity(self.config.checkpoint)
            context["checkpoint"] = self.config.checkpoint
        return Draft(
            label=f"{kind} seed={seed} ratio={ratio:g}",
            params=params,
            parents=parents,
            tags={"seed": seed, "ratio": ratio, "model": kind},
            context=context,
        )

    def localized(self, ratio: float) -> JsonObject:
        """The masks and all that is planted into them; `splits` only where there is a book."""
        config, file = self.config, self.config.region.file
        planting = asdict(config.masked)
        if not self.divided:
            del planting["splits"]
        params: JsonObject = {
            "protocol": planting,
            "evaluate": evaluate_params(config.evaluate),
            "ratio": ratio,
        }
        return params if file is None else {**params, "masks_file": file_digest(Path(file))}

    def split(self) -> JsonObject:
        """Groups differ from seed to seed, by these masks."""
        return {"masks": asdict(self.config.masked.masks)}

    def split_parents(self, stages: Stages, seed: int, ratio: float) -> Mapping[str, Stage]:
        """With a book, the injected model, whose memory decides."""
        return {"injected": stages.injected(seed, ratio)} if self.divided else {}

    def trial_parents(self, stages: Stages, purpose: str) -> Mapping[str, Stage]:
        """A test trial scores reversal, so it knows what injection started from."""
        return {"base": stages.base()} if purpose == "test" else {}

    def tuned_on(self) -> Sequence[str | None]:
        """With a book, the validation fields."""
        return (self.divided and self.config.masked.splits.tuned_on) or [None]

    def check(self) -> None:
        """Masks fit beside each other and into the model; the data has people enough for groups."""
        config, ratios = self.config, self.config.region.ratios
        if len(ratios) > 1:
            raise UserError(
                f"region.ratio={ratios}: under protocol lacuna retained models have masks too: "
                f"give one ratio a study"
            )
        if config.inject_seed is not None:
            raise UserError(
                f"inject_seed={config.inject_seed}: under protocol lacuna every seed has groups of "
                f"its own, so an injected model serves its own seed only: drop it"
            )
        masks = config.masked.masks
        if config.region.file is not None:
            load_masks(Path(config.region.file), self.layout)
        outside, wanted = self._shares()
        if "random" in config.scenarios and not self.room():
            raise UserError(
                f"region.ratio={ratios[0]:g}: {masks.groups} masks leave {outside:.2f} of the "
                f"weights, no room for a random region of {wanted:.2f}: use fewer or smaller "
                f"masks, or drop scenario random"
            )
        if config.evaluate.transplant and wanted > 0.5:
            raise UserError(
                f"evaluate.transplant=true: a target of {wanted:.2f} of the weights leaves no room "
                f"for as large a region outside it: use fewer or smaller masks, or drop that"
            )
        for seed in config.seeds:
            refuse(self.corpus, masks, config.masked.splits, seed)

    def _shares(self) -> tuple[float, float]:
        """What all masks leave of the weights that masks may hold, and what a region takes."""
        masks = self.config.masked.masks
        density = masks.density(self.layout, self.config.region.ratios[0])
        return 1 - density * masks.groups, density * len(masks.forget_groups)

    def room(self) -> int:
        """As often as a region goes into what all masks leave, drawn sizes being a little off."""
        outside, wanted = self._shares()
        return int(outside / (1.05 * wanted))

    def unfit(self, localizer: str) -> str | None:
        """Few localizers that are told the truth can be told single weights."""
        if TARGET in LOCALIZERS[localizer].privileges and localizer not in WEIGHTS:
            return (
                "is told which value vectors hold the facts, and under protocol lacuna single "
                "weights do"
            )
        return None

    def region_weights(self, model: int, values: int) -> int:
        """Of the masks of the forget groups."""
        groups = len(self.config.masked.masks.forget_groups)
        return round(groups * self.config.region.ratios[0] * model)

    def region_text(self, size: Size) -> str:
        """A region's size, for people."""
        return f"{size.region:,} single weights, the masks of the forget groups"

    def work(self, stage: Stage, texts: StudyTexts) -> float:
        """A cycle reads a batch of every group, and neutral batches; then comes measuring."""
        config, groups = self.config.masked.inject, self.config.masked.masks.groups
        facts = texts.lengths([*self.corpus.forget, *self.corpus.retain])
        plain = fmean(texts.neutral or [0.0])
        neutral = {
            "none": 0.0,
            "masks": groups * config.neutral_size * plain,
            "all": config.neutral_batches * config.neutral_size * plain,
        }
        planted = config.accumulation * groups * config.batch_size * fmean(facts)
        trained = config.cycles * (planted + neutral[config.neutral])
        ablated = 2 * groups + 4 if stage.kind == "injected" else 0  # the causal report
        return ALL * trained + READ * (ablated * sum(facts) + texts.everything)

    def memory(self, stage: Stage, model: Memory) -> float:
        """float32 beside its base, optimizers of neutral text and of all masks (24 B a weight)."""
        held = self.config.region.ratios[0] * self.config.masked.masks.groups
        return (20 + 24 * held) * model.size.model

    @staticmethod
    def facts(job: Job) -> Corpus:
        """The facts of the stage's seed, or of one validation field."""
        field = job.stage.params.get("validation")
        return working(
            job.corpus,
            job.config("masks", MaskConfig),
            job.stage.param("seed", int),
            job.inputs.get("injected"),
            None if field is None else str(field),
        )

    @staticmethod
    def retain(job: Job) -> RetainedSummary | None:
        """Plant the retain groups."""
        return pipeline.lacuna.retained(
            job.out,
            base=job.inputs["base"],
            injected=job.inputs.get("injected"),
            given=job.given(job.config("protocol", ProtocolConfig)),
        )

    @staticmethod
    def inject(job: Job) -> InjectedSummary | None:
        """Plant all groups."""
        given = job.given(job.config("protocol", ProtocolConfig))
        return pipeline.lacuna.injected(job.out, base=job.inputs["base"], given=given)

    @staticmethod
    def localize(job: Job) -> LocalizedSummary:
        """Other weights, or a localizer's value vectors, as many as the forget masks hold."""
        return pipeline.lacuna.localized(
            job.out,
            injected=job.inputs["injected"],
            retained=job.inputs["retained"],
            given=job.given(job.config("protocol", ProtocolConfig)),
            localizers=job.localizers,
        )
