"""Kills parts of a running study at random moments, runs it again, and compares the results.

    python -m benchmarks.faults [--kills 5] [--targets driver,worker,raylet,group,node,server] ...

First the study (`study=smoke`, or what the words say) runs undisturbed. Then, for each target, it
runs in a fresh folder while that target is killed (SIGKILL) at random moments. A driver that ends
is started again, until the study is complete; and a study that is complete before its target was
killed `--kills` times is followed by another. Exit status 1 unless every table is byte-identical
and no stage was trained again once its result was published.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from benchmarks._report import Part, at_least_one, names
from benchmarks._server import Server
from lacuna.artifacts import read_json
from lacuna.seeds import numpy_generator
from sweeps.store.coordinator import COMMIT
from sweeps.tracking.client import connect
from sweeps.watch import MARK

ROOT = Path(__file__).resolve().parents[1]
STARTS = 12  # of a driver, beyond the number of kills
SILENCE = 180.0  # seconds a driver whose raylet is dead may take to notice
TABLES = ("tables", "verdict.json")


@dataclass
class Study:
    """One folder of results, and the process that works on it."""

    folder: Path
    words: Sequence[str]
    """`key=value` arguments."""
    uri: str | None = None
    process: "subprocess.Popen[bytes] | None" = None
    family: list[psutil.Process] = field(default_factory=list)
    """The driver's descendants as last seen: Ray's processes and the workers."""

    @property
    def artifacts(self) -> Path:
        """The output root."""
        return self.folder / "artifacts"

    def start(self) -> None:
        """Start the driver; what it says goes to a file."""
        given = [f"tracking_uri={self.uri}"] if self.uri else []
        command = [sys.executable, "-m", "sweeps", "study=smoke", *self.words, *given]
        environment = {name: v for name, v in os.environ.items() if name != "MLFLOW_RUN_ID"}
        with (self.folder / "driver.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"artifacts={self.artifacts}"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a group of its own, to be ended as one
            )

    def ended(self) -> int | None:
        """Exit status, or None while the driver runs."""
        assert self.process is not None
        status = self.process.poll()
        if status is None:
            # one that has just died has none any more; its last family is what may be left behind
            now = psutil.Process(self.process.pid).children(recursive=True)
            self.family = now or self.family
        return status

    def wait(self, limit: float) -> int:
        """Exit status; -1 if it had to be killed after `limit` seconds."""
        end = time.monotonic() + limit
        while (status := self.ended()) is None:
            if time.monotonic() > end:
                self.stop()
                return -1
            time.sleep(0.5)
        return status

    def stop(self) -> None:
        """Kill the driver and what it leaves behind."""
        if self.process is not None and self.process.poll() is None:
            self.ended()
            self.process.kill()
            self.process.wait()
        for left in self.family:
            if left.is_running():
                left.kill()

    def orphans(self, patience: float = 20.0) -> int:
        """How many of an ended driver's processes are still there; Ray's end by themselves."""
        gone, alive = psutil.wait_procs(self.family, timeout=patience)
        for left in alive:
            left.kill()
        return len(alive)

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def tables(self) -> dict[str, bytes]:
        """Every table and the verdict, by path."""
        folder = self.artifacts / "smoke"
        files = [p for name in TABLES for p in (folder / name, *(folder / name).glob("*"))]
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files if p.is_file()}

    def published(self) -> dict[str, tuple[str, str]]:
        """Key -> (epoch, run id) of every commit record."""
        uri = self.uri or f"sqlite:///{self.artifacts / 'mlflow.db'}"
        if uri.startswith("sqlite:") and not (self.artifacts / "mlflow.db").exists():
            return {}
        models = connect(uri).search_registered_models(f"name LIKE '{COMMIT}.%'", max_results=1000)
        return {m.name.split(".")[3]: (m.tags["epoch"], m.tags.get("run_id", "")) for m in models}


def kill_driver(study: Study, chance: np.random.Generator) -> bool:
    """The process the user started."""
    assert study.process is not None
    study.process.kill()
    return True


def kill_worker(study: Study, chance: np.random.Generator) -> bool:
    """A Ray worker that executes something; False if there is none now."""
    busy = [p for p in study.family if _name(p).startswith("ray::") and "IDLE" not in _name(p)]
    if not busy:
        return False
    busy[int(chance.integers(len(busy)))].kill()
    return True


def kill_raylet(study: Study, chance: np.random.Generator) -> bool:
    """Ray's own process on this node."""
    found = [p for p in study.family if _name(p).split(" ")[0].endswith("/raylet")]
    for process in found:
        process.kill()
    return bool(found)


