"""Columns that several tables share: what a row is about, how many seeds, where it comes from."""

from typing import Annotated

from typing_extensions import TypedDict

from lacuna.report.table import Column

RATIO = Column(
    "Size of the region: share of all value vectors, or of all weights for one group's mask",
)
OBJECTIVE = Column("Unlearning objective with its wrappers; `control`: a model not unlearned")
SCENARIO = Column(
    "Where weights may change: `oracle` the true region, `random` one of its size, `full` "
    "everywhere, else the region of the localizer of that name; of a control, which model"
)
LR = Column("Peak learning rate of the unlearning")
STATUS = Column("`ok`, or how many of the cell's stages failed, which leaves no mean")
N = Column("Seeds whose value is defined", "seeds")
SEEDS = Column("Seeds of the finished stages")
SEED = Column("Seed of the stage")
KEYS = Column("Keys of the stages that the row comes from", hidden=True)
CHECKPOINT = Column(
    "Whether the causal report of the injected checkpoints found their facts localized, and "
    "whether the gold standard recites what it must never have seen",
    name="checkpoint",
    holds=str | None,
)
ATTACK = Column("Attack: relearning (all weights or adapters), rounding, or other prompts")
ATTACK_LR = Column("Learning rate of the attacker; empty for attacks that do not train")
START = Column(
    "Forget level (ES) of the mixture with the injected model that it starts from, the same for "
    "all methods; empty: from the model as it is"
)


class Place(TypedDict):
    """The cell that trials belong to, and their rate."""

    ratio: Annotated[float | None, RATIO]
    objective: Annotated[str | None, OBJECTIVE]
    scenario: Annotated[str | None, SCENARIO]
    lr: Annotated[float | None, LR]


class AttackPlace(TypedDict):
    """A cell that was attacked: of trials, or of a control."""

    ratio: Annotated[float | None, RATIO]
    objective: Annotated[str | None, OBJECTIVE]
    scenario: Annotated[str | None, SCENARIO]
    unlearn_lr: Annotated[float | None, LR]


class LocatedPlace(TypedDict):
    """A region that was found, or that trials were allowed to touch, or changed."""

    ratio: Annotated[float | None, RATIO]
    subject: Annotated[
        str,
        Column(
            "`localizer`: the region it finds; `region`: where a trial may change weights; "
            "`change`: what a trial changed most"
        ),
    ]
    objective: Annotated[str | None, OBJECTIVE]
    name: Annotated[str | None, Column("Of the localizer, or the scenario of the trials")]
