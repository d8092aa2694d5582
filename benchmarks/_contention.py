"""Many processes ask for few keys at once, while holders of a claim are killed or stall.

In every round the first holder of the first key kills itself; the first holder of the second key
stops itself (SIGSTOP) until another has taken its claim over, wakes (SIGCONT) and goes on as if
nothing had happened. Others are killed at random moments. There must be one publication per key.
"""

import argparse
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._report import Part, median
from benchmarks._toys import mark
from lacuna.artifacts import read_json, write_json
from sweeps.stage import Stage
from sweeps.store.coordinator import COMMIT
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.storage import name_of
from sweeps.store.store import Store
from sweeps.tracking.client import connect, prepare

if TYPE_CHECKING:
    from sweeps.tracking.client import MlflowClient

LIMIT = 180.0  # seconds a round may take
# Loaded once, in the server process that the contenders are forked from.
PRELOAD = [
    "benchmarks._contention",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Who competes for what, and how patiently."""

    folder: Path
    uri: str
    processes: int = 16
    keys: int = 3
    kills: int = 2
    """Processes killed at random moments of a round, beside the holder that kills itself."""
    ttl: float = 4.0
    beat: float = 0.5
    seed: int = 1

    def stages(self, number: int) -> list[Stage]:
        """The keys of round `number`: the first one's holder is killed, the second one's stalls."""
        return [
            Stage("contended", f"key {k}", {"round": number, "key": k, "seed": self.seed}, {}, {})
            for k in range(self.keys)
        ]

    def store(self) -> Store["Stoppable"]:
        """A view of the store with a connection of its own."""
        coordinator = Stoppable(connect(self.uri))
        # holders are killed here more often than a study would bear
        return Store(self.folder / "checkpoints", coordinator, self.ttl, self.beat, attempts=1000)

    def marks(self, number: int) -> Path:
        """Where the contenders of a round leave notes."""
        return self.folder / "marks" / str(number)


class Stoppable(MlflowCoordinator):
    """Its process may be stopped while `idle` is held: stopped within a heartbeat it would keep
    SQLite's lock, and with it everybody else, until it is woken."""

    def __init__(self, client: "MlflowClient") -> None:
        super().__init__(client)
        self.idle = threading.Lock()

    def heartbeat(self, key: str, epoch: int) -> None:
        """As ever."""
        with self.idle:
            super().heartbeat(key, epoch)


@dataclass
class Tally:
    """What was seen, over all rounds."""

    rounds: int = 0
    published: Counter[int] = field(default_factory=Counter)
    """How many keys had how many publications."""
    computed: int = 0
    killed: int = 0
    woken: int = 0
    fenced: int = 0
    """Woken holders whose work came to nothing."""
    seconds: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def contend(contest: Contest, number: int, who: int, line: Barrier) -> None:
    """One contender: asks for every key of the round, in an order of its own."""
    store, marks = contest.store(), contest.marks(number)
    stages = contest.stages(number)
    order = np.random.default_rng([contest.seed, number, 1 + who]).permutation(len(stages))
    line.wait(LIMIT)
    found: dict[str, Any] = {}
    for k in map(int, order):
        tried: list[int] = []
        work = partial(_work, marks, stages[k].key, k, tried, store.coordinator.idle)
        folder = store.produce(stages[k], work)
        found[stages[k].key] = {"folder": folder.name, "tried": tried}
    write_json(marks / f"found.{os.getpid()}.json", found)


def _work(
    marks: Path,
    key: str,
    k: int,
    tried: list[int],
    idle: threading.Lock,
    inputs: Any,
    out: Path,
) -> Any:
    epoch = int(out.name.split(".")[2])
    tried.append(epoch)
    mark(marks, key)
    if k == 0 and _is_first(marks / "killed", epoch):
        os.kill(os.getpid(), signal.SIGKILL)
    if k == 1 and _is_first(marks / "stalled", epoch):
        with idle:
            os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.2)
    (out / "weights.bin").write_bytes(os.urandom(1 << 16))
    return {"epoch": epoch}


def _is_first(path: Path, epoch: int) -> bool:
    text = f"{os.getpid()} {epoch}"
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    try:
        os.link(draft, path)  # atomic, and whole as soon as it exists
    except FileExistsError:
        return False
    return True


def run(contest: Contest, rounds: int) -> Tally:
    """Play the rounds; `violations` of the tally is empty if all promises were kept."""
    prepare(contest.uri)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    tally = Tally()
    for number in range(rounds):
        start = time.monotonic()
        _Round(contest, number, context).play(tally)
        tally.rounds += 1
        tally.seconds.append(time.monotonic() - start)
    return tally


