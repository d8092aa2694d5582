"""One effect over several finished studies: how it goes with something that they differ in.

Reads what studies left (`results.json`) and trains nothing. The same claim of every study, such as
oracle - random in AUES to equal depth with one objective, is set against a number x of each study.
A seed that all studies have gives one slope of its effect on x by least squares; their mean and its
t interval over seeds are paired, as each seed brings its people, masks and regions to every study.

Whether the true region's advantage grows with x is judged over the whole range of x, by the margin
of the claim itself and the rule of `lacuna.significance.decide.rises`, not corrected for the number
of claims. Where less is better the advantage is the effect with its sign turned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import fmean
from typing import Annotated, cast

from typing_extensions import TypedDict

from lacuna.artifacts import write_text
from lacuna.errors import UserError
from lacuna.model import MiniConfig, mini_layout
from lacuna.registry import suggest
from lacuna.report import Claim, Column, Evidence, Results, Table
from lacuna.report.cells import ORACLE, Spread
from lacuna.report.claims.family import families, in_order
from lacuna.report.figure import Palette, Panel
from lacuna.report.html.environment import Section, document, figures, lines, table, words
from lacuna.report.svg import Point, Series, line_chart
from lacuna.report.table import columns_of
from lacuna.report.tables.causal import Causal
from lacuna.significance import Decision, enough, rises, slope_weights
from sweeps.config.schema import build
from sweeps.paths import finished
from sweeps.results.rebuild import read

OTHERS_KEEP, PARAMETERS = "others_keep", "parameters"
"""What a study can be set against besides its keys: a measure of its causal reports, its size."""
SLOPE = "as the effect, per unit of x"


class AcrossRow(TypedDict):
    """One claim in one study; the slope is the claim's, and the same in all its rows."""

    claim: Annotated[str, Column("Family and cell of the claim")]
    role: Annotated[str, Column("Primary where it is so in all studies")]
    study: Annotated[str, Column("Name of the study")]
    x: Annotated[float, Column("What studies are set against")]
    effect: Annotated[float | None, Column("Mean paired difference over the study's seeds")]
    lo: Annotated[float | None, Column("Lower end of its 95% interval")]
    hi: Annotated[float | None, Column("Upper end of its 95% interval")]
    n: Annotated[int, Column("Seeds of the study whose difference is defined", "seeds")]
    slope: Annotated[
        float | None, Column("Mean over shared seeds of the slope of the effect on x", SLOPE)
    ]
    slope_lo: Annotated[
        float | None, Column("Lower end of its 95% t interval over these seeds", SLOPE)
    ]
    slope_hi: Annotated[
        float | None, Column("Upper end of its 95% t interval over these seeds", SLOPE)
    ]
    slope_n: Annotated[int, Column("Seeds with a difference in every study", "seeds")]
    slope_seeds: Annotated[list[int], Column("These seeds")]
    grows: Annotated[
        str, Column("Whether the advantage grows over the range of x: holds, fails, undetermined")
    ]
    reason: Annotated[str, Column("Why")]


@dataclass(frozen=True)
class Found:
    """A finished study, what it is set against, and its claims by name."""

    study: str
    x: float
    claims: Mapping[str, tuple[Claim, Mapping[int, float]]]
    """Each with its seeds' differences, of those that are defined."""


def across(folders: Sequence[Path], by: str, family: str | None = None) -> Table:
    """A row per claim that all studies have, and study.

    `by` is a numeric key of the configuration, `others_keep` or `parameters`; `family` leaves the
    claims of one family only. Raises `UserError` for a folder without a finished study, a key that
    is no number or the same in all, and where no claim is common to all.
    """
    if len(folders) < 2 or len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError(f"{len(folders)} folders: give at least 2 finished studies, each once")
    names = [one.name for one in families()]
    if family is not None and family not in names:
        raise UserError(f"unknown family of claims {family!r}{suggest(family, names)}")
    studies = sorted((_found(folder, by, family) for folder in folders), key=lambda one: one.x)
    if len({one.x for one in studies}) == 1:
        raise UserError(f"--by {by}: {studies[0].x:g} in all studies: name what they differ in")
    common = [name for name in studies[0].claims if all(name in one.claims for one in studies)]
    if not common:
        raise UserError(
            f"no claim is common to {', '.join(one.study for one in studies)}: give studies with "
            f"the same objectives, attacks and region.ratio"
        )
    rows = [row for name in common for row in _rows(name, studies)]
    note = (
        f"x: {by}. Each row is the effect of one claim in one study; slope: of the effect on x, "
        f"within every seed that has a value in all studies, mean and t interval over these seeds. "
        f"grows: whether the true region's advantage does over the range of x, by its own margin."
    )
    return Table("across", f"Effects by {by}", note, columns_of(AcrossRow), rows)


def write(made: Table, folder: Path) -> list[str]:
    """Write across.csv, .json, .md and .html below `folder`; returns a line for each slope."""
    made.write(folder)
    write_text(folder / f"{made.name}.md", _markdown(made))
    said = [
        f"{row['claim']}: slope {words(row['slope'])} [{words(row['slope_lo'])}, "
        f"{words(row['slope_hi'])}], n = {row['slope_n']} seeds; grows: {row['grows']}, "
        f"{row['reason']}"
        for row in {row["claim"]: row for row in made.rows if row["role"] == "primary"}.values()
    ]
    sections = [
        Section("figures", "Figures", figures(_panels(made))),
        Section("across", made.title, table(made)),
    ]
    page = document(f"Lacuna: {made.title}", lines(said), sections)
    write_text(folder / f"{made.name}.html", page)
    return said


