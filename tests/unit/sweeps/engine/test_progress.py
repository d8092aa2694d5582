"""The progress line: what it says, and when it says nothing."""

import io

from sweeps.engine.progress import Progress
from sweeps.text import clock_text


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_seconds_are_written_as_minutes_and_hours() -> None:
    assert [clock_text(s) for s in (0, 61.9, 3725)] == ["0:00", "1:01", "1:02:05"]


def test_the_time_left_is_estimated_from_work_really_done() -> None:
    clock = Clock()
    progress = Progress("inject", 10, io.StringIO(), now=clock)
    for _ in range(4):
        progress.advance(found=True)
    assert "left" not in progress.line()
    clock.seconds = 60.0
    progress.advance()
    progress.advance()
    # two trained in 60 s, four to go: 120 s; the four found ones do not make it look faster
    assert progress.line() == "inject 6/10  1:00 elapsed, about 2:00 left"


def test_a_log_file_gets_a_plain_line_every_ten_seconds_and_nothing_for_a_short_run() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("inject", 100, stream, now=clock) as progress:
        clock.seconds = 9.0
        progress.advance()
        assert stream.getvalue() == ""
        for second in (10.0, 12.0, 20.5):
            clock.seconds = second
            progress.tick()
    assert stream.getvalue().splitlines() == [
        "inject 1/100  0:10 elapsed, about 16:30 left",
        "inject 1/100  0:20 elapsed, about 33:49 left",
    ]


def test_a_terminal_gets_one_line_redrawn_in_place() -> None:
    clock, stream = Clock(), Terminal()
    with Progress("test", 2, stream, now=clock) as progress:
        for second in (1.0, 2.0):
            clock.seconds = second
            progress.advance()
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("test 2/2  0:02 elapsed\n")


def test_a_phase_that_ends_before_any_result_leaves_no_line() -> None:
    stream = Terminal()
    with Progress("test", 2, stream):
        pass
    assert stream.getvalue() == "\r\x1b[K"
