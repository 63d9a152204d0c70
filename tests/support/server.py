"""Servers in processes of their own, for tests that call them over HTTP."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds until the first answer; importing torch and gradio takes most of it
LOG = "log.txt"
APP = [sys.executable, str(ROOT / "app.py")]


@contextmanager
def serve(command, folder, *, quiet=True, **env):
    """with serve([sys.executable, "script.py"], folder) as url: a gradio page, offline.

    It runs in a folder of its own, which is also its temporary directory: gradio hands out files
    from below these two without further ado, and the Python environment lies below neither.
    quiet: a traceback in what it writes (folder / LOG) fails the test.
    """
    with started(command, folder, **env) as (url, _):
        yield url
    assert not quiet or not tracebacks(folder / LOG), (folder / LOG).read_text()


@contextmanager
def started(command, folder, **env):
    """The same with the process: (URL, process)."""
    port = env.get("GRADIO_SERVER_PORT") or free_port()
    own = {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": port,
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        **env,
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CAMVIZ_")}
    log = folder / LOG
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=inherited | own, stdout=output, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server, log)
        yield url, server
    finally:
        server.terminate()
        server.wait(20)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def tracebacks(log):
    """The lines of a log that have a traceback, whether Python or camviz wrote it."""
    return [line for line in log.read_text().splitlines() if "traceback" in line.casefold()]


def served(folder, quiet=True, **env):
    """with served(folder) as url: app.py, the page itself."""
    return serve(APP, folder, quiet=quiet, **env)


def _wait_for(url, server, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer within {PATIENCE} seconds:\n{log.read_text()}")