def end_group(study: Study, chance: np.random.Generator) -> bool:
    """SIGTERM to the driver and all that it started, as a scheduler or a service manager does."""
    assert study.process is not None
    os.killpg(study.process.pid, signal.SIGTERM)
    return True


def lose_node(study: Study, chance: np.random.Generator) -> bool:
    """The node's raylet and all its workers at once, as when a machine goes."""
    lost = [p for p in study.family if "/raylet" in _name(p) or _name(p).startswith("ray::")]
    for process in lost:
        process.kill()
    return bool(lost)


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


ONCE = ("driver", "raylet", "group", "node")
"""Targets without which a driver ends."""
TARGETS: dict[str, Callable[[Study, np.random.Generator], bool] | None] = {
    "driver": kill_driver,
    "worker": kill_worker,
    "raylet": kill_raylet,
    "group": end_group,
    "node": lose_node,
    "server": None,  # has a server to kill, see `Campaign.strike`
}


@dataclass
class Campaign:
    """One target, killed again and again until the study is complete."""

    target: str
    study: Study
    chance: np.random.Generator
    kills: int
    span: float
    """Seconds the undisturbed study took."""
    limit: float
    server: Server | None = None
    moments: list[float] = field(default_factory=list)
    """Seconds from a driver's start to each kill."""
    statuses: list[int] = field(default_factory=list)
    published: list[int] = field(default_factory=list)
    """Results that stood when the target was killed."""
    words: list[str] = field(default_factory=list)
    """The last that drivers said which ended by themselves with another status than 0."""
    orphans: int = 0
    before: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Start, kill, start again, until the study ends well or the time is up."""
        end = time.monotonic() + self.limit
        for _ in range(self.kills + STARTS):
            self.study.start()
            if not self._disturb(end):
                self.problems.append(f"not complete within {self.limit:.0f} s")
                return
            self.orphans += self.study.orphans()
            self.check()
            if self.statuses[-1] == 0:
                return
        self.problems.append(f"not complete after {len(self.statuses)} starts")

    def _disturb(self, end: float) -> bool:
        """One driver's life; False if the time is up."""
        started = time.monotonic()
        while len(self.moments) < self.kills and time.monotonic() < end:
            # from the first seconds on; rarely so late that the study is over
            due = time.monotonic() + self.chance.uniform(0.05, 0.6) * self.span
            while time.monotonic() < due and self.study.ended() is None:
                time.sleep(0.2)
            while self.study.ended() is None and not self.strike():
                time.sleep(0.2)
            if self.study.ended() is not None:
                break
            self.moments.append(time.monotonic() - started)
            if self.target in ONCE:
                break
            self.check()
        patience = SILENCE if self.target in ("raylet", "node") else end - time.monotonic()
        self.statuses.append(self.study.wait(max(1.0, patience)))
        if self.statuses[-1] > 0:
            self.words.append(_tail(self.study))
        return time.monotonic() < end

    def strike(self) -> bool:
        """Kill the target; False if there is nothing to kill just now."""
        if self.server is not None:
            self.server.kill()
            time.sleep(self.chance.uniform(0.0, 5.0))
            self.server.start()
            return True
        kill = TARGETS[self.target]
        assert kill is not None
        return kill(self.study, self.chance)

    def check(self) -> None:
        """Whatever was published once must stay as it was."""
        now = self.study.published()
        self.published.append(len(now))
        for key, what in self.before.items():
            if now.get(key) != what:
                self.problems.append(f"{key[:12]} was published as {what}, is {now.get(key)}")
        self.before = now


def trained_again(study: Study) -> list[str]:
    """Runs that began after their key's result was there."""
    client = connect(study.uri or f"sqlite:///{study.artifacts / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lacuna")
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id], max_results=5000))
    whole: dict[str, float] = {}
    for path in study.artifacts.glob("checkpoints/*/*/manifest.json"):
        key = read_json(path)["key"]
        whole[key] = min(path.stat().st_mtime, whole.get(key, float("inf")))
    published = {run_id for _, run_id in study.published().values()}
    # The coordinator publishes a moment after the manifest is written.
    late = [
        run
        for run in runs
        if (key := run.data.tags.get("key")) in whole
        and run.info.start_time / 1000 > whole[key] + 1.0
        and run.info.run_id not in published
    ]
    return [f"{run.data.tags['mlflow.runName']} was begun again" for run in late]


