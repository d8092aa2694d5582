"""A scan for learning rates from start to end: run a stage a rate, write what is proposed."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from sweeps.paths import check_place
from sweeps.plan.planner import Planner
from sweeps.plan.scan import Spread, scan
from sweeps.process import end_on_sigterm
from sweeps.results.scan import proposals, write
from sweeps.study import open_engine, open_tracker


def run(planner: Planner, kind: str, spread: Spread, say: Callable[[str], None]) -> bool:
    """Whether every place has a rate that fits.

    Stages are shared with studies: what is there is not computed again, and a study at a rate that
    was tried finds it. Writes STUDY-scan-KIND/ below the output root. Raises `UserError`, before
    anything is written, for what cannot be scanned.
    """
    end_on_sigterm()
    found = scan(planner, kind, spread)
    config = replace(planner.config, study=f"{planner.config.study}-scan-{kind}")
    check_place(config)
    folder = Path(config.artifacts) / config.study
    tracker = open_tracker(config)
    tracker.begin(asdict(config))
    ended = False
    with open_engine(config, tracker) as engine:
        try:
            tried = [one.stage for one in found.tried]
            engine.expect([*found.before, *tried[:1]])
            engine.run_tasks(found.before, phase="models and regions")
            engine.run_tasks(tried, phase="one stage a rate")
            table, proposed = proposals(config, found.tried, engine.results)
            for line in write(table, proposed, folder):
                say(line)
            ended = True
        finally:
            tracker.finish(engine.counts, failed=not ended, report=None)
            tracker.catch_up(say)
    say(f"table, figure and recipe: {folder}")
    return all(one.rates for one in proposed)
