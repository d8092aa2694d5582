"""What can go wrong in a study besides bad input, and how a command says so and ends."""

import sys
from collections.abc import Callable

from lacuna.errors import UserError


class Unavailable(RuntimeError):
    """Something that a study stands on, Ray or a server, does not work now; the input was good."""


class CoordinatorError(Unavailable):
    """The coordinator could not be reached, after retries."""


class Damaged(UserError):
    """A result's bytes are not those that were published; names the files."""


class StageFailed(RuntimeError):
    """Another process tried this stage while we waited for it, and failed: its reason."""


def one_line(error: BaseException) -> str:
    """An exception as one short line; a `UserError` speaks for itself."""
    text = " ".join(str(error).split())[:400]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".strip(": ")


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
