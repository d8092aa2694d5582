"""What the commands share: words of the form key=value, and how a command ends."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from lacuna.errors import UserError
from lacuna.registry import suggest
from sweeps.cli.completion import complete_finished, complete_settings, complete_study
from sweeps.errors import exit_status
from sweeps.paths import ROOT

P = ParamSpec("P")

Study = Annotated[
    str | None,
    typer.Argument(
        metavar="STUDY", help="Which study (default: mini).", autocompletion=complete_study
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="What differs from it; all keys: `lacuna config --keys`.",
        autocompletion=complete_settings,
    ),
]
Finished = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="A finished study.", autocompletion=complete_finished),
]
Place = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Where it is: artifacts=DIR (default: artifacts)."),
]
StorePlace = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Where it is: artifacts=DIR, and store=URL and tracking_uri=URI where the study had "
        "them.",
    ),
]


def ending(stopped: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Ends a command with an exit status, and bad input with one line; `stopped` is for Ctrl-C."""

    def wrap(command: Callable[P, int]) -> Callable[P, int]:
        @wraps(command)
        def ended(*args: P.args, **kwargs: P.kwargs) -> int:
            return exit_status(lambda: command(*args, **kwargs), stopped)

        return ended

    return wrap


def renamed(words: Sequence[str]) -> list[str]:
    """Words with the older spelling of a flag (delete=true) replaced by the flag."""
    known = {"delete=true": ["--delete"], "delete=false": [], "record=true": ["--record"]}
    found: list[str] = []
    for word in words:
        hours = ["--hours", word[6:]] if word.startswith("hours=") else [word]
        found += known.get(word, hours)
    return found


def overrides(study: str | None, settings: Sequence[str] | None) -> list[str]:
    """The study and its settings as Hydra takes them; results go to LACUNA_ARTIFACTS if set."""
    words = [word for word in (study, *(settings or ())) if word is not None]
    if words and "=" not in words[0]:
        words[0] = f"study={words[0]}"
    root = os.environ.get("LACUNA_ARTIFACTS")
    if root and not any(word.startswith("artifacts=") for word in words):
        words.insert(0, f"artifacts={root}")
    return words


def chosen(command: str, settings: Sequence[str] | None, *known: str) -> dict[str, str]:
    """The values of the `known` keys, empty where not given. Raises `UserError` for others."""
    values = dict.fromkeys(known, "")
    for word in settings or ():
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"argument {word!r} is not key=value: write artifacts=DIR")
        if name not in values:
            raise UserError(f"unknown key {name!r} of {command}{suggest(name, values)}")
        values[name] = value
    return values


def root_of(values: Mapping[str, str]) -> Path:
    """The output root: `artifacts=`, else LACUNA_ARTIFACTS, else `artifacts` in this folder."""
    return Path(values["artifacts"] or os.environ.get("LACUNA_ARTIFACTS") or ROOT)


def show(lines: Iterable[str]) -> None:
    """Print lines until whoever reads them, such as `head`, has seen enough."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # at exit Python flushes once more: to where nothing can break
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
