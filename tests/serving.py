"""app.py in a process of its own, for tests that ask it over HTTP."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 90  # seconds for app.py to answer; importing torch and gradio takes most of it


@contextmanager
def served(folder, quiet=True, command=(sys.executable, "app.py"), cwd=ROOT, **settings):
    """with served(folder) as url: the page, offline. What it logs as unexpected fails the test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    given = {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": port,
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HUB_OFFLINE": "1",
        **settings,
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CAMVIZ_")}
    log = folder / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            cwd=cwd,
            env=inherited | given,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, server, log)
        yield url
    finally:
        server.terminate()
        server.wait(20)
    assert not quiet or "Traceback" not in log.read_text(), log.read_text()


def _wait_for(url, server, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"app.py did not answer within {PATIENCE} seconds:\n{log.read_text()}")
