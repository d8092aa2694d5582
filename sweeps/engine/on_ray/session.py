"""Ray itself: a local one that ends with all it made, or a place in a running cluster."""

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TextIO

from lacuna.errors import UserError
from sweeps import secrets, watch
from sweeps.engine.on_ray import ray_env
from sweeps.engine.on_ray.cluster import check_address, check_fits, node_types
from sweeps.errors import Unavailable, one_line
from sweeps.process import end_on_sigterm
from sweeps.stage import Stage

REPOSITORY = Path(__file__).resolve().parents[3]
CODE = [str(REPOSITORY / package) for package in ("lacuna", "sweeps")]
QUIET = {"log_to_driver": False, "logging_level": logging.ERROR}
START_FAILURES = (Exception, RuntimeError, TimeoutError, OSError, ValueError)
"""What Ray raises where its own start fails; `Exception` itself where that takes too long."""


class RaySession:
    """Starts or joins Ray when it is first needed, and leaves it as it was found."""

    def __init__(self, address: str | None, cpus: int | None, stream: TextIO | None) -> None:
        """`address` (HOST:PORT) joins a cluster, else `cpus` (None: all) start here; what people
        have to know goes to `stream` (None: stderr)."""
        self.address, self.cpus, self.stream = address, cpus, stream
        self._ray: ModuleType | None = None
        self._temporary: Path | None = None
        self._watch: watch.Watch | None = None
        self._said: set[str] = set()

    @property
    def started(self) -> bool:
        """Whether Ray was needed so far."""
        return self._ray is not None

    def close(self) -> None:
        """Leave Ray; a local one ends with all its processes and temporary files."""
        if self._ray is not None:
            self._ray.shutdown()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        if self._watch is not None:
            self._watch.end()
        self._ray = self._temporary = self._watch = None

    def connect(self, stages: Sequence[Stage], tracking_uri: str) -> ModuleType:
        """Ray, started. Raises `UserError` for a stage that would wait for ever, or a tracking
        database that the nodes cannot share."""
        if self._ray is None:
            self._ray = self._join() if self.address else self._start()
            end_on_sigterm()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if len(nodes) > 1 and tracking_uri.startswith("sqlite:"):
            raise UserError(
                f"tracking_uri={tracking_uri} is a file that {len(nodes)} nodes cannot share: "
                "start `mlflow server` and pass tracking_uri=http://HOST:PORT"
            )
        if stages:
            types = node_types() if self.address else []
            self._say(check_fits(stage, nodes, types) for stage in stages)
        return self._ray

    def settle(self) -> None:
        """Before Ray is imported, as it reads the environment then."""
        if self.address:
            ray_env.set_defaults(ray_env.RAY)
        else:
            ray_env.settle_local_ray()

    def _say(self, lines: Iterable[str]) -> None:
        """Each once, beside the progress line."""
        for line in dict.fromkeys(filter(None, lines)):
            if line not in self._said:
                print(line, file=self.stream or sys.stderr, flush=True)
            self._said.add(line)

    def _start(self) -> ModuleType:
        folder = tempfile.gettempdir()
        short = folder if len(folder) < 24 else "/tmp"  # it begins the path of a Unix socket
        watch.sweep_up(Path(short))
        self._temporary = Path(tempfile.mkdtemp(prefix="ray-", dir=short))
        watch.mark(self._temporary)
        self._watch = watch.Watch(self._temporary)
        return self._init(
            "free memory, processes or disk and run it again, or name a running cluster (address=)",
            lambda ray: ray.init(
                address="local",
                num_cpus=self.cpus,
                object_store_memory=200_000_000,  # bytes: small results only, weights are files
                include_dashboard=False,
                runtime_env={"env_vars": _worker_environment()},
                _temp_dir=str(self._temporary),
                **QUIET,
            ),
        )

    def _join(self) -> ModuleType:
        check_address(str(self.address))
        try:
            return self._init(
                f"look at the cluster (address={self.address}) and run it again",
                lambda ray: ray.init(
                    address=self.address,
                    runtime_env={"py_modules": CODE, "env_vars": _joined_environment()},
                    **QUIET,
                ),
            )
        except ConnectionError as error:
            raise UserError(
                f"no Ray cluster lets us in at address={self.address}: check that it runs, that "
                "this host is one of its nodes and that RAY_AUTH_TOKEN is the same"
            ) from error

    def _init(self, way_out: str, begin: Callable[[ModuleType], object]) -> ModuleType:
        """Ray, quiet; raises `Unavailable`, and `ConnectionError` as it comes."""
        self.settle()
        ray = import_module("ray")
        try:
            begin(ray)
        except START_FAILURES as error:
            if type(error) not in START_FAILURES and not is_rays(error):
                raise
            ray.shutdown()
            raise Unavailable(f"Ray did not start ({one_line(error)}): {way_out}") from error
        return ray


def is_rays(error: BaseException) -> bool:
    """Whether an exception is of Ray's own kinds."""
    return type(error).__module__.split(".")[0] == "ray"


def _joined_environment() -> dict[str, str]:
    """What workers on other hosts need of this one's; those of a local Ray inherit all of it."""
    given = {name: os.environ[name] for name in (secrets.VARIABLE,) if name in os.environ}
    return {"PYTHONWARNINGS": "ignore", **given}


def _worker_environment() -> dict[str, str]:
    """Workers import this repository wherever they run, and keep their warnings."""
    paths = f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    return {"PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
