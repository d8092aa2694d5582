"""Two Ray nodes with addresses of their own, a study over both, and a link that is cut.

    PYTHONPATH=.:tests unshare -Urnm --pid --fork --kill-child --mount-proc \
        python -m support.cluster FOLDER

Network, mounts and processes are this command's own and end with it; the host is left as it was.
FOLDER has a short path (it begins those of Unix sockets). The last line printed is JSON.
"""

import importlib.util
import io
import json
import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks._contention import publications
from benchmarks._server import Server
from benchmarks._toys import WORK, executions, toy
from support import PATHS
from sweeps.engine.on_ray.engine import RayEngine
from sweeps.stage import Stage
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.tracking.runs import Tracker

HEAD, WORKER, PORT = "10.77.0.1", "10.77.0.2", 6379
TRIALS, SECONDS = 10, 2.0  # of work each
# A node that is silent for about 6 s is dead: for a test. Ray's default is about a minute.
HEALTH = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
RETURN = 20.0  # seconds the old node gets, after the link is back, to learn that it is dead


def sh(line: str) -> None:
    """Run a command; its errors end this script."""
    subprocess.run(shlex.split(line), check=True)


def build_network() -> None:
    """A cable from here (the head) to a network namespace `work`."""
    sh("mount -t tmpfs none /run")
    Path("/run/netns").mkdir()
    for line in (
        "ip link set lo up",
        "ip netns add work",
        "ip -n work link set lo up",
        "ip link add link0 type veth peer name link1 netns work",
        f"ip addr add {HEAD}/24 dev link0",
        f"ip -n work addr add {WORKER}/24 dev link1",
        "ip link set link0 up",
        "ip -n work link set link1 up",
    ):
        sh(line)


def database(folder: Path) -> tuple[str | None, str]:
    """A PostgreSQL of our own, if there is one to start: its URI, and what is used."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    initdb = shutil.which("initdb") or (str(found[0]) if found else None)
    if initdb is None:
        return None, "SQLite (no PostgreSQL is installed)"
    if importlib.util.find_spec("psycopg2") is None:
        return None, "SQLite (PostgreSQL is installed, psycopg2 is not)"
    nobody = pwd.getpwnam("nobody").pw_uid  # PostgreSQL refuses to be root, even of a namespace
    other = f"unshare -U --map-user={nobody} --map-group={nobody}"
    sh(f"{other} {initdb} -D {folder}/pg -U mlflow -A trust -E UTF8 --no-sync")
    control = f"{other} {Path(initdb).with_name('pg_ctl')} -D {folder}/pg -l {folder}/pg.log"
    sh(f"{control} -o \"-h '' -k {folder} -c fsync=off\" -w start")
    return f"postgresql+psycopg2://mlflow@/postgres?host={folder}", "PostgreSQL"


def start_node(folder: Path, name: str, *words: str) -> "subprocess.Popen[bytes]":
    """`ray start` in the foreground, with one CPU."""
    inside = ["ip", "netns", "exec", "work"] if name == "work" else []
    command = [
        *(*inside, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *words),
        *("--num-cpus=1", "--num-gpus=0", "--object-store-memory=100000000"),
        *(f"--temp-dir={folder}/{name}", "--disable-usage-stats"),
    ]
    with (folder / f"{name}.log").open("wb") as log:
        environment = {**os.environ, "TOY_NODE": name}
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


class Cutter(threading.Thread):
    """Cuts the cable in the middle of the second trial on the worker node."""

    def __init__(self, marks: Path, trials: list[Stage]) -> None:
        super().__init__(daemon=True)
        self.marks, self.trials = marks, trials
        self.interrupted, self.cut_at = "", 0.0

    def run(self) -> None:
        seen: list[str] = []
        while len(seen) < 2:
            time.sleep(0.1)
            seen += [s.key for s in self.trials if s.key not in seen and self.is_there(s.key)]
        time.sleep(SECONDS / 3)
        self.interrupted, self.cut_at = seen[-1], time.monotonic()
        sh("ip -n work link set link1 down")

    def is_there(self, key: str) -> bool:
        return any(place["node"] == "work" for place in executions(self.marks, key))


def study(folder: Path, uri: str) -> tuple[MlflowCoordinator, list[Stage], dict[str, Any]]:
    """Two injections, then trials on both nodes until the cut, then on the head."""
    marks = folder / "marks"
    marks.mkdir()
    injections = [toy("injected", n, marks, seconds=SECONDS) for n in (1000, 2000)]
    trials = [toy("trial", n, marks, [injections[n % 2]], SECONDS) for n in range(TRIALS)]
    cutter = Cutter(marks, trials)
    tracker = Tracker(uri, "cluster", folder / "mlruns")
    tracker.begin({})
    places = {"root": folder / "checkpoints", "ray_folder": folder / "tune"}
    joined = {"address": f"{HEAD}:{PORT}", "ttl": 6.0, "beat": 1.0, "work": WORK}
    with RayEngine(tracker, **places, stream=io.StringIO(), **joined) as engine:
        engine.run_tasks(injections)
        cutter.start()
        results = engine.run_trials(trials)
        done = time.monotonic()
        tracker.finish(engine.counts)
    right = {trial.key: n + (1000, 2000)[n % 2] for n, trial in enumerate(trials)}
    stages = [*injections, *trials]
    nodes = {s.key: [place["node"] for place in executions(marks, s.key)] for s in stages}
    return (
        MlflowCoordinator(tracker.client),
        stages,
        {
            "right": {key: result.get("value") for key, result in results.items()} == right,
            "counts": engine.counts,
            "injected on": sorted(node for s in injections for node in nodes[s.key]),
            "trials on": Counter(node for s in trials for node in nodes[s.key]),
            "interrupted on": nodes.get(cutter.interrupted, []),
            "seconds from the cut to the end": round(done - cutter.cut_at, 1),
        },
    )


def main(folder: Path) -> None:
    """Build, run, cut, mend, judge."""
    begun = time.monotonic()
    build_network()
    (folder / "token").write_text(secrets.token_hex(32))
    os.environ |= {
        **HEALTH,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(PATHS),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    os.environ.pop("MLFLOW_RUN_ID", None)
    head = ("--head", f"--node-ip-address={HEAD}", f"--port={PORT}", "--include-dashboard=false")
    start_node(folder, "head", *head)
    backend, used = database(folder)
    with Server(folder, HEAD, backend) as server:
        address = (f"--address={HEAD}:{PORT}", f"--node-ip-address={WORKER}")
        worker = start_node(folder, "work", *address)
        wait_for_two(60.0)
        coordinator, stages, found = study(folder, server.uri)
        sh("ip -n work link set link1 up")
        try:
            found["old node ended with"] = worker.wait(RETURN)
        except subprocess.TimeoutExpired:
            found["old node ended with"] = None
        found["publications"] = [publications(coordinator, stage) for stage in stages]
    seconds = round(time.monotonic() - begun, 1)
    print(json.dumps({"tracking": used, "seconds": seconds, **found}), flush=True)


def wait_for_two(limit: float) -> None:
    """Until both nodes are in the cluster."""
    import ray

    end = time.monotonic() + limit
    while True:
        try:
            ray.init(f"{HEAD}:{PORT}", log_to_driver=False, logging_level="ERROR")
            break
        except ConnectionError:
            assert time.monotonic() < end, "the head does not answer"
    while sum(node["Alive"] for node in ray.nodes()) < 2:
        assert time.monotonic() < end, "the worker node does not join"
        time.sleep(0.2)
    ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
