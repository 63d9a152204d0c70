"""What is done while the server runs goes on whatever one round of it meets."""

import asyncio
import logging

from camviz.ui.hosting import housekeeping


def test_a_round_that_fails_is_logged_and_the_next_one_begins(monkeypatch, caplog):
    rounds = []

    async def drop(page):
        rounds.append(page)
        if len(rounds) == 1:
            raise PermissionError("a file that is another's")

    monkeypatch.setattr(housekeeping, "EVERY", 0.001)
    monkeypatch.setattr(housekeeping, "drop_unclaimed", drop)
    monkeypatch.setattr(housekeeping, "end_sessions", lambda app, now: rounds.append("sessions"))

    class App:
        def get_blocks(self):
            return "page"

    async def watch():
        task = asyncio.create_task(housekeeping._go_round(App()))
        while len(rounds) < 5:
            await asyncio.sleep(0.001)
            assert not task.done()
        task.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(asyncio.wait_for(watch(), 30))
    assert rounds[:3] == ["page", "page", "sessions"]
    (record,) = caplog.records
    assert "housekeeping" in record.getMessage() and record.exc_info[0] is PermissionError
