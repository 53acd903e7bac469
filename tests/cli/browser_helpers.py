"""A browser without a window, spoken to by its own protocol over two pipes."""

import base64
import json
import os
import shutil
import subprocess
import sys

# Chromium, by the names that systems give it.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# The browser reads from descriptor 3 and writes to 4, wherever the pipes are.
MOVE_PIPES = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(pipes[0], 3)
os.dup2(pipes[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser():
    """Return the path of the browser, or None; pipes cannot be passed on Windows."""
    if os.name == "nt":
        return None
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A process with one page.

    Attributes
    ----------
    errors : list of dict
        What the page has written to the console, and exceptions.
    requests : list of str
        The addresses that the page has asked for.
    """

    def __init__(self, path, folder):
        to_browser, from_us = os.pipe()
        to_us, from_browser = os.pipe()
        command = [
            sys.executable,
            "-c",
            MOVE_PIPES,
            str(to_browser),
            str(from_browser),
            path,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            command,
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._write, self._read = os.fdopen(from_us, "wb"), os.fdopen(to_us, "rb")
        self._buffer, self._id, self._session = b"", 0, None
        self.errors, self.requests, self._events = [], [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Call a method of the protocol and return its result."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            answer = self._receive()
            if answer.get("id") == self._id:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self):
        while b"\0" not in self._buffer:
            part = os.read(self._read.fileno(), 2**16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(message)
        name = message.get("method")
        if name in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.errors.append(message["params"])
        elif name == "Log.entryAdded":
            self.errors.append(message["params"]["entry"])
        elif name == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        self._events.append(name)
        return message

    def open(self, address, *, width=1100, height=900, dark=False, media=""):
        """Open a page, as on a screen of that size, or as it is printed."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._events.clear()
        self.call("Page.navigate", url=address)
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def evaluate(self, expression):
        """Return the value of an expression in the page."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path):
        """Save a picture of the whole page."""
        picture = self.call(
            "Page.captureScreenshot", captureBeyondViewport=True, format="png"
        )
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self):
        """End the process."""
        self._process.terminate()
        self._process.wait(timeout=30)
        self._write.close()
        self._read.close()
