"""Headless Chromium for tests, driven through its DevTools protocol."""

import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE = 60.0  # seconds that a browser may take for anything, on a busy machine


class Browser:
    """One tab, and what its pages have complained of."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number = socket, 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **told: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": told}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(json.dumps(told["entry"]))
        elif event["method"] == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(told["args"]))
        elif event["method"] == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def open(self, file: Path, width: int = 1200, scheme: str = "light") -> None:
        """Show a file, in a window of that width, and wait until its script has run."""
        self.complaints.clear()
        self.requests.clear()
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=file.resolve().as_uri())
        self.wait(f"location.href.endsWith({json.dumps(file.name)})")
        self.wait("document.readyState === 'complete' && !!document.documentElement.dataset.theme")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + _PATIENCE
        while not self.ask(condition):
            if time.monotonic() > deadline:
                pytest.fail(f"never true in the browser: {condition}; {self.complaints}")

    def ask(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, selector: str, place: int = 0) -> None:
        """Click in the middle of an element, as a mouse does."""
        x, y = self.ask(
            f"(() => {{const e = document.querySelectorAll({json.dumps(selector)})[{place}];"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def press(self, key: str) -> None:
        """Press a key, as ArrowLeft or Enter."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38}
        codes |= {"ArrowRight": 39, "ArrowDown": 40}
        told = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", **told)
        if key == "Enter":
            self.call("Input.dispatchKeyEvent", type="char", text="\r", **told)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; where there is none, skip the test and say what is missing."""
    websocket = pytest.importorskip(
        "websocket", reason="websocket-client is missing: pip install 'extremal-pipeline[test]'"
    )
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no browser: install Chromium (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        options += ["--remote-allow-origins=*", f"--user-data-dir={home}", "about:blank"]
        with subprocess.Popen(
            [program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                ports = (re.search(r"ws://127.0.0.1:(\d+)/", line) for line in process.stderr)
                port = next((found[1] for found in ports if found), None)
                if port is None:
                    pytest.skip(f"{program} does not start here")
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                    tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
                socket = websocket.create_connection(
                    tabs[0]["webSocketDebuggerUrl"], timeout=_PATIENCE
                )
                yield Browser(socket)
                socket.close()
            finally:
                process.terminate()