class _Round:
    """Starts the contenders of one round, harms some, and judges what is left."""

    def __init__(self, contest: Contest, number: int, context: ForkServerContext) -> None:
        self.contest, self.number = contest, number
        self.marks, self.stages = contest.marks(number), contest.stages(number)
        self.marks.mkdir(parents=True)
        self.store = contest.store()
        self.chance = np.random.default_rng([contest.seed, number, 0])
        self.line = context.Barrier(contest.processes + 1)
        self.contenders: list[ForkServerProcess] = [
            context.Process(target=contend, args=(contest, number, who, self.line))
            for who in range(contest.processes)
        ]
        self.stalled: tuple[int, int] | None = None
        """Process and epoch."""
        self.wake: float | None = None
        self.woken = False

    def play(self, tally: Tally) -> None:
        for contender in self.contenders:
            contender.start()
        self.line.wait(LIMIT)
        start = time.monotonic()
        due = sorted(start + self.chance.uniform(0.0, 3.0, self.contest.kills))
        while any(contender.is_alive() for contender in self.contenders):
            self._tend_stalled()
            while due and time.monotonic() >= due[0]:
                due.pop(0)
                self._kill_one(self.chance)
            if time.monotonic() - start > LIMIT:
                tally.violations.append(f"round {self.number}: not done after {LIMIT:.0f} s")
                self._end_all()
            time.sleep(0.02)
        self._judge(tally)

    def _tend_stalled(self) -> None:
        path = self.marks / "stalled"
        if self.stalled is None:
            if path.exists():
                pid, epoch = path.read_text().split()
                self.stalled = int(pid), int(epoch)
        elif self.wake is None:
            leases = self.store.coordinator.leases(self.stages[1].key)
            if leases and leases[-1].epoch > self.stalled[1]:
                # before, while or after its successor publishes
                self.wake = time.monotonic() + self.chance.uniform(0.0, 1.0)
            time.sleep(0.2)
        elif not self.woken and time.monotonic() >= self.wake:
            os.kill(self.stalled[0], signal.SIGCONT)
            self.woken = True

    def _kill_one(self, chance: np.random.Generator) -> None:
        spared = self.stalled[0] if self.stalled else None
        alive = [c for c in self.contenders if c.is_alive() and c.pid != spared]
        if len(alive) > 1:  # somebody has to finish
            alive[int(chance.integers(len(alive)))].kill()

    def _end_all(self) -> None:
        for contender in self.contenders:
            if contender.is_alive():
                contender.kill()
                contender.join()

    def _judge(self, tally: Tally) -> None:
        codes = [contender.exitcode for contender in self.contenders]
        tally.killed += codes.count(-signal.SIGKILL)
        if odd := {code for code in codes if code not in (0, -signal.SIGKILL)}:
            tally.violations.append(f"round {self.number}: contenders ended with {odd}")
        found = {
            int(path.name.split(".")[1]): read_json(path) for path in self.marks.glob("found.*")
        }
        winners = {}
        for stage in self.stages:
            tally.computed += len(list(self.marks.glob(f"{stage.key}.*.json")))
            tally.published[publications(self.store.coordinator, stage)] += 1
            tally.violations += problems(self.contest, self.number, stage, found)
            winners[stage.key] = self.contest.store().get(stage.key)
        if self.woken and self.stalled and self.stalled[0] in found:
            pid, epoch = self.stalled
            own = self.contest.folder / "checkpoints" / name_of(self.stages[1].key, epoch)
            tally.woken += 1
            if winners[self.stages[1].key] == own or own.exists():
                tally.violations.append(f"round {self.number}: a woken holder's result counts")
            else:
                tally.fenced += 1


def problems(contest: Contest, number: int, stage: Stage, found: dict[int, Any]) -> list[str]:
    """What is wrong with one key after a round; `found`: what each survivor was given."""
    store = contest.store()  # a fresh one reads every byte
    where = f"round {number}, {stage.label}"
    count = publications(store.coordinator, stage)
    broken = [] if count == 1 else [f"{where}: {count} publications"]
    folder = store.get(stage.key)
    if folder is None:
        return [*broken, f"{where}: the published result is missing or damaged"]
    if others := {said[stage.key]["folder"] for said in found.values()} - {folder.name}:
        broken.append(f"{where}: somebody was given {others} instead of {folder.name}")
    return broken


def publications(coordinator: MlflowCoordinator, stage: Stage) -> int:
    """How often a key was published."""
    prefix = f"name LIKE '{COMMIT}.%.{stage.key}.%'"
    return len(coordinator.client.search_registered_models(prefix))


def report(folder: Path, given: argparse.Namespace) -> Part:
    """(a) Many processes, few keys, killed and stalled holders."""
    contest = Contest(
        folder=folder,
        uri=f"sqlite:///{folder / 'mlflow.db'}",
        processes=given.processes,
        keys=given.keys,
        seed=given.seed,
    )
    tally = run(contest, given.rounds)
    part = Part("(a) contention", violations=tally.violations)
    part.add("rounds x processes x keys", f"{tally.rounds} x {contest.processes} x {contest.keys}")
    part.add("publications per key (keys)", f"{dict(tally.published)}")
    part.add("computations, of which lost or superseded", _of(tally))
    part.add("processes killed", tally.killed)
    part.add("stalled holders woken / fenced off", f"{tally.woken} / {tally.fenced}")
    part.add("seconds per round, median (max)", median(tally.seconds))
    return part


def _of(tally: Tally) -> str:
    return f"{tally.computed}, {tally.computed - sum(tally.published.values())}"
