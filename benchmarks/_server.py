"""An `mlflow server` of our own on loopback, which may be killed and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PATIENCE = 120.0  # seconds; a first start makes the schema


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class Server:
    """A context manager; inside, the server answers at `uri`."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", backend: str | None = None) -> None:
        """`backend`: a database URI; default: a SQLite file in `folder`, which holds the log."""
        self.folder, self.host, self.port = folder.resolve(), host, free_port(host)
        self.backend = backend or f"sqlite:///{self.folder / 'server.db'}"
        self.uri = f"http://{host}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", self.host),
            *("--port", str(self.port), "--allowed-hosts", f"{self.host}:*"),
            *("--workers", "1"),  # with more, every answer waits 40 ms for a delayed ACK
            *("--serve-artifacts", "--artifacts-destination", str(self.folder / "artifacts")),
        ]
        environment = {
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": self.backend,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def kill(self) -> None:
        """SIGKILL to the server and its own processes."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.2)
        raise RuntimeError(f"mlflow server did not start: see {self.folder / 'server.log'}")

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
