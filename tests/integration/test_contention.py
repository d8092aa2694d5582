"""The store under contention, small: killed and stalled holders, one publication per key."""

import pytest

from benchmarks import _contention
from benchmarks._contention import Contest
from sweeps.store.coordinator import COMMIT
from sweeps.store.storage import name_of
from sweeps.tracking.client import create_name


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Contest:
    folder = tmp_path_factory.mktemp("contest")
    uri = f"sqlite:///{folder}/mlflow.db"
    return Contest(folder=folder, uri=uri, processes=6, keys=3, kills=1, ttl=2.0, seed=1)


@pytest.fixture(scope="module")
def tally(contest: Contest) -> _contention.Tally:
    return _contention.run(contest, rounds=2)


def test_every_key_is_published_once_although_holders_die_and_stall(
    tally: _contention.Tally,
) -> None:
    assert tally.violations == []
    assert tally.published == {1: 2 * 3}
    assert tally.killed >= 2  # the first key's holder of each round kills itself
    assert tally.woken == tally.fenced == 2
    # Of both keys a second computation was needed, and there was no third without a reason.
    assert 2 * 3 + 2 * 2 <= tally.computed <= 2 * 3 + tally.killed + tally.woken


def test_a_second_publication_and_a_damaged_result_would_be_noticed(
    contest: Contest, tally: _contention.Tally
) -> None:
    store, (first, second, _) = contest.store(), contest.stages(0)
    assert create_name(
        store.coordinator.client, f"{COMMIT}.store.{first.key}.2", {"epoch": "9", "sha256": "0"}
    )
    commit = store.coordinator.committed(second.key)
    assert commit is not None
    (
        contest.folder / "checkpoints" / name_of(second.key, commit.epoch) / "weights.bin"
    ).write_bytes(b"")
    seen = _contention.problems(contest, 0, second, {})
    assert seen == ["round 0, key 1: the published result is missing or damaged"]
    seen = _contention.problems(contest, 0, first, {})
    assert seen[0] == "round 0, key 0: 2 publications"
