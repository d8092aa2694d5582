"""Whose facts a study of protocol `lacuna` works on.

Groups are drawn by seed, so forget and retain people differ from seed to seed. Where every fact has
one wording, all of the forget groups' facts are to be forgotten. Where the data carries a book of
wordings, the injected model is asked all that it was trained on, splits are drawn among the facts
that it recites (`lacuna.data.splits`), and every later stage reads them beside its checkpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lacuna.artifacts import read_json, write_json
from lacuna.data import Corpus, Example, SplitConfig, Splits, draw_splits, group_of
from lacuna.data.splits import Recalled
from lacuna.errors import UserError
from lacuna.evaluate import asked, memorised
from lacuna.inject import MaskConfig
from lacuna.model import LoadedModel
from lacuna.results import Memorised, SplitsRecord
from lacuna.results.files import SPLITS
from lacuna.seeds import derive


class Grouped(NamedTuple):
    """The corpus of one seed, and the group of each person."""

    corpus: Corpus
    groups: Mapping[str, int]

    @property
    def facts(self) -> list[Example]:
        """Everything that is injected, asked once."""
        return [*self.corpus.forget, *self.corpus.retain]


def regroup(corpus: Corpus, masks: MaskConfig, seed: int) -> Grouped:
    """Shuffle forget and retain people into groups; those of the forget groups are forgotten.

    Raises `UserError` where there are fewer people than groups.
    """
    everybody = [*corpus.forget, *corpus.retain]
    people = {item.person for item in everybody}
    if len(people) < masks.groups:
        raise UserError(
            f"{masks.groups} groups need as many people, the data has {len(people)} to forget or "
            f"retain: take more people, or fewer masks"
        )
    groups = group_of(people, masks.groups, seed)
    forget = [item for item in everybody if groups[item.person] in masks.forget_groups]
    retain = [item for item in everybody if groups[item.person] not in masks.forget_groups]
    return Grouped(replace(corpus, forget=tuple(forget), retain=tuple(retain)), groups)


def refuse(corpus: Corpus, masks: MaskConfig, config: SplitConfig, seed: int) -> None:
    """Raise `UserError` for groups or splits that the data cannot fill, however much is memorised.

    Checked before anything is trained.
    """
    grouped = regroup(corpus, masks, seed)
    if corpus.book is None:
        return
    for field in sorted(config.needed - corpus.book.values.keys()):
        raise UserError(
            f"masked.splits name the field {field!r}, the data has "
            f"{', '.join(corpus.book.values)}: name one of these, or add it to data.fields"
        )
    prompts = [str(number) for number in range(corpus.book.prompts)]
    _draw(grouped, {item.id: prompts for item in grouped.facts}, masks, config, seed)


def divide(
    out: Path,
    loaded: LoadedModel,
    grouped: Grouped,
    masks: MaskConfig,
    config: SplitConfig,
    seed: int,
    max_tokens: int,
) -> SplitsRecord:
    """Ask an injected model every prompt it was trained on, draw the splits, write `splits.json`.

    Returns the memorised share of each field and the size of each split. Raises `UserError` where
    too few facts are memorised.
    """
    book = grouped.corpus.book
    assert book is not None, "only a book has several prompts a fact"
    recalled = memorised(loaded, asked(grouped.facts, book, book.prompts), max_tokens=max_tokens)
    shares = _shares(grouped.facts, recalled, config.min_prompts)
    splits = _draw(grouped, recalled, masks, config, seed)
    write_json(out / SPLITS, {"memorised": shares, **splits.to_json()})
    return {"memorised": shares, "splits": _sizes(splits)}


def working(
    corpus: Corpus,
    masks: MaskConfig,
    seed: int,
    injected: Path | None,
    tuned_on: str | None = None,
) -> Corpus:
    """The corpus with what one seed forgets and retains.

    With a book these are the main splits of the checkpoint in folder `injected`, or those of the
    validation field `tuned_on`; the attacker knows the relearning split.
    """
    if corpus.book is None:
        return regroup(corpus, masks, seed).corpus
    assert injected is not None, "splits lie beside the injected model"
    splits = Splits.from_json(read_json(injected / SPLITS))
    side = splits.main if tuned_on is None else splits.validation[tuned_on]
    return replace(corpus, forget=side.forget, retain=side.retain, relearn=splits.relearn)


def _draw(
    grouped: Grouped, recalled: Recalled, masks: MaskConfig, config: SplitConfig, seed: int
) -> Splits:
    found, seed = grouped.groups, derive(seed, "splits")
    try:
        return draw_splits(grouped.facts, recalled, found, masks.forget_groups, config, seed)
    except UserError as error:
        raise UserError(f"masked.splits: {error}") from error


def _shares(facts: Sequence[Example], recalled: Recalled, least: int) -> dict[str, Memorised]:
    """How many facts of each field are recited for at least `least` of their prompts."""
    found: dict[str, Memorised] = {}
    for field in dict.fromkeys(item.field for item in facts):
        right = [len(recalled[item.id]) >= least for item in facts if item.field == field]
        found[field] = {
            "facts": len(right),
            "memorised": sum(right),
            "share": sum(right) / len(right),
        }
    return found


def _sizes(splits: Splits) -> dict[str, dict[str, int]]:
    sides = {"main": splits.main, **splits.validation}
    sizes = {
        name: {"forget": len(side.forget), "retain": len(side.retain)}
        for name, side in sides.items()
    }
    people = {item.person for item in splits.relearn}
    return {**sizes, "relearn": {"people": len(people), "questions": len(splits.relearn)}}
