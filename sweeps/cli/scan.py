"""`lacuna scan`: learning rates for a model that nobody has tried yet."""

from typing import Annotated

import typer

from sweeps.cli.run import planners
from sweeps.cli.words import Settings, Study, ending, overrides


@ending("stopped; the same command continues where this one was")
def scan(
    study: Study = None,
    settings: Settings = None,
    stage: Annotated[
        str, typer.Option(metavar="KIND", help="Rates of what: injected or unlearned.")
    ] = "injected",
    rates: Annotated[int, typer.Option(help="How many rates to try in each place.")] = 8,
    low: Annotated[
        float | None, typer.Option(help="Lowest rate (default: a 30th of the study's).")
    ] = None,
    high: Annotated[
        float | None, typer.Option(help="Highest rate (default: 30 times the study's).")
    ] = None,
) -> int:
    """Try learning rates side by side, and propose those that did what they must.

    One stage a rate on the tuning seed: of injection, or of every objective in a region and in all
    parameters. Writes scan.csv, .json, .html and recipe.yaml. Exit status 1: no rate fits."""
    found = planners(overrides(study, settings))
    from sweeps.plan.scan import Spread
    from sweeps.scan import run

    spread = Spread(rates, low, high)
    return 0 if all([run(planner, stage, spread, print) for planner in found]) else 1
