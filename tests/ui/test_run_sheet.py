"""A run as a page without a server: what is in its files."""

import json
import re
from html import unescape

import numpy as np
import pytest

from camviz.bulk.cut import Cut
from camviz.bulk.exports.table import fill
from camviz.bulk.run import Run, RunWriter
from camviz.cli import main
from camviz.ui import collection
from camviz.ui.downloads.sheet import TILES, write_sheet
from camviz.ui.hosting.policy import script_hash
from tests.support.runs import CLASSES, write_large_run

ODD = 'pictures/</script><img src=x onerror="alert(1)">.png'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example as a sheet, one of its pictures and of its classes with a name of an attacker."""
    run = Run.open(collection.EXAMPLE)
    rows = [{**row, "path": str(collection.EXAMPLE / row["path"])} for row in run.rows()]
    rows[0] |= {"path": ODD, "truth": "</script><b>"}
    made = tmp_path_factory.mktemp("run") / "<i>run"
    with RunWriter(made, run.configuration, run.geometry) as writer:
        for row in rows:
            writer.add(row)
    out = tmp_path_factory.mktemp("out") / "sheet"
    return fill(Cut(Run.open(made)), write_sheet, out)


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def test_the_page_holds_figures_and_groups_of_all_pictures(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    value = data_of(page)["value"]
    assert len(value["explained"]) == 200 and value["opens"] is False
    assert "</script><b>" in value["names"] and page.count("</script>") == 2
    ram = value["names"].index("ram")
    groups = value["grouped"][f"{ram}:2"]
    assert sum(len(group["members"]) for group in groups) == 51
    assert {key.split(":")[1] for key in value["grouped"]} == {"2", "3", "4", "5", "6", "7", "8"}
    assert "<h1>&lt;i&gt;run: 200 pictures</h1>" in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page), "nothing is loaded from elsewhere"
    assert "://" not in unescape(re.sub(r"http://www\.w3\.org/\S+", "", page))


def test_only_its_own_scripts_run(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1])
    script = re.search(r'<script type="module">(.*?)</script>', page, re.S)[1]
    assert f"script-src 'self' file: {script_hash(script.encode())};" in policy
    assert policy.startswith("default-src 'none';")


def test_tiles_lie_in_scripts(folder):
    files = sorted((folder / "tiles").iterdir())
    assert len(files) == -(-200 // TILES)
    seen = []
    for number, file in enumerate(files):
        text = file.read_text(encoding="utf-8")
        found = re.fullmatch(r"camvizTiles\((\d+), (.*)\);\n", text, re.S)
        assert int(found[1]) == number
        seen += json.loads(found[2])
    assert [tile["place"] for tile in seen] == list(range(200))
    assert seen[0]["picture"] == "" and all(tile["picture"] for tile in seen[1:])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size < 200 * 8_000, "a few kilobytes a picture"


def test_the_command_writes_a_sheet(tmp_path, capsys):
    out = tmp_path / "sheet"
    assert main(["export", str(collection.EXAMPLE), "--to", "sheet", "--out", str(out)]) == 0
    assert (out / "index.html").is_file() and str(out) in capsys.readouterr().out


def test_thousands_of_pictures_are_written(tmp_path):
    """With the figures that they are sorted by, and each in one tile."""
    large = write_large_run(tmp_path / "large", 2048)
    out = fill(Cut(large.run), write_sheet, tmp_path / "sheet")
    page = (out / "index.html").read_text(encoding="utf-8")
    value = data_of(page)["value"]
    assert "<h1>large: 2048 pictures</h1>" in page and len(page) < 400_000
    assert set(value["figures"]) == set(large.figures)
    for name, wanted in large.figures.items():
        assert value["figures"][name] == np.rint(1000 * wanted).tolist()
    names = [value["names"][place] for place in value["explained"]]
    assert names == [f"class {number % CLASSES}" for number in range(2048)]
    files = sorted((out / "tiles").iterdir())
    assert len(files) == -(-2048 // TILES)
    tiles = [
        tile
        for file in files
        for tile in json.loads(re.search(r"\[.*\]", file.read_text(encoding="utf-8"), re.S)[0])
    ]
    assert [tile["place"] for tile in tiles] == list(range(2048))
    assert all(tile["picture"] and tile["map"] for tile in tiles)
