"""`lacuna ui`: MLflow's page of the studies in one output root."""

import os
import sys
from typing import Annotated

import typer

from lacuna.errors import UserError
from sweeps.cli.words import Place, chosen, ending, root_of
from sweeps.paths import database_of, tracking_uri

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # a third of the memory
}


@ending("stopped")
def ui(
    settings: Place = None,
    host: Annotated[
        str, typer.Option(envvar="LACUNA_UI_HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PORT", help="Port to listen on.")] = 5000,
) -> int:
    """Serve MLflow's page of the studies, on this machine."""
    root = root_of(chosen("ui", settings, "artifacts")).absolute()
    if not database_of(root).is_file():
        raise UserError(f"no study has run here yet ({database_of(root)} is missing): run one")
    server = ["-P", "-m", "mlflow", "server", "--workers", "1"]
    place = ["--host", host, "--port", str(port)]
    database = ["--backend-store-uri", tracking_uri(None, root)]
    os.chdir(root)
    os.execve(
        sys.executable, [sys.executable, *server, *database, *place], {**SETTINGS, **os.environ}
    )
