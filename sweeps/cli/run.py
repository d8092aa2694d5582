"""`lacuna run` and `lacuna plan`: a study, or what it would take."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sweeps.cli.words import Settings, Study, ending, overrides, show
from sweeps.config.groups import check_words, names

if TYPE_CHECKING:
    from sweeps.plan.planner import Planner

CHOICES = f"""Studies: {", ".join(names("study"))}.

Models: {", ".join(names("model"))}. model=A,B runs one after the other.

`lacuna config --keys` explains every key, `lacuna config STUDY` prints a study's values and where
each comes from. Exit status: 0 completed; 1 not, or a trial failed; 2 bad input."""
"""What the help of both commands ends with."""


@ending("stopped; the same command continues where this one was")
def run(study: Study = None, settings: Settings = None) -> int:
    """Run a study: tables, a page and a verdict in artifacts/STUDY/.

    What is finished of it already is found and not repeated: the same command continues a study
    that was interrupted."""
    return _study(overrides(study, settings))


@ending("stopped; nothing was written")
def plan(study: Study = None, settings: Settings = None) -> int:
    """Print what a study would run and take; train nothing.

    Trials, distinct models, and estimated hours, memory and disk."""
    return _study([*overrides(study, settings), "plan=true"])


@ending("stopped; nothing was written")
def status(study: Study = None, settings: Settings = None) -> int:
    """Say how far a study is: what is done, running, failed.

    From any shell that sees its store; give the words that it was started with. Trains nothing."""
    found = planners(overrides(study, settings))
    from sweeps.results.status import report

    show(line for planner in found for line in report(planner))
    return 0


def planners(words: Sequence[str]) -> list["Planner"]:
    """The study that words describe, checked; one for each model of `model=A,B`, named after it."""
    check_words(words)
    # Imported here: a mistyped word is answered before torch and ray are loaded.
    from lacuna.model.architecture import hush
    from sweeps.config.compose import configure, per_model
    from sweeps.plan.make import make_planner

    hush()
    found = []
    for model, given in per_model(words):
        config = configure(given)
        if model is not None:
            config = replace(config, study=f"{config.study}-{model}")
        found.append(make_planner(config))
    return found


def _study(words: Sequence[str]) -> int:
    found = planners(words)
    from sweeps.plan.estimate import estimate_study, total_line

    estimates = [estimate_study(planner) for planner in found]
    if not found[0].config.plan:
        from sweeps.plan.capacity import check_host

        for estimate in estimates:
            check_host(estimate)
        return max(_run(planner) for planner in found)
    print("\n\n".join(estimate.text() for estimate in estimates))
    _print_power(found)
    if len(estimates) > 1:
        print(f"\n{total_line(estimates)}")
    return 0


def _print_power(planners: Sequence["Planner"]) -> None:
    """What a pilot's spread says of the studies whose margin was given."""
    asked = [planner for planner in planners if planner.config.power is not None]
    if asked:
        from sweeps.plan.power import power_text

        print("\n" + "\n\n".join(map(power_text, asked)))


def _run(planner: "Planner") -> int:
    from sweeps.study import run

    failed = run(planner, print)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0
