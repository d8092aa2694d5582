"""Errors of a study besides bad input, and the exit status that a command ends with."""

import sys
from collections.abc import Callable

from lacuna.errors import UserError
from sweeps.secrets import redacted

TERMINATED = 128 + 15
"""Exit status of a process that SIGTERM has ended, in the terms of a shell."""


class Unavailable(RuntimeError):
    """Ray or a server that a study needs does not work at the moment; the input was good."""


class CoordinatorError(Unavailable):
    """The coordinator could not be reached, after retries."""


class Damaged(UserError):
    """A result's bytes are not those that were published; names the files."""


class StageFailed(RuntimeError):
    """Another process computed this stage while this one waited, and failed with this reason."""


def one_line(error: BaseException) -> str:
    """An exception as one short line: its class and text, of a `UserError` the text alone."""
    text = redacted(" ".join(str(error).split()))[:400]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".strip(": ")


def exit_status(command: Callable[[], int], stopped: str) -> int:
    """Run `command`: its status, or 1 for an error and 2 for bad input, in one line on stderr.

    `stopped` is said on Ctrl-C and SIGTERM (status 143). A bug keeps its traceback.
    """
    try:
        return command()
    except UserError as error:
        print(f"error: {redacted(str(error))}", file=sys.stderr)
        return 2
    except (OSError, Unavailable) as error:
        print(f"error: {redacted(str(error))}", file=sys.stderr)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
    except SystemExit as error:
        if not error.code:
            raise
        # By our handler of the signal, or by Ray's own, which exits with 1.
        print(f"ended by SIGTERM: {stopped}", file=sys.stderr)
        return TERMINATED
    return 1
