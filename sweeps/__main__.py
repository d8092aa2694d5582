"""`python -m sweeps VERB ...` is `lacuna VERB ...`; `python -m sweeps [study=NAME] [key=value ...]`
runs a study."""

import sys
from collections.abc import Sequence

from sweeps import cli


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 not, 2 bad input."""
    settings_only = not arguments or "=" in arguments[0]
    return cli.main(["run", *arguments] if settings_only else arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
