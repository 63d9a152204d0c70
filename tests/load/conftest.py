"""A server in this very process, so that what it holds can be counted."""

import gc
import os
import socket
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from camviz.examples import example
from camviz.ui import build_app, launch_options
from camviz.ui.hosting import limits
from camviz.ui.state import Session
from tests.support.visitors import upload

# Short times, so that nobody waits; no bound that a visitor of these tests is meant to keep.
QUICK = {"CAMVIZ_CLAIM_SECONDS": "1", "CAMVIZ_SESSION_MINUTES": "0.02", "CAMVIZ_PUBLIC": "0"}
RAM = str(example("a-ram").path)


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """serving(CAMVIZ_SESSION_MB="1"): a running server; its address, page and folders."""
    opened = []
    with pytest.MonkeyPatch.context() as patch:

        def serve(**env):
            uploads, work = (tmp_path_factory.mktemp(name) for name in ("uploads", "work"))
            patch.setattr(tempfile, "tempdir", str(work))
            for name, value in {**QUICK, "GRADIO_TEMP_DIR": str(uploads), **env}.items():
                patch.setenv(name, value)
            limits.renew()
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            page = build_app()
            page.launch(
                prevent_thread_lock=True, server_name="127.0.0.1", server_port=port, quiet=True,
                **launch_options() | {"mcp_server": False},
            )  # fmt: skip
            opened.append(page)
            url = f"http://127.0.0.1:{port}"
            return SimpleNamespace(
                url=url, page=page, uploads=uploads, work=work, sessions=sessions()
            )

        yield serve
        for page in opened:
            page.close()
    limits.renew()


@pytest.fixture(scope="module")
def server(serving):
    return serving()


@pytest.fixture
def ram(server):
    """An upload of the ram."""
    return upload(server.url, RAM)


def files(folder):
    """Every file and folder below a folder, whatever comes and goes meanwhile."""
    found = [
        Path(top, name) for top, *inside in os.walk(folder) for names in inside for name in names
    ]
    return sorted(str(path.relative_to(folder)) for path in found)


def seconds_until(state, within=10):
    """How long it takes until something is so. Fails if it takes too long."""
    begun = time.monotonic()
    while not state():
        assert time.monotonic() - begun < within, f"not so within {within} s"
        time.sleep(0.02)
    return time.monotonic() - begun


def is_idle():
    """Whether this process did next to nothing in half a second, even if it shares its cores."""
    before = time.process_time()
    time.sleep(0.5)
    return time.process_time() - before < 0.08


def sessions():
    """How many sessions of visitors are in memory."""
    gc.collect()
    return sum(type(each) is Session for each in gc.get_objects())
