"""What must not be written down: passwords in URIs, tokens in the environment."""

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<who>[^\s/@'\"]+)@")
_QUERY = re.compile(
    r"(?P<name>[?&;](?:password|passwd|pwd|token|secret|key|sig|access_key|secret_key"
    r"|X-Amz-[\w-]+)=)(?P<value>[^\s&;'\"]+?)(?=[:,.)]?(?:[\s&;'\"]|$))",
    re.IGNORECASE,
)
_NAMES = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|ACCESS_KEY|API_KEY|CREDENTIALS?)\b|_(KEY|PWD)$")
SHORTEST = 6
"""Letters of a secret; what is shorter would hide words of every text."""


def redacted(text: str) -> str:
    """The text with user, password and tokens of its URIs hidden, and with every value of the
    environment that is a secret by its name."""
    text = _CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<name>{HIDDEN}", text)
    for secret in _secrets(os.environ):
        text = text.replace(secret, HIDDEN)
    return text


VARIABLE = "LACUNA_TRACKING_URI"
"""Environment variable that hands a tracking URI with a password to worker processes."""


def hide(uri: str) -> str:
    """The URI as it may be written down; processes of ours find the whole of it by `revealed`."""
    if redacted(uri) != uri:
        os.environ[VARIABLE] = uri
    return redacted(uri)


def revealed(uri: str) -> str:
    """The whole URI that `hide` was given, in this process or the one that started it."""
    whole = os.environ.get(VARIABLE, "")
    return whole if whole and redacted(whole) == uri else uri


def redacted_values(value: Any) -> Any:
    """The same of every text in plain values, at any depth."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: redacted_values(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redacted_values(inner) for inner in value)
    return value


def _secrets(environment: Mapping[str, str]) -> list[str]:
    found = [
        value
        for name, value in environment.items()
        if _NAMES.search(name) and len(value) >= SHORTEST and not os.path.exists(value)
    ]
    return sorted(found, key=len, reverse=True)
