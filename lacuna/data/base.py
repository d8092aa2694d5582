"""Facts about people, who may be forgotten, and the text that must survive."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from lacuna.artifacts import digest
from lacuna.data.generated.profile_texts import ProfileTexts
from lacuna.data.overlap import require_disjoint
from lacuna.errors import UserError
from lacuna.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Example:
    """One question and its answer, about one field of one person.

    `paraphrased_question` and `paraphrased_answer` say the same in other words and are never
    trained on; `perturbed_answers` are wrong answers of the same form as the paraphrased answer, or
    as the answer where there is none (truth ratio, TOFU section 2.2). Empty strings and tuples mean
    that the source has none.
    """

    id: str
    question: str
    answer: str
    person: str
    field: str
    paraphrased_question: str = ""
    paraphrased_answer: str = ""
    perturbed_answers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Everything a study reads: facts by split, utility sets, neutral text, refusals.

    `forget` and `retain` are injected; `holdout` people are never trained on (membership tests).
    `background` holds people known to the base model only. `utility` maps a set's name to questions
    whose answers must survive (TOFU: real authors, world facts). `neutral` is plain text.
    `refusals` are "I don't know" answers. `book` has the many wordings of LACUNA's people, and
    `relearn` facts of people in neither split that an attacker knows; other sources have neither.

    Raises `UserError` where forget or retain is empty, or splits share facts (`overlap`).
    """

    name: str
    forget: Sequence[Example]
    retain: Sequence[Example]
    holdout: Sequence[Example] = ()
    background: Sequence[Example] = ()
    utility: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    neutral: Sequence[str] = ()
    refusals: Sequence[str] = ()
    book: ProfileTexts | None = None
    relearn: Sequence[Example] = ()

    def __post_init__(self) -> None:
        for split in ("forget", "retain"):
            if not getattr(self, split):
                raise UserError(
                    f"data {self.name!r} has no {split} examples: nothing to measure; "
                    f"check its path, fields and sizes"
                )
        splits = {"forget": self.forget, "retain": self.retain, "holdout": self.holdout}
        require_disjoint(self.name, splits)
        known = {"forget": self.forget, "background": self.background}
        require_disjoint(self.name, known)

    def digest(self) -> str:
        """sha256 of the whole content; equal corpora, equal keys.

        A part that only LACUNA's data has is left out where it is empty: it changes no other key.
        """
        content = asdict(self)
        return digest({n: v for n, v in content.items() if v or n not in ("book", "relearn")})


class Source:
    """A place that facts come from: `SOURCE.load(SOURCE.Config(...))` gives a corpus."""

    Config: ClassVar[type[Any]]
    """Frozen dataclass of the source's settings; refuses values out of bounds with `UserError`."""
    recipe: ClassVar[Mapping[str, Any] | None] = {}
    """Settings of studies with the embedded model, on top of those for a user's own facts, where
    `sweeps/config/recipe` has no file for the source; None: the study's own and nothing else."""

    @staticmethod
    def load(config: Any) -> Corpus:
        """Read or generate the corpus that `config` describes; equal configs, equal digests."""
        raise NotImplementedError


DATA: Registry[type[Source]] = Registry("data source")
"""Maps a source's name to its class."""
