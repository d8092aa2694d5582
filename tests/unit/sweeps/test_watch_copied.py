"""What hears of Ray Tune's trials is copied with all that it holds, the watch among it."""

import pickle
import threading

from sweeps.watch import Watch


def test_a_watch_can_be_copied_without_its_pipe() -> None:
    watch = object.__new__(Watch)
    watch._process = threading.Lock()  # type: ignore[assignment]
    assert vars(pickle.loads(pickle.dumps(watch))) == {}
