"""docs/teaching.md: its links open the page in a state that there is."""

import re
from itertools import pairwise
from urllib.parse import parse_qsl

import pytest

from camviz.defaults import STORY_KEYS
from camviz.resources import ASSETS
from camviz.ui import actions, links, service
from camviz.ui.state import Session, Task
from camviz.ui.tabs import steps
from camviz.ui.tabs.table import TABS

NOTES = (ASSETS.parent / "docs/teaching.md").read_text(encoding="utf-8")
LINKS = sorted(set(re.findall(r"`\?([^`]+)`", NOTES)))
LESSONS = re.split(r"^## Lesson \d: ", NOTES, flags=re.M)[1:]


def query_of(link):
    return dict(parse_qsl(link, strict_parsing=True))


@pytest.mark.parametrize("link", LINKS)
def test_a_link_is_read_without_a_complaint_and_opens_what_there_is(link):
    query = query_of(link)
    assert links.read(query)[1] == []
    assert query.get("tab", "compare") in {tab.ID for tab in TABS}
    session = Session()
    actions.open_link(session, query, None)
    assert session.problems == []
    if session.controls.picture is not None:
        x = service.explain(session.controls)
        assert x.label == query.get("class", x.label)


def test_links_into_how_it_works_name_a_story_and_a_step_that_there_are(session):
    named = [query_of(link) for link in LINKS if any(f"{key}=" in link for key in STORY_KEYS)]
    assert len(named) >= 4
    actions.open_link(session, named[0], None)
    *_, last = steps.show(session, session.controls, Task())
    stories = {story["key"]: story for story in last.tab["walk"]["stories"]}
    for query in named:
        story = stories[query.get("story", "method")]
        assert 1 <= int(query.get("step", 1)) <= len(story["layers"][0]["steps"])


def test_there_are_four_lessons_of_45_minutes():
    assert len(LESSONS) == 4
    for lesson in LESSONS:
        for part in ("**Goal.**", "**Needed.**", "**Questions, and what to expect**",
                     "**To take home.**"):  # fmt: skip
            assert part in lesson
        spans = [(int(a), int(b)) for a, b in re.findall(r"^\| (\d+)–(\d+) \|", lesson, re.M)]
        assert spans[0][0] == 0 and spans[-1][1] == 45
        assert all(one[1] == other[0] for one, other in pairwise(spans))


def test_views_that_the_notes_name_are_so_called():
    titles = {tab.TITLE for tab in TABS} | {tab.GROUP for tab in TABS}
    table = NOTES.split("| lesson |")[1].split("\n\n")[0]
    assert set(re.findall(r"\*([^*]+)\*", table)) <= titles
