"""`lacuna report` and `lacuna compare`: what a finished study left, read again."""

from typing import Annotated

import typer

from sweeps.cli.words import Finished, Place, chosen, ending, root_of
from sweeps.paths import finished


@ending("stopped")
def report(study: Finished, settings: Place = None) -> int:
    """Remake a finished study's tables, page and verdict.

    They are made from what it left beside them; nothing is trained."""
    folder = root_of(chosen("report", settings, "artifacts")) / study
    finished(folder)
    from sweeps.results.rebuild import rebuild

    print(*rebuild(folder), f"report: {folder / 'report' / 'index.html'}", sep="\n")
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
