"""Serves a page until a signal comes, then lets what is under way end."""

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from camviz.environment import environment
from camviz.errors import CamvizError, one_line
from camviz.logs import configure_logs
from camviz.network.giving_way import give_way_between_modules
from camviz.ui.gradio_compat import close
from camviz.ui.server.stopping import Stopping, wait_until_idle

log = logging.getLogger(__name__)
STOPS = (signal.SIGTERM, signal.SIGINT)


def serve(
    page: Callable[[], Any],
    options: Callable[[Stopping], dict[str, Any]],
    **launch: Any,
) -> int:
    """Launch a page and wait for a signal; then the process ends with status 0, once requests have.

    page: makes it. options: those of `launch`, given how the server is told to stop; launch:
    further ones. A second signal ends the process at once. Returns 2 for what can be mended.
    """
    try:
        _serve(page, options, launch)
    except CamvizError as error:
        print(f"camviz: {error}", file=sys.stderr)
        return 2


def _serve(
    page: Callable[[], Any],
    options: Callable[[Stopping], dict[str, Any]],
    launch: dict[str, Any],
) -> NoReturn:
    settings = environment()
    torch.set_num_threads(settings.threads)
    stopping, signalled = Stopping(), threading.Event()

    def stop(number: int, _: Any) -> None:
        if signalled.is_set():
            os._exit(128 + number)
        signalled.set()

    for number in STOPS:
        signal.signal(number, stop)
    blocks = page()
    try:
        blocks.launch(**options(stopping), **launch, prevent_thread_lock=True)
    except OSError as error:  # the port is taken, or may not be opened
        raise CamvizError(f"the page cannot be served: {one_line(error)}") from None
    with give_way_between_modules():
        keep_for_good()
        configure_logs(settings.log, settings.log_level)
        log.info("serving")
        signalled.wait()
        log.info("stopping")
        stopping.begin()
        ended = wait_until_idle(blocks.app, stopping, settings.stop_seconds)
    log.info("stopped" if ended else "stopped before everything had ended")
    close(blocks)
    _end()


def keep_for_good() -> None:
    """Leave what was made so far, which stays until the process ends, out of garbage collection.

    That looks at every object that there is, hundreds of thousands of page, torch and gradio, and
    nothing else is done in this process meanwhile.
    """
    gc.collect()
    gc.freeze()


def _end() -> NoReturn:
    """End this process now: threads of work that was given up would hold an ordinary end back."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
