"""The view Attention: a row a block, a column a head, or why there is none."""

from dataclasses import replace

import numpy as np
import pytest

from camviz.ui.compute import engine
from camviz.ui.service import explain
from camviz.ui.state import Task
from camviz.ui.tabs import attention

VIT = "test_vit"


@pytest.fixture
def vit(controls_of, photo_file):
    return controls_of(photo_file, VIT)


def test_a_row_a_block_and_a_column_a_head(vit, session, monkeypatch):
    given = {}
    payload = attention.payload
    monkeypatch.setattr(
        attention, "payload", lambda rows, **more: given.update(rows) or payload(rows, **more)
    )
    (update,) = attention.show(session, vit, Task())
    found = engine().attention(explain(vit))
    rows = update.tab["maps"].rows
    assert [row.key for row in rows] == [*reversed(found)]
    assert rows[0].title == f"Block {len(found)} of {len(found)}"
    heads = len(found[rows[0].key].heads)
    assert [panel.key for panel in rows[0].panels] == ["mean"] + [f"head{i}" for i in range(heads)]
    for block, maps in found.items():
        panels = given[block].panels
        assert np.array_equal(panels["head1"].map.raw, maps.heads[1])
        assert np.array_equal(panels["mean"].map.raw, maps.heads.mean(0))
    assert update.tab["maps"].small and rows[0].ends == ("reads little", "reads most")
    share = 1 - found[rows[0].key].elsewhere[1]
    assert rows[0].panels[2].notes[0].startswith(f"{share:.0%} of what is read is of places")
    assert "the class token reads, head by head" in update.tab["heading"]
    assert "the same for every class" in update.tab["heading"]
    assert "deepest of" not in update.tab["heading"]


def test_of_many_blocks_the_deepest_are_shown(vit, session, monkeypatch):
    monkeypatch.setattr(attention, "MOST_BLOCKS", 2)
    (update,) = attention.show(session, vit, Task())
    count = len(engine().attention(explain(vit)))
    titles = [row.title for row in update.tab["maps"].rows]
    assert titles == [f"Block {number} of {count}" for number in (count, count - 1)]
    assert f"the 2 deepest of {count} blocks" in update.tab["heading"]


def test_other_networks_say_why_not_and_what_to_choose(controls, session):
    (update,) = attention.show(session, controls, Task())
    (row,) = update.tab["maps"].rows
    assert row.title == "Attention"
    assert "nothing to show of test_resnet" in row.reason and "no attention" in row.reason
    assert "rollout" not in row.reason and "choose a ViT" in row.reason
    assert update.tab["heading"] == ""


def test_without_a_picture_a_sentence(vit, session):
    (update,) = attention.show(session, replace(vit, picture=None), Task())
    assert "Give a picture" in update.tab["maps"].rows[0].reason
