"""What is done while the server runs: what is old, unclaimed or left behind is put away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from camviz.environment import environment
from camviz.ui.gradio_compat import (
    delete_broken_uploads,
    drop_events,
    drop_session,
    keep_no_analytics,
    queued_events,
    run_claimed_only,
    sessions_used,
)
from camviz.ui.hosting.caller import is_attended, is_unclaimed
from camviz.ui.hosting.limits import present, storage
from camviz.ui.hosting.records import log_unexpected
from camviz.ui.state import Session

EVERY = 0.25  # seconds between two rounds
FILES_EVERY = 10.0  # seconds between two looks at files and sessions


@asynccontextmanager
async def housekeeping(app: Any) -> AsyncIterator[None]:
    """Keep house as long as the server runs; gradio's `lifespan`."""
    run_claimed_only(app.get_blocks(), is_attended)
    keep_no_analytics(app.get_blocks())
    delete_broken_uploads()
    rounds = asyncio.create_task(_go_round(app))
    try:
        yield
    finally:
        rounds.cancel()
        await asyncio.gather(rounds, return_exceptions=True)


async def _go_round(app: Any) -> None:
    due = 0.0
    while True:
        try:
            await drop_unclaimed(app.get_blocks())
            if time.monotonic() >= due:
                due = time.monotonic() + min(FILES_EVERY, environment().session_minutes * 60)
                await asyncio.to_thread(storage().expire)
                end_sessions(app, datetime.now())
        except Exception as error:  # such as a file that may not be deleted: the next round goes on
            log_unexpected(error, "housekeeping")
        await asyncio.sleep(EVERY)


async def drop_unclaimed(page: Any) -> None:
    """Drop what was queued by clients that never came for the answer."""
    await drop_events(page, [event for event in queued_events(page) if is_unclaimed(event)])


def end_sessions(app: Any, now: datetime) -> None:
    """Forget every session whose page was closed long enough ago, with the files that it held."""
    busy = {event.session_hash for event in queued_events(app.get_blocks())}
    for key, used in sessions_used(app).items():
        closed_for = (now - used).total_seconds()
        if key in present() or key in busy or closed_for < environment().session_minutes * 60:
            continue
        for value in drop_session(app, key):
            if isinstance(value, Session):
                value.stop()
                storage().release(value.key)
