"""A browser without a window, spoken to over two pipes: one start for as many pages as a test has.

Of a page it tells what a reader would see: how wide it is, what its scripts said, where its links
lead. Needs `chromium`; speaks its DevTools protocol, a JSON message a line that ends with NUL.
"""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = "chromium"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
NOISE = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}


class Page:
    """One tab."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._rest, self._last = b"", 0
        self.session: str | None = None
        self.said: list[str] = []
        """What scripts wrote on the console, and errors."""

    def ask(self, method: str, **words: Any) -> dict[str, Any]:
        """The answer to one command; raises `AssertionError` where the browser refuses it."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": words}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (found := self._next()).get("id") != self._last:
            self._note(found)
        assert "error" not in found, f"{method}: {found['error']}"
        return found["result"]

    def open(self, path: Path, width: int, scheme: str) -> None:
        """Load a file in a window so wide, in the `light` or the `dark` colour scheme."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=media)
        self.ask("Page.navigate", url=path.as_uri())
        while (found := self._next()).get("method") != "Page.loadEventFired":
            self._note(found)

    def value(self, expression: str) -> Any:
        """What JavaScript gives; the page's own policy does not bind it."""
        found = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self, path: Path, whole: bool = False) -> None:
        """Write what is seen as PNG."""
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _note(self, found: Mapping[str, Any]) -> None:
        if found.get("method") in NOISE:
            self.said.append(json.dumps(found["params"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._back, 1 << 16)
            assert more, "the browser ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def browser() -> Iterator[Page]:
    """A tab of a new browser, which ends with the block."""
    there, to = os.pipe()
    back, here = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        # the browser reads at descriptor 3 and writes at 4, whatever ours are called
        pipes = f'exec 3<&{there} 4>&{here}; exec "$@"'
        words = ["bash", "-c", pipes, "-", COMMAND, *FLAGS, f"--user-data-dir={folder}"]
        with subprocess.Popen(
            words, pass_fds=(there, here), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            os.close(there)
            os.close(here)
            try:
                yield _tab(Page(to, back))
            finally:
                os.close(to)
                process.terminate()
                process.wait(20)
                os.close(back)


def _tab(page: Page) -> Page:
    target = page.ask("Target.createTarget", url="about:blank")["targetId"]
    page.session = page.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log"):
        page.ask(f"{domain}.enable")
    return page
