"""`lacuna report`, `compare` and `across`: what finished studies left, read again."""

from pathlib import Path
from typing import Annotated

import typer

from lacuna.errors import UserError
from sweeps.cli.words import Finished, Place, chosen, ending, root_of
from sweeps.paths import finished


@ending("stopped")
def report(
    study: Finished,
    settings: Place = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="For papers: figures as svg, png or pdf, or tables as md or tex (booktabs), below "
            "report/; the report itself stays as it is.",
        ),
    ] = None,
    people: Annotated[
        bool, typer.Option("--people", help="Name people of real data, who are numbered otherwise.")
    ] = False,
) -> int:
    """Remake a finished study's tables, page and verdict.

    They are made from what it left beside them; nothing is trained."""
    folder = root_of(chosen("report", settings, "artifacts")) / study
    finished(folder)
    from sweeps.results.rebuild import export, rebuild

    if form is not None:
        files = export(folder, form)
        print(
            f"{len(files)} files: {folder / 'report' / files[0].parent.name}" if files else "none"
        )
        return 0
    print(*rebuild(folder, people), f"report: {folder / 'report' / 'index.html'}", sep="\n")
    return 0


@ending("stopped")
def compare(
    study: Finished,
    settings: Place = None,
    record: Annotated[
        bool, typer.Option("--record", help="Make its numbers the expected ones instead.")
    ] = False,
) -> int:
    """Hold a finished study's numbers against expected ones.

    A cell a line; REPRODUCE.md says what is expected. Exit status: 0 all agree, 1 one does not, 2
    they cannot be compared."""
    folder = root_of(chosen("compare", settings, "artifacts")) / study
    finished(folder)
    from sweeps.results import compare as held

    if record:
        print(f"wrote {held.record(folder)}")
        return 0
    lines, differing = held.check(folder, held.expected(folder))
    print(*lines, f"{len(lines) - differing} of {len(lines)} cells agree", sep="\n")
    return 1 if differing else 0


@ending("stopped")
def across(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER", help="Finished studies, such as artifacts/mini."),
    ],
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="KEY",
            help="What they are set against: a numeric key of the configuration, others_keep (the "
            "mean of the causal report's measure) or parameters (of the model).",
        ),
    ],
    family: Annotated[
        str | None, typer.Option(metavar="NAME", help="The claims of this family only.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write (default: artifacts/across).")
    ] = None,
) -> int:
    """Set effects of finished studies against what they differ in.

    The same claim of every study, with the slope of its effect by seed: across.csv, .json, .md,
    and .html with a figure. Nothing is trained."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder: give folders of finished studies")
        finished(folder)
    from sweeps.results import across as several

    place = out or root_of({"artifacts": ""}) / "across"
    said = several.write(several.across(folders, by, family), place)
    print(*said, f"table and figure: {place / 'across.html'}", sep="\n")
    return 0
