"""One line of progress on stderr (phase, done of total, elapsed, time left)."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from sweeps.text import clock_text


class Progress:
    """Counts finished work and shows it while the block runs.

    On a terminal one line is redrawn in place; elsewhere (a log file) a plain line is written about
    every `every` seconds, so a short run writes nothing. The estimate rests on work really done:
    results found in the store are finished at once and say nothing about speed.
    """

    def __init__(
        self,
        phase: str,
        total: int,
        stream: TextIO | None = None,
        every: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`every` is in seconds; `stream` defaults to stderr."""
        self.phase, self.total, self.every, self.now = phase, total, every, now
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty()
        self.done = self.found = 0
        self.started = self.shown = now()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self._write(f"\r\x1b[K{self.line()}\n" if self.done else "\r\x1b[K")

    def advance(self, found: bool = False) -> None:
        """One more is finished; `found` if it came from the store."""
        self.done += 1
        self.found += found
        self.tick()

    def tick(self) -> None:
        """Call often: shows the line when it is due."""
        wait = 0.5 if self.live else self.every
        if self.now() - self.shown < wait:
            return
        self.shown = self.now()
        self._write(f"\r\x1b[K{self.line()}" if self.live else f"{self.line()}\n")

    def line(self) -> str:
        """For example `inject 3/10  1:20 elapsed, about 3:06 left`."""
        elapsed = self.now() - self.started
        text = f"{self.phase} {self.done}/{self.total}  {clock_text(elapsed)} elapsed"
        worked = self.done - self.found
        if worked and self.done < self.total:
            text += f", about {clock_text(elapsed / worked * (self.total - self.done))} left"
        return text

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