def _found(folder: Path, by: str, family: str | None) -> Found:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder: give folders of finished studies")
    manifest, results = finished(folder), read(folder)
    if by == PARAMETERS:
        checked = manifest["preflight"].get("model")
        x = _size(results) if checked is None else float(str(checked["parameters"]))
    else:
        x = _kept_by_others(results) if by == OTHERS_KEEP else _setting(results, by)
    evidence = [e for claims in in_order() for e in claims.evidence(results)]
    judged = [
        (one.judged(results.margins).claim, _differences(one))
        for one in evidence
        if family in (None, one.family.name)
    ]
    return Found(results.study, x, {claim["claim"]: (claim, own) for claim, own in judged})


def _differences(evidence: Evidence) -> dict[int, float]:
    """Seed -> difference, where it is defined."""
    record = evidence.record
    pairs = zip(record["seeds"], record["values_a"], record["values_b"], strict=False)
    return {seed: a - b for seed, a, b in pairs if a is not None and b is not None}


def _setting(results: Results, key: str) -> float:
    value: object = results.config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = list(value) if isinstance(value, Mapping) else []
            raise UserError(
                f"--by {key}: study {results.study} has no such key{suggest(part, known)}"
            )
        value = value[part]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"--by {key}: {value} in study {results.study} is no number: name another")
    return float(value)


def _kept_by_others(results: Results) -> float:
    """Mean of the causal report's measure over the injected models of the test seeds."""
    tests = results.config["seeds"]
    found = [row["others_keep"] for row in Causal.rows(results) if row["seed"] in tests]
    known = [value for value in found if value is not None]
    if not known or len(known) < len(found):
        raise UserError(
            f"--by {OTHERS_KEEP}: study {results.study} has no causal report of every seed: only "
            f"protocol=lacuna makes them"
        )
    return fmean(known)


def _size(results: Results) -> float:
    """Parameters of the embedded model."""
    mini = build(MiniConfig, results.config["model"]["mini"])
    return float(sum(prod(shape) for shape in mini_layout(mini).weights.values()))


def _rows(name: str, studies: Sequence[Found]) -> list[AcrossRow]:
    """One claim in all studies."""
    own = [one.claims[name] for one in studies]
    seeds = sorted(set(own[0][1]).intersection(*(values for _, values in own[1:])))
    weights = slope_weights([one.x for one in studies])
    slopes = [float(weights @ [values[seed] for _, values in own]) for seed in seeds]
    slope = Spread.over(slopes)
    primary = all(claim["role"] == "primary" for claim, _ in own)
    reach = studies[-1].x - studies[0].x
    judged = _grows([claim for claim, _ in own], slope, reach)
    rows: list[AcrossRow] = []
    for one, (claim, _) in zip(studies, own, strict=True):
        low, high = claim["interval"] or (None, None)
        rows.append(
            {
                "claim": name,
                "role": "primary" if primary else "secondary",
                "study": one.study,
                "x": one.x,
                "effect": claim["effect"],
                "lo": low,
                "hi": high,
                "n": claim["n"],
                "slope": slope.mean,
                "slope_lo": slope.lo,
                "slope_hi": slope.hi,
                "slope_n": slope.n,
                "slope_seeds": seeds,
                "grows": judged.verdict,
                "reason": judged.reason,
            }
        )
    return rows


def _grows(claims: Sequence[Claim], slope: Spread, reach: float) -> Decision:
    """Does the advantage of the true region grow over so much of x? By the widest margin."""
    interval = None
    if slope.lo is not None and slope.hi is not None:
        interval = (slope.lo * reach, slope.hi * reach)
    if (too_few := enough(slope.n, interval)) is not None:
        return too_few
    assert interval is not None, "`enough` refuses it"
    low, high = interval
    rules = {one.name: one.rule for one in families()}
    if rules[claims[0]["family"]] == "erases more":
        low, high = -high, -low
    return rises(low, high, max(claim["margin"] for claim in claims))


def _markdown(made: Table) -> str:
    """The table for a README, with its note."""
    cells = [[words(row.get(name)).replace("|", "\\|") for name in made.names] for row in made.rows]
    shown = [made.names, ["---"] * len(made.names), *cells]
    body = "\n".join(f"| {' | '.join(row)} |" for row in shown)
    return f"# {made.title}\n\n{made.note}\n\n{body}\n"


def _panels(made: Table) -> list[Panel]:
    """A panel per claim: effects with intervals over x; primary ones, where there are any."""
    rows = cast(Sequence[AcrossRow], made.rows)
    found: dict[str, list[AcrossRow]] = {}
    for row in [row for row in rows if row["role"] == "primary"] or rows:
        found.setdefault(row["claim"], []).append(row)
    return [panel for name, own in found.items() if (panel := _panel(name, own, made.title))]


def _panel(name: str, rows: Sequence[AcrossRow], title: str) -> Panel | None:
    """None where a study has no interval."""
    bars: list[list[Point]] = []
    means: list[Point] = []
    for row in rows:
        if row["effect"] is None or row["lo"] is None or row["hi"] is None:
            return None
        means.append((row["x"], row["effect"]))
        bars.append([(row["x"], row["lo"]), (row["x"], row["hi"])])
    style = Palette.over([]).styles[ORACLE]
    drawn = [Series("effect, 95% interval of each study", style, bars, means)]
    return Panel.of(name, line_chart(name, title.partition(" by ")[2], "effect", drawn), drawn)
