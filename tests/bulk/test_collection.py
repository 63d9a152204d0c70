"""A run as a whole: figures, small maps, disagreement, and groups that show a shortcut."""

import numpy as np
import pytest

from camviz.bulk.collection import SIDE, disagreement, open_collection, small_map
from camviz.bulk.groups import group_maps
from camviz.bulk.run import Run, RunWriter
from camviz.bulk.schema import encode
from camviz.errors import DataError
from camviz.maps.ranks import rank_correlation
from camviz.resources import ASSETS

MARKED = ASSETS / "runs" / "marked-rams"


@pytest.fixture(scope="module")
def marked():
    return open_collection(Run.open(MARKED))


def test_figures_are_those_of_the_rows(small_run):
    found = open_collection(small_run)
    rows = list(small_run.rows())
    assert found.ids == tuple(row["id"] for row in rows) and found.whole == len(found) == 5
    assert found.labels == tuple(row["label"] for row in rows)
    assert found.truths == tuple(row["truth"] for row in rows)
    for number, row in enumerate(rows):
        assert found.figures["doubt"][number] == pytest.approx(1 - row["top"][0]["share"], abs=1e-6)
        heat = small_run.heat(row)
        inside = np.zeros(heat.shape, bool)
        for box in small_run.boxes(row):
            inside[box.y0 : box.y1, box.x0 : box.x1] = True
        outside = 1 - heat[inside].sum() / heat.sum()  # of rectangles: at most that of the parts
        assert outside <= found.figures["outside"][number] + 1e-3
        assert 0 < found.figures["outside"][number] < 1
    assert np.isnan(found.figures["removed"]).all()


def test_a_small_map_is_the_mean_of_its_cells(small_run):
    row = next(small_run.rows())
    heat = small_run.heat(row, size=(SIDE * 16, SIDE * 16))
    wanted = heat.reshape(SIDE, 16, SIDE, 16).mean(axis=(1, 3))
    assert np.abs(small_map(small_run, row) / 255 - wanted).max() < 0.03


def test_what_denoising_removed_is_kept(tmp_path, small_run):
    from camviz import Engine
    from camviz.bulk.schema import row_of
    from camviz.scenes import draw_scene

    x = Engine().explain(draw_scene(3, 1).image, "scenes-resnet", truncation=0.9)
    shares = [notes.denoising.removed for notes in x.notes.values() if notes.denoising]
    with RunWriter(tmp_path / "run", small_run.configuration, small_run.geometry) as writer:
        writer.add(row_of(x, "a", "a.png"))
    found = open_collection(Run.open(tmp_path / "run"))
    assert found.figures["removed"][0] == pytest.approx(np.clip(np.mean(shares), 0, 1), abs=1e-6)
    assert 0 < found.figures["removed"][0] < 1


def test_an_empty_run_is_named_and_a_long_one_cut(small_run, tmp_path):
    assert len(open_collection(small_run, 2)) == 2 and open_collection(small_run, 2).whole == 5
    with RunWriter(tmp_path / "run", small_run.configuration, small_run.geometry):
        pass
    with pytest.raises(DataError, match="no picture yet"):
        open_collection(Run.open(tmp_path / "run"))


def test_disagreement_is_of_the_same_picture(small_run, tmp_path):
    rows = list(small_run.rows())
    turned = []
    for row in rows[1:]:
        heat = np.frombuffer(row["fused"]["map"], np.uint8)
        grid = heat.reshape(row["fused"]["height"], row["fused"]["width"])
        turned.append({**row, "fused": encode((255 - grid) / np.float32(255))})
    with RunWriter(tmp_path / "run", small_run.configuration, small_run.geometry) as writer:
        for row in reversed(turned):
            writer.add(row)
    one, other = open_collection(small_run), open_collection(Run.open(tmp_path / "run"))
    found = disagreement(one, other)
    assert np.isnan(found[0]), "the other run has it not"
    for number in range(1, 5):
        rho = rank_correlation(one.maps[number], other.maps[other.ids.index(one.ids[number])])
        assert found[number] == pytest.approx((1 - rho) / 2, abs=1e-6) and found[number] > 0.8
    assert np.allclose(disagreement(one, one), 0, atol=1e-6)


def test_disagreement_by_path_where_ids_differ(small_run, tmp_path):
    rows = [{**row, "id": row["id"][::-1]} for row in small_run.rows()]
    with RunWriter(tmp_path / "run", small_run.configuration, small_run.geometry) as writer:
        for row in rows:
            writer.add(row)
    one, other = open_collection(small_run), open_collection(Run.open(tmp_path / "run"))
    found = disagreement(one, other)
    twice = [one.paths.count(path) == 2 for path in one.paths]
    assert np.isnan(found).tolist() == twice and np.nanmax(found) == pytest.approx(0, abs=1e-6)


# -- Groups --------------------------------------------------------------------------------------


def test_the_group_of_a_planted_shortcut_comes_first(marked):
    places = marked.places("ram")
    bears = np.array(["marked" in marked.paths[place] for place in places])
    assert len(marked) == 200 and bears.sum() >= 25 and (~bears).sum() >= 20
    for count in (2, 3, 4):
        first = group_maps(marked.maps[places], count)[0]
        assert bears[first.members].all(), f"of {count} groups the first is of marked rams only"
        y, x = np.unravel_index(first.mean.argmax(), first.mean.shape)
        assert min(y, x) >= 11, "its mean map lies on the mark, in the lower right corner"
        assert len(first.members) >= 0.6 * bears.sum()
    first, second = group_maps(marked.maps[places], 2)
    assert set(first.members) == set(np.flatnonzero(bears)), "two groups tell them apart"
    assert not bears[second.members].any()


def test_groups_hold_every_map_once_but_empty_ones(marked):
    maps = marked.maps[marked.places("zebra")].copy()
    maps[3] = 0
    groups = group_maps(maps, 4)
    members = np.concatenate([group.members for group in groups])
    assert sorted(members.tolist()) == [n for n in range(len(maps)) if n != 3]
    assert [group.likeness for group in groups] == sorted(
        (group.likeness for group in groups), reverse=True
    )
    for group in groups:
        held = maps[group.members].reshape(len(group.members), -1).astype(float)
        assert np.allclose(group.mean.ravel(), held.mean(axis=0), atol=1e-3)
        centre = held.mean(axis=0)
        cosines = held @ centre / np.linalg.norm(held, axis=1) / np.linalg.norm(centre)
        assert group.likeness == pytest.approx(cosines.mean(), abs=1e-4)
        assert (np.diff(cosines) <= 1e-6).all(), "the most typical first"
