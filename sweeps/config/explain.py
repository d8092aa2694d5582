"""Which argument was wrong, why, and what would work: Hydra's errors in one line for a person."""

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lacuna.data import DATA
from lacuna.errors import UserError
from sweeps.config.groups import groups, names
from sweeps.config.keys import keys

REPLACED = {
    "inject.method": "protocol=full plants facts into all parameters, protocol=lee into a region",
    "unlearn.train.lr": "unlearn.lr=RATE fixes the rate of all trials, unlearn.lrs lists some",
    "attack.train.lr": "attack.relearn_lrs=[RATE,...] and attack.benign_lrs=[RATE,...] list rates",
    "attack.lora.train.lr": "attack.lora_lrs=[RATE,...] lists rates",
    "attack.train.save_every": "an attack is not resumed: leave it out",
    "attack.lora.train.save_every": "an attack is not resumed: leave it out",
}
"""Keys that were, or that one would expect -> what to write instead."""
REFUSALS = (HydraException, OmegaConfBaseException)
"""What Hydra and OmegaConf raise for input that they cannot use."""
LONGEST = 5000
"""Letters of an argument: its grammar reads a thousand numbers a second."""
Compose = Callable[[Sequence[str]], DictConfig]
"""Words to the configuration that they make."""


def parsable(words: Sequence[str]) -> list[str]:
    """The words with `~/` at the start of a value as the home folder.

    Raises `UserError` for the first that Hydra's grammar does not take, with the quoting that it
    does.
    """
    parser, found = OverridesParser.create(), []
    for word in words:
        key, equals, value = word.partition("=")
        if len(word) > LONGEST:
            raise UserError(f"argument {word[:40]!r}... has {len(word)} letters: at most {LONGEST}")
        if equals and (value == "~" or value.startswith("~/")):
            word = _quoted(key, str(Path(value).expanduser()))
        try:
            parser.parse_override(word)
        except HydraException as error:
            raise UserError(_unparsed(word, error)) from error
        found.append(word)
    return found


def _unparsed(word: str, error: Exception) -> str:
    key, _, value = word.partition("=")
    better = _quoted(key, value)
    try:
        if value[:1] in ("[", "{", "'", '"'):
            raise HydraException("its brackets or quotes are not closed")
        OverridesParser.create().parse_override(better)
    except HydraException:
        reason = " ".join(str(error).split("See https")[0].split())
        return f"argument {word!r} cannot be read ({reason[:120]}): write key=value"
    shell = f'"{better}"' if not re.search(r'["$`\\!]', better) else better
    return (
        f"argument {word!r} cannot be read: a value with marks such as = , ~ [ ] {{ }} needs "
        f"quotes that reach the program: write {shell}"
    )


def _quoted(key: str, value: str) -> str:
    escaped = re.sub(r"(\\*)'", lambda m: m[1] * 2 + "\\'", value)
    return f"{key}='{escaped}'"


def explain(error: Exception, overrides: Sequence[str], compose: Compose) -> str:
    """One line for a person: the argument, and the nearest thing that exists."""
    text = " ".join(str(error).split())
    cause = " ".join(str(error.__cause__ or "").split())
    if found := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        group, name = found.groups()
        return f"unknown {group} {name!r}{_nearest(name, _choices(group))}"
    for unknown in (r"Could not override '([^']+)'", r"Key '[^']+' not in .* full_key: (\S+)"):
        if found := re.search(unknown, text):
            return unknown_key(found.group(1), compose)
    word = _guilty(overrides, compose)
    reason = re.split(" (?:full_key:|object_type=|reference_type=|See https)", cause or text)[0]
    return f"argument {word!r}: {reason}" if word else reason


def _guilty(overrides: Sequence[str], compose: Compose) -> str | None:
    """The first word without which those before it can be used; choices of files come first."""
    words = sorted(overrides, key=lambda word: word.partition("=")[0] not in groups())
    good, bad = 0, len(words)
    while good < bad:
        middle = (good + bad) // 2
        if _works(words[:middle], compose):
            good = middle + 1
        else:
            bad = middle
    return words[good - 1] if good else None


def _works(words: Sequence[str], compose: Compose) -> bool:
    try:
        compose(words)
    except REFUSALS:
        return False
    except UserError:  # something is missing yet: not for this word
        return True
    return True


def place_of(config: DictConfig, error: UserError, prefix: str = "") -> str:
    """The error's line with the section in front whose values it is about."""
    for name in config:
        if OmegaConf.is_missing(config, name) or not isinstance(config[name], DictConfig):
            continue
        inner = f"{prefix}{name!s}"
        try:
            OmegaConf.to_object(config[name])
        except UserError as found:
            return place_of(config[name], found, f"{inner}.")
        except OmegaConfBaseException:
            continue
    return located(str(error), prefix)


def located(line: str, prefix: str) -> str:
    """A line about a section's value with the section's name, unless it has it."""
    section = prefix.rstrip(".")
    if not section or section in line:
        return line
    return f"{prefix}{line}" if re.match(r"\w+=", line) else f"{section}: {line}"


def unknown_key(key: str, compose: Compose) -> str:
    """Why a key is none, and which are near it."""
    if key in REPLACED:
        return f"{key} is no key: {REPLACED[key]}"
    brought = sorted({one.only_with for one in keys() if one.name == key and one.only_with})
    if brought:
        return f"key {key!r} is there with {' or '.join(brought)} only: add one"
    return f"unknown key {key!r}{_nearest(key, sorted(set(_keys(compose))))}"


def _choices(group: str) -> list[str]:
    return sorted(DATA) if group == "data" else names(group)


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f": did you mean {' or '.join(map(repr, close))}?"
    return f": choose one of {', '.join(name for name in known if '.' not in name)}"


def _keys(compose: Compose) -> Iterator[str]:
    """Keys of the schema, those of every data source among them, and of the default study."""
    yield from (key.name for key in keys())
    yield from _flat(compose([]), "")


def _flat(config: DictConfig, prefix: str) -> Iterator[str]:
    for name in map(str, config):
        yield prefix + name
        if not OmegaConf.is_missing(config, name) and isinstance(config[name], DictConfig):
            yield from _flat(config[name], f"{prefix}{name}.")
