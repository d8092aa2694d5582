"""Every key of a study with every value that nobody means: what is said, and how soon."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import NamedTuple

from lacuna.errors import UserError
from sweeps.config.compose import configure
from sweeps.config.keys import Key, keys
from sweeps.config.ranges import RANGES
from sweeps.plan.estimate import estimate_study
from sweeps.plan.make import make_planner

VALUES = {
    "wrong type": ("[[1]]", "{a:1}", "word"),
    "empty": ("''", "[]"),
    "negative": ("-1", "[-1]"),
    "nan": ("nan", "[nan]"),
    "inf": ("inf", "[inf]", "-inf"),
    "huge": ("1e300", "99999999999999999999", "1000000000", "[1e300]"),
    "duplicate": ("[1,1]", "[a,a]"),
    "unicode": ("é😀", "'\u202eabc'", "[名]"),
}
"""Kind -> values as they are typed."""
SECONDS = 10
SIGNED = {name for name, bounds in RANGES.items() if bounds.least < 0}
"""Keys of which -1 is a good value."""


class Try(NamedTuple):
    """A key with a value, and the choice that brings the key (data=tofu)."""

    key: Key
    kind: str
    value: str

    @property
    def words(self) -> list[str]:
        chosen = [self.key.only_with] if self.key.only_with else []
        return ["study=smoke", "plan=true", *chosen, f"{self.key.name}={self.value}"]

    @property
    def must_fail(self) -> bool:
        """Whether no study could mean it."""
        if "int" not in self.key.type and "float" not in self.key.type:
            return self.value in ("[[1]]", "{a:1}") and "Any" not in self.key.type
        if self.kind == "empty" and self.value == "[]":
            return "list" not in self.key.type and "tuple" not in self.key.type
        if self.kind == "negative":
            return self.key.name not in SIGNED
        return self.value != "1000000000"


@dataclass(frozen=True)
class Answer:
    """What became of a try: `refused` or `accepted`; else what should never be."""

    what: str
    said: str = ""


class Slow(BaseException):
    """The answer took more than `SECONDS`."""


def tries() -> Iterator[Try]:
    """All of them, several thousand."""
    for key in keys():
        if not key.section and key.name not in ("study", "plan"):
            for kind, values in VALUES.items():
                yield from (Try(key, kind, value) for value in values)


def answer(words: list[str]) -> Answer:
    """Plan the study that the words describe, as `plan=true` does."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        estimate_study(make_planner(configure(words))).text()
    except UserError as error:
        said = str(error)
        return Answer("refused" if "\n" not in said else "several lines", said)
    except Slow:
        return Answer("slow")
    except Exception as error:
        return Answer("traceback", f"{type(error).__name__}: {error}"[:300])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Answer("accepted")


def wrong(one: Try, found: Answer) -> str | None:
    """Why the answer is none to give, or None."""
    if found.what not in ("refused", "accepted"):
        return f"{found.what}: {found.said}"
    if found.what == "accepted":
        return "accepted" if one.must_fail else None
    last, value = one.key.name.rpartition(".")[2], one.value.strip("'[]")
    value = "1e+300" if value == "1e300" else value.partition(",")[0]
    named = last in found.said or (value and value in found.said)
    named = named or (one.key.only_with and "data.path" in found.said)  # there is no data at all
    return None if named else f"names neither key nor value: {found.said}"


def _late(signum: int, frame: FrameType | None) -> None:
    raise Slow
