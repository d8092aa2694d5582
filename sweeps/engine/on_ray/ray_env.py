"""Settings that Ray reads from the environment when it is imported.

They keep Ray silent, private and on this machine. What the user has set himself wins.
"""

import os
import secrets
from collections.abc import Mapping

RAY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's older output is the one that can be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C must end the study, not only the current phase
}


def set_defaults(settings: Mapping[str, str]) -> None:
    """Put settings into the environment, below the user's own."""
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def settle_local_ray() -> None:
    """A token of our own for a Ray of our own: no file in the home folder, and no open door."""
    set_defaults(RAY)
    if "RAY_AUTH_MODE" not in os.environ:
        set_defaults({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
