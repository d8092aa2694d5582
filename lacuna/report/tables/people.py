"""Person by person: what each cell's model still recites of whom, along the mixing curve.

Names of people are shown where the data are invented. Of other data they may be persons: they are
numbered unless `lacuna report STUDY --people` asks for names. Answers are in no file of a study.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from lacuna.report.cells import Cell, TrialKey, grouped, mean_of, order, tag, trials
from lacuna.report.columns import KEYS, STATUS, N, Place
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import TrialRow

INVENTED = frozenset(["synthetic", "profiles"])
"""Data whose people nobody is."""
STATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where on the mixing curve facts are shown: the nearest alpha of the study."""
Fact = tuple[str, str | None]
"""Person and field; a field that is unknown is None."""


class PersonRow(Place):
    """One person and field in one cell."""

    status: Annotated[str, STATUS]
    person: Annotated[str, Column("Whom the facts are about; a number where it may be a person")]
    field: Annotated[str | None, Column("What is asked of the person; empty: not known")]
    facts: Annotated[int, Column("Questions, of a seed", "facts")]
    n: Annotated[int, N]
    before: Annotated[
        float | None, Column("Mean extraction strength in the injected model (alpha 0)", "share")
    ]
    quarter: Annotated[float | None, Column("The same at alpha 1/4", "share")]
    half: Annotated[float | None, Column("The same at alpha 1/2", "share")]
    three_quarters: Annotated[float | None, Column("The same at alpha 3/4", "share")]
    after: Annotated[
        float | None, Column("The same in the unlearned model (alpha 1)", "share", "lower")
    ]
    keys: Annotated[list[str], KEYS]


@TABLES.register("people")
class People(StudyTable):
    """What is left of whom."""

    order = 46
    title = "Person by person"
    note = (
        "Mean extraction strength of the facts to forget, by person and field, over seeds: before "
        "(injected model), along the mixing curve, after (unlearned model)."
    )
    columns = columns_of(PersonRow)
    template = "people.html.jinja"
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[PersonRow]:
        """By cell, person and field."""
        fields = {one["seed"]: one["forget"]["field"] for one in results.asked}
        names = _names(results)
        for key, cell in grouped(trials(results.stages), TrialKey.of).items():
            yield from _of_cell(key, cell, fields, names)


def _names(results: Results) -> Mapping[str, str]:
    """Person -> what the table calls them."""
    people = sorted({p for s in trials(results.stages) for p in _people(s)})
    data = results.config.get("data")
    known = isinstance(data, Mapping) and data.get("name") in INVENTED
    if known or results.named:
        return {person: person for person in people}
    digits = len(str(len(people)))
    return {person: f"person {i:0{digits}d}" for i, person in enumerate(people, 1)}


def _people(stage: TrialRow) -> Sequence[str]:
    summary = stage.get("summary")
    return [] if summary is None else summary["people_forget"]


def _of_cell(
    key: TrialKey,
    cell: Cell[TrialRow],
    fields: Mapping[int, Sequence[str]],
    names: Mapping[str, str],
) -> Iterator[PersonRow]:
    read = [_curves(stage, fields.get(tag(stage, "seed") or 0)) for stage in cell.done]
    facts = {fact for one in read for fact in one}
    for person, field in sorted(facts, key=lambda fact: (fact[0], order(fact[1]))):
        found = [one.get((person, field)) for one in read]
        values = [
            _over_seeds(cell, [None if one is None else float(one[1][place]) for one in found])
            for place in range(len(STATIONS))
        ]
        yield {
            **key.place,
            "status": cell.status,
            "person": names[person],
            "field": field,
            "facts": max(one[0] for one in found if one is not None),
            "n": sum(any(one is not None for one in own) for own in cell.by_seed(found)),
            "before": values[0],
            "quarter": values[1],
            "half": values[2],
            "three_quarters": values[3],
            "after": values[4],
            "keys": cell.keys,
        }


def _over_seeds(cell: Cell[TrialRow], values: Sequence[float | None]) -> float | None:
    """Mean over the seeds that have the person; None where a trial of the cell failed."""
    if cell.failed:
        return None
    return mean_of([value for value in cell.means(values) if value is not None])


def _curves(
    stage: TrialRow, fields: Sequence[str] | None
) -> dict[Fact, tuple[int, NDArray[np.float64]]]:
    """Person and field -> number of facts, and (5,) mean strengths at the stations."""
    summary = stage["summary"]
    alphas, people = np.asarray(summary["alphas"]), summary["people_forget"]
    places = [int(np.abs(alphas - station).argmin()) for station in STATIONS]
    strengths = np.asarray(summary["es_forget"], float)[places]  # (5, I)
    known = fields if fields is not None and len(fields) == len(people) else [None] * len(people)
    members: dict[Fact, list[int]] = {}
    for index, fact in enumerate(zip(people, known, strict=True)):
        members.setdefault(fact, []).append(index)
    return {fact: (len(own), strengths[:, own].mean(axis=1)) for fact, own in members.items()}
