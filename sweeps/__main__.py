"""`python -m sweeps study=NAME [key=value ...]`: exit 0 completed, 1 not, 2 bad input."""

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeps.errors import exit_status

if TYPE_CHECKING:
    from sweeps.plan.planner import Planner


def main(arguments: Sequence[str]) -> int:
    """Run one study; errors that a user can mend are one line on stderr."""
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return 0
    return exit_status(
        lambda: _study(arguments), "stopped; the same command continues where this one was"
    )


def _study(arguments: Sequence[str]) -> int:
    # Imported here: a mistyped word is answered before torch and ray are loaded.
    from sweeps.config.compose import configure, per_model
    from sweeps.plan.make import make_planner

    for library in ("huggingface_hub", "transformers"):  # their news would bury our one line
        logging.getLogger(library).setLevel(logging.ERROR)
    planners = []
    for model, overrides in per_model(arguments):
        config = configure(overrides)
        if model is not None:
            config.study = f"{config.study}-{model}"
        planners.append(make_planner(config))
    from sweeps.plan.estimate import estimate_study, total_line

    estimates = [estimate_study(planner) for planner in planners]
    if not planners[0].config.plan:
        from sweeps.plan.capacity import check_host

        for estimate in estimates:
            check_host(estimate)
        return max(_run(planner) for planner in planners)
    print("\n\n".join(estimate.text() for estimate in estimates))
    if len(estimates) > 1:
        print(f"\n{total_line(estimates)}")
    return 0


def _run(planner: "Planner") -> int:
    from sweeps.study import run

    failed = run(planner, print)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


USAGE = """usage: python -m sweeps [study=NAME] [key=value ...]

Runs a study and writes artifacts/NAME/. Studies: mini (default), smoke, lacuna and lacuna-faithful
(masks of single weights); of Lee et al. 2025, on GPUs or with model=mini: table1, table2, table3,
table4, table5, table6, figure1. model=A,B runs one by one.
Common keys: model= data= data.path= region.ratio= seeds=[..] objectives=[..] scenarios=[..]
unlearn.lr= artifacts= address=HOST:PORT tracking_uri= plan=true"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
