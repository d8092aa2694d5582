"""`lacuna config`: the keys of a configuration, or the values of a study and their sources."""

import json
import re
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer
from omegaconf import MISSING

from lacuna.errors import UserError
from sweeps.cli.words import Settings, Study, ending, overrides, show
from sweeps.config.groups import check_words

if TYPE_CHECKING:
    from sweeps.config.keys import Key


@ending("stopped")
def config(
    study: Study = None,
    settings: Settings = None,
    keys: Annotated[
        bool,
        typer.Option("--keys", help="Explain all keys instead, or those that begin with a PREFIX."),
    ] = False,
) -> int:
    """Print the values of a study, and where each comes from.

    A key a line, then its source: `default` (of the code), a file below sweeps/config, or the
    command line. With --keys, and a PREFIX in place of STUDY: type, default and meaning of keys."""
    if keys:
        show(_explained(study or ""))
        return 0
    words = overrides(study, settings)
    check_words(words)
    show(_composed(words))
    return 0


def _composed(words: Sequence[str]) -> Iterator[str]:
    from sweeps.config.compose import per_model
    from sweeps.config.provenance import values

    for model, given in per_model(words):
        if model is not None:
            yield f"# model={model}"
        found = [(f"{value.key}: {_text(value.value)}", value.source) for value in values(given)]
        width = min(max(len(line) for line, _ in found), 60)
        yield from (f"{line:{width}}  # {source}" for line, source in found)


def _explained(prefix: str) -> Iterator[str]:
    from sweeps.config.keys import keys

    found = [key for key in keys() if key.name.startswith(prefix)]
    if not found:
        raise UserError(f"no key begins with {prefix!r}: `lacuna config --keys` lists all")
    for key in found:
        yield from _lines(key)


def _lines(key: "Key") -> Iterator[str]:
    default = "" if key.default == MISSING else f" = {_text(key.default)}"
    where = f"  (with {key.only_with})" if key.only_with else ""
    yield f"{key.name}: {key.type}{'' if key.section else default}{where}"
    yield from wrap(key.help, 96, initial_indent="    ", subsequent_indent="    ")


def _text(value: object) -> str:
    """A value as one may type it; text that would be read as something else is quoted."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w./~][^\n'\"#]*(?<! )", value)
    return str(value) if plain else json.dumps(value)
