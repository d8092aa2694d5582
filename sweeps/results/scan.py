"""What a scan for learning rates found: a table, a figure, and the rates that it proposes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
from omegaconf import OmegaConf
from typing_extensions import TypedDict

from lacuna.artifacts import write_text
from lacuna.report import Column, Table
from lacuna.report.cells import BASELINE, ORACLE
from lacuna.report.figure import Palette, Panel
from lacuna.report.html.environment import Section, document, figures, lines, table
from lacuna.report.svg import Series, line_chart
from lacuna.report.table import columns_of
from lacuna.results import Result
from sweeps.config.schema import Study
from sweeps.plan.scan import Tried

RECITED = 0.9
"""Least extraction strength of the forget facts after an injection that may be proposed."""
TIE = 0.01
"""Extraction strengths of retain facts that are no further apart count as equal."""
CANDIDATES = 4
"""Rates that a study is given to search, in each place."""


class ScanRow(TypedDict):
    """One rate in one place."""

    place: Annotated[str, Column("Injection, or the objective and where it unlearns")]
    lr: Annotated[float, Column("Learning rate")]
    forget_es: Annotated[
        float | None, Column("Mean extraction strength on the forget questions; FS is 1 - ES")
    ]
    retain_es: Annotated[
        float | None, Column("Mean extraction strength on the retain questions (RS)")
    ]
    fits: Annotated[bool, Column("Whether it did what it must")]
    failed: Annotated[str, Column("Why there is no value")]


@dataclass(frozen=True)
class Proposal:
    """What is proposed for one place."""

    place: str
    key: str
    rates: Sequence[float]
    """Empty where none fits."""
    hint: str
    """Then in which direction to look."""

    @property
    def word(self) -> str:
        """As it is typed: an injection has one rate, an objective candidates."""
        text = f"{self.rates[0]:g}" if "lrs" not in self.key else _listed(self.rates)
        return f"{self.key}={text}"


def _listed(rates: Sequence[float]) -> str:
    return f"[{','.join(f'{rate:g}' for rate in rates)}]"


def proposals(
    config: Study, tried: Sequence[Tried], results: Mapping[str, Result]
) -> tuple[Table, list[Proposal]]:
    """The table of all rates, and what is proposed for each place."""
    rows: list[ScanRow] = []
    found: list[Proposal] = []
    for place in dict.fromkeys(_place(one) for one in tried):
        here = [one for one in tried if _place(one) == place]
        own = [_row(config, one, results[one.stage.key]) for one in here]
        fitting, cell = [row for row in own if row["fits"]], here[0].cell
        proposed = _middle(fitting) if cell is None else _candidates(fitting, own)
        hint = "" if proposed else _hint(config, own, [results[one.stage.key] for one in here])
        found.append(Proposal(place, _key(config, cell), proposed, hint))
        rows += own
    note = (
        f"One trial a rate, on tuning seed {config.search.seeds[0]}. An injection fits from ES "
        f"{RECITED:g} on, an unlearning with FS {config.search.fs_low:g} to "
        f"{config.search.fs_high:g} at its end."
    )
    return Table("scan", "Rates that were tried", note, columns_of(ScanRow), rows), found


def _place(one: Tried) -> str:
    return "injection" if one.cell is None else f"{one.cell.objective}, {one.cell.scenario}"


def _key(config: Study, cell: object) -> str:
    if cell is None:
        return "masked.inject.lr" if config.protocol == "lacuna" else "inject.train.lr"
    _, objective, scenario = cast(tuple[float, str, str], cell)
    return f"++unlearn.lrs.{'full' if scenario == 'full' else 'region'}.{objective}"


def _row(config: Study, one: Tried, result: Result) -> ScanRow:
    """What became of one rate."""
    place, row = _place(one), {"lr": one.lr}
    if "failed" in result:
        reason = str(result["failed"])
        return cast(ScanRow, {"place": place, **row, "forget_es": None, "retain_es": None,
                              "fits": False, "failed": reason})  # fmt: skip
    values = cast(Mapping[str, float], result)
    search = config.search
    if one.cell is None:
        forget, retain = values["forget_es"], values["retain_es"]
        fits = forget >= RECITED
    else:
        forget, retain = 1 - values["fs_end"], values["rs_end"]
        fits = search.fs_low <= values["fs_end"] <= search.fs_high and _before(result) >= RECITED
    return cast(ScanRow, {"place": place, **row, "forget_es": forget, "retain_es": retain,
                          "fits": fits, "failed": ""})  # fmt: skip


def _before(result: Result) -> float:
    """Extraction strength of the injected model, from which a trial begins."""
    curve = cast(Mapping[str, Sequence[float]], cast(Mapping[str, object], result)["curve"])
    return 1 - curve["fs"][0]


def _middle(fitting: Sequence[ScanRow]) -> list[float]:
    """The middle one of the rates that keep most, if there are any."""
    best = max((row["retain_es"] or 0.0 for row in fitting), default=0.0)
    keeping = [row["lr"] for row in fitting if (row["retain_es"] or 0.0) >= best - TIE]
    return keeping[len(keeping) // 2 :][:1]


def _candidates(fitting: Sequence[ScanRow], tried: Sequence[ScanRow]) -> list[float]:
    """Equally many rates for every place, as a study wants: over the range of those that fit, half
    a step beyond a single one."""
    if not fitting:
        return []
    low, high = fitting[0]["lr"], fitting[-1]["lr"]
    if low == high:
        half = (tried[1]["lr"] / tried[0]["lr"]) ** 0.5
        low, high = low / half, high * half
    return [float(f"{rate:.3g}") for rate in np.geomspace(low, high, CANDIDATES)]


def _hint(config: Study, rows: Sequence[ScanRow], results: Sequence[Result]) -> str:
    """In which direction to look where no rate fits."""
    known = [row["forget_es"] for row in rows if row["forget_es"] is not None]
    if not known:
        return "no trial ended: see the failures"
    before = [_before(result) for result in results if "curve" in result]
    if not before:
        return f"at most ES {max(known):.2f}: more steps, or another range"
    if before[0] < RECITED:
        return f"the injected model recites ES {before[0]:.2f}: scan --stage injected first"
    if min(known) > 1 - config.search.fs_low:
        return f"at most FS {1 - min(known):.2f}: higher rates, or more steps"
    if max(known) < 1 - config.search.fs_high:
        return f"at least FS {1 - max(known):.2f}: lower rates"
    return "no rate between too weak and too strong: more rates in a narrower range"


def write(made: Table, found: Iterable[Proposal], folder: Path) -> list[str]:
    """Write scan.csv, .json and .html and recipe.yaml below `folder`; returns a line a place."""
    found = list(found)
    made.write(folder)
    said = [f"{one.place}: {one.word if one.rates else one.hint}" for one in found]
    shown = [
        Section("figures", "Figures", figures(_panels(made))),
        Section("scan", made.title, table(made)),
    ]
    page = document("Lacuna: learning rates", lines(said), shown)
    write_text(folder / "scan.html", page)
    write_text(folder / "recipe.yaml", recipe(found))
    return said


def recipe(found: Iterable[Proposal]) -> str:
    """The proposals as a file that may lie in `sweeps/config/recipe`."""
    text = ["# @package _global_", "# Proposed by `lacuna scan`; scan.csv beside it says why."]
    nested: dict[str, object] = {}
    for one in found:
        if not one.rates:
            text.append(f"# {one.place}: {one.hint}")
            continue
        *path, last = one.key.lstrip("+").split(".")
        place = nested
        for name in path:
            place = cast(dict[str, object], place.setdefault(name, {}))
        place[last] = list(one.rates) if "lrs" in path else one.rates[0]
    body = OmegaConf.to_yaml(OmegaConf.create(nested)) if nested else ""
    return "\n".join([*text, body])


def _panels(made: Table) -> list[Panel]:
    """Of every place: what is left of forget and retain facts against the rate's logarithm."""
    rows, panels = cast(Sequence[ScanRow], made.rows), []
    styles = Palette.over([]).styles
    for place in dict.fromkeys(row["place"] for row in rows):
        drawn = []
        for name, style in (("forget", styles[ORACLE]), ("retain", styles[BASELINE])):
            values = [
                (math.log10(row["lr"]), value)
                for row in rows
                if row["place"] == place
                and (value := row["forget_es" if name == "forget" else "retain_es"]) is not None
            ]
            drawn.append(Series(f"{name} ES", style, [], values))
        if all(one.bold for one in drawn):
            chart = line_chart(place, "log10 of the learning rate", "extraction strength", drawn)
            panels.append(Panel.of(place, chart, drawn))
    return panels
