"""How a command ends: an exit status, and what went wrong as one line."""

import sys
from collections.abc import Callable

from lacuna.errors import UserError


class Unavailable(RuntimeError):
    """Something that a study stands on, Ray or a server, does not work now; the input was good."""


def exit_status(command: Callable[[], int], stopped: str) -> int:
    """What `command` returns; 1 for what went wrong, 2 for bad input, each one line on stderr.

    `stopped` is said on Ctrl-C. A bug keeps its traceback.
    """
    try:
        return command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, Unavailable) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
    return 1
