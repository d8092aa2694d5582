"""What a shell offers when TAB is pressed: studies, keys, and the choices of a few keys."""

import json
import os
from contextlib import suppress
from pathlib import Path

import typer

from lacuna.results.files import MANIFEST
from sweeps.config.groups import CHOSEN, names
from sweeps.paths import ROOT

Offer = tuple[str, str]
"""A word, and what it means."""
PACKAGES = Path(__file__).parents[2]


def complete_study(incomplete: str) -> list[Offer]:
    """The first word: a study, or a setting of the default study."""
    studies = [] if "=" in incomplete else [(name, "study") for name in names("study")]
    return studies + _settings([], incomplete)


def complete_settings(context: typer.Context, incomplete: str) -> list[Offer]:
    """The other words: keys, and values of those that name a file or a data source."""
    typed = [context.params.get("study"), *(context.params.get("settings") or ())]
    return _settings([word for word in typed if word], incomplete)


def complete_finished(incomplete: str) -> list[Offer]:
    """Studies that have left a manifest in the default output root."""
    root = Path(os.environ.get("LACUNA_ARTIFACTS") or ROOT)
    return [(path.parent.name, "finished") for path in sorted(root.glob(f"*/{MANIFEST}"))]


def _settings(typed: list[str], incomplete: str) -> list[Offer]:
    """A shell may pass `model=mi` as one word or as three; a lone `=` never gets here."""
    last = next((word for word in reversed(typed) if word != "="), "")
    if last in (*CHOSEN, "data"):
        return [(name, "") for name in _choices(last)]
    key, equals, _ = incomplete.partition("=")
    if equals:
        return [(f"{key}={name}", "") for name in _choices(key)]
    return [(f"{name}=", text) for name, text in known_keys()]


def _choices(key: str) -> list[str]:
    if key == "data":
        return [name for name, _ in known_keys("data")]
    return names(key) if key in CHOSEN else []


def known_keys(what: str = "keys") -> list[Offer]:
    """All keys with their help (or all names of `data`), remembered until the code changes.

    The schema is made of the library's own classes, which take seconds to import.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lacuna/keys.json"
    state = _state()
    with suppress(OSError, ValueError):
        known = json.loads(cache.read_text())
        if known["state"] == state:
            return [(name, text) for name, text in known[what]]
    found = _read()
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps({"state": state, **found}))
    return found[what]


def _state() -> str:
    """Changes with every edit of the code."""
    files = [file for name in ("lacuna", "sweeps") for file in (PACKAGES / name).rglob("*.py")]
    return f"{PACKAGES} {len(files)} {max(file.stat().st_mtime_ns for file in files)}"


def _read() -> dict[str, list[Offer]]:
    from lacuna.data import DATA
    from sweeps.config.keys import keys

    found: dict[str, str] = {}
    for key in keys():
        if not key.section:
            found.setdefault(key.name, key.help)
    return {"keys": list(found.items()), "data": [(name, "") for name in sorted(DATA)]}
