"""docs/calibration.md from what `python -m lacuna.significance.calibrate` left."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
RECORDS = Path(__file__).with_name("calibration.json")
COMMAND = "python -m lacuna.significance.calibrate --studies {} --out docs/calibration.json"
DECIDING = "matched AUES", "two-way t"
SHAPES = {
    "mini": "the embedded study: end FS varies, little else is lost",
    "skew": "one arm's end FS much more variable, and to one side",
    "lee": "Table 2 of Lee et al.: RS falls along alpha, arms of a seed correlate",
    "people": "the place matters for some people and not for others, zero on average",
}
WANTED = (
    "coverage in [.93, .995]; size in [.03, .07], or below it, which is conservative; a false "
    "*holds* at the margin in at most .035 of studies"
)


def page(notice: str) -> str:
    """The whole page."""
    rows: list[Row] = json.loads(RECORDS.read_text())
    studies = rows[0]["studies"]
    lines = [
        notice,
        "# Calibration",
        "",
        "How often intervals and tests are right, in simulated studies of which the truth is "
        f"known: {studies:,} of each shape, through the report's own functions. Shares of studies; "
        f"their Monte-Carlo error is at most {max(_errors(rows)):.3f}. About 9 CPU-minutes:",
        "",
        "```text",
        COMMAND.format(studies),
        "```",
        "",
        "`--fit STUDY_FOLDER` simulates studies like a finished one instead. Shapes: "
        + "; ".join(f"*{name}*, {text}" for name, text in SHAPES.items())
        + ".",
        "",
        "## What decides",
        "",
        f"The {DECIDING[1]} over seeds and people of AUES to equal depth, against a margin of "
        f"{_margin(rows):g}. Wanted: {WANTED}.",
        "",
        *_table(
            ["shape", "seeds", "regions", "coverage", "size", "power at the margin",
             "at twice the margin", "*holds* at no difference", "false *holds* at the margin"],
            ([row["shape"], row["seeds"], row["regions"], _share(row["coverage"]),
              _share(row["size"]), *map(_share, row["power"]), _share(row["holds"]),
              _share(row["false_holds"])] for row in _of(rows, *DECIDING)),
        ),
        "",
        "Power is that of an interval which excludes 0. Where RS falls along the whole curve "
        "(lee), or the place matters for some people only, a margin so small needs more seeds "
        "than eight (`power=` of a plan says how many).",
        "",
        "## Other intervals",
        "",
        "Coverage of 95% intervals; the bootstrap, for display, is of AUES as published.",
        "",
        *_grid(rows, "coverage", (DECIDING, ("matched AUES", "Student t"), ("AUES", "two-way t"),
                                  ("AUES", "Student t"), ("AUES", "bootstrap"),
                                  ("MU95", "Student t"))),
        "",
        "## Tests",
        "",
        "Size: share of studies in which p is at most .05 though nothing differs. The tests over "
        "seeds and regions are about these people; the published ones are within one curve. "
        "`any seed`: at least one of the seeds' p; `mean p`: of them, which is no p-value.",
        "",
        *_grid(rows, "size", tuple(dict.fromkeys(
            (row["estimand"], row["method"]) for row in rows if row["coverage"] is None))),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _of(rows: Sequence[Row], estimand: str, method: str) -> list[Row]:
    return [row for row in rows if (row["estimand"], row["method"]) == (estimand, method)]


def _grid(rows: Sequence[Row], rate: str, methods: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A line a method, seeds and regions; a column a shape."""
    found: list[list[object]] = []
    for estimand, method in methods:
        own = _of(rows, estimand, method)
        for regions, seeds in sorted({(row["regions"], row["seeds"]) for row in own}):
            here = {r["shape"]: r for r in own if (r["regions"], r["seeds"]) == (regions, seeds)}
            shares = [_share(here[name][rate]) if name in here else "" for name in SHAPES]
            found.append([method, estimand, seeds, regions, *shares])
    return _table(["method", "of", "seeds", "regions", *SHAPES], found)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def _share(rate: Mapping[str, float]) -> str:
    """.936 for a share of .936."""
    return f"{rate['share']:.3f}".removeprefix("0")


def _errors(rows: Sequence[Row]) -> Iterator[float]:
    return (rate["se"] for row in rows for rate in (row["coverage"], row["size"]) if rate)


def _margin(rows: Sequence[Row]) -> float:
    return float(_of(rows, *DECIDING)[0]["margin"])