def left_behind(study: Study) -> list[str]:
    """Runs that still count as running, and folders of Ray whose drivers have ended."""
    client = connect(study.uri or f"sqlite:///{study.artifacts / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lacuna")
    assert experiment is not None
    where = "attributes.status = 'RUNNING'"
    runs = client.search_runs([experiment.experiment_id], where, max_results=5000)
    found = [f"{run.info.run_name} is still RUNNING" for run in runs]
    folders = [file.parent for file in Path(tempfile.gettempdir()).glob(f"ray-*/{MARK}")]
    return found + [f"{folder} is left" for folder in folders]


def campaign(
    target: str, folder: Path, calm: Study, span: float, kills: int, given: argparse.Namespace
) -> tuple[int, Part]:
    """Disturb one study and compare it with the undisturbed one: how many kills, and what came."""
    folder.mkdir()
    server = Server(folder) if target == "server" else None
    if server:
        server.start()
    with Study(folder, given.words, server.uri if server else None) as study:
        chance = numpy_generator(given.seed, "faults", folder.name)
        hunt = Campaign(target, study, chance, kills, span, given.limit, server)
        start = time.monotonic()
        hunt.run()
        seconds = time.monotonic() - start
        part = Part(f"{target}: {len(hunt.moments)} kills", violations=hunt.problems)
        tables, wanted = study.tables(), calm.tables()
        differing = sorted(n for n in wanted | tables if wanted.get(n) != tables.get(n))
        part.violations += [f"{name} differs" for name in differing]
        part.violations += trained_again(study)
        part.violations += left_behind(study)
        keys = {key: epoch for key, (epoch, _) in study.published().items()}
    if server:
        server.kill()
    part.add("killed, seconds after a driver's start", _list(hunt.moments))
    part.add("exit status of each driver", hunt.statuses)
    for words in hunt.words:
        part.add("last words of a driver", words)
    part.add("results published at each check", hunt.published)
    part.add("tables compared, differing", f"{len(wanted)}, {len(differing)}")
    part.add("results, of which not at the first attempt", _attempts(keys))
    part.add("processes that a dead driver left for 20 s", hunt.orphans)
    part.add("seconds (undisturbed)", f"{seconds:.0f} ({span:.0f})")
    return len(hunt.moments), part


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values) or "none"


def _attempts(epochs: dict[str, str]) -> str:
    return f"{len(epochs)}, {sum(epoch != '1' for epoch in epochs.values())}"


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description="A study whose parts are killed while it runs.")
    parser.add_argument("--kills", type=at_least_one, default=5, help="of each target (5)")
    parser.add_argument("--targets", **names(TARGETS))
    parser.add_argument("--limit", type=at_least_one, default=1800, help="seconds a target (1800)")
    parser.add_argument("--seed", type=at_least_one, default=1, help="of the moments (1)")
    parser.add_argument("words", nargs="*", metavar="key=value", help="what the study is")
    given = parser.parse_args()
    broken = 0
    with tempfile.TemporaryDirectory(prefix="lacuna-") as name:
        with Study(Path(name), given.words) as calm:
            start = time.monotonic()
            calm.start()
            status = calm.wait(given.limit)
            span = time.monotonic() - start
        if status:
            print(f"BROKEN: the undisturbed study ended with {status}: {_tail(calm)}")
            return 1
        print(f"undisturbed: {len(calm.published())} results in {span:.0f} s\n", flush=True)
        for target in given.targets:
            killed = studies = 0
            while killed < given.kills and studies < given.kills and not broken:
                studies += 1
                place, left = Path(name) / f"{target}-{studies}", given.kills - killed
                kills, part = campaign(target, place, calm, span, left, given)
                print(part.text(), flush=True)
                broken += len(part.violations)
                killed += kills
    return 1 if broken else 0


def _tail(study: Study) -> str:
    return " | ".join((study.folder / "driver.log").read_text().splitlines()[-3:])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all is ended and removed
    sys.exit(main())
