"""Hostile files and names at every door: endpoint, page, command line, and what is saved."""

import asyncio
import html
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradio.exceptions import Error
from gradio.utils import get_upload_folder
from PIL import Image

from camviz import cli
from camviz.files import shown_name
from camviz.images import open_picture
from camviz.ui import actions, api, service, strip
from camviz.ui.downloads import bundle
from camviz.ui.downloads.report import report_html
from camviz.ui.state import Task
from tests.support.hostile import NAMES, REFUSED, SCRIPT, one_of_each_kind, pixels

SAMPLE = [each for each in one_of_each_kind() if each.kind not in ("name", "strip")]
RESNET = "test_resnet.r160_in1k"


@pytest.fixture
def uploads(monkeypatch, tmp_path):
    """The folder of uploads, whose name no answer may tell."""
    folder = tmp_path / "MARKER"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    assert get_upload_folder() == str(folder)
    return folder


@pytest.fixture
def upload(uploads):
    """upload(each): its path among the uploads."""

    def write(each):
        path = uploads / f"{each.kind}-{each.name}"
        path.write_bytes(each.data)
        return str(path)

    return write


def test_the_sample_is_of_every_kind():
    assert len({each.kind for each in SAMPLE}) >= 15
    assert {each.shows == REFUSED for each in SAMPLE} == {True, False}


def test_the_endpoint_answers_with_a_result_or_a_sentence(upload, fresh):
    given = {"backbone": RESNET, "untrained": True, "stages": ["layer4"], "refine": "none"}
    for each in SAMPLE:
        path = upload(each)
        if each.shows == REFUSED:
            with pytest.raises(Error) as caught:
                asyncio.run(api.explain(image={"path": path}, **given))
            said = str(caught.value)
            assert "something unexpected" not in said and "MARKER" not in said, (each.name, said)
        else:
            found, _ = asyncio.run(api.explain(image={"path": path}, **given))
            assert tuple(found["picture"]["size"]) == each.shows, each.name
            assert "MARKER" not in json.dumps(found)


def test_the_page_shows_a_picture_or_a_notice_and_goes_on(visit, controls, upload):
    visit.open(controls)
    before = visit.row("layercam")
    for each in SAMPLE:
        visit.do(actions.choose_picture, upload(each))
        notice = visit.frame["notice"]
        assert "MARKER" not in notice and "unexpected" not in notice, (each.name, notice)
        assert bool(notice) == (each.shows == REFUSED), (each.name, notice)
    visit.do(actions.choose_picture, controls.picture)
    assert not visit.frame["notice"] and visit.row("layercam") == before


def test_several_files_at_once_are_sorted_out(upload, session, controls):
    session.change(controls)
    paths = [upload(each) for each in SAMPLE[:24]]
    opened = strip.open_pictures(paths, Task())
    assert len(opened.pictures) + len(opened.skipped) == len(paths)
    good = [path for path, each in zip(paths, SAMPLE, strict=False) if each.shows != REFUSED]
    assert list(opened.pictures) == good
    assert not any("MARKER" in said for said in opened.skipped)


@pytest.mark.parametrize("each", SAMPLE[::4], ids=lambda each: f"{each.kind}-{each.shows}")
def test_the_command_line_prints_a_result_or_one_line(each, tmp_path, capfd):
    path = tmp_path / "given"
    path.write_bytes(each.data)
    wanted = ["--backbone", "test_resnet", "--weights", "random", "--stages", "layer4"]
    status = cli.main(["explain", str(path), *wanted, "--refine", "none"])
    out, err = capfd.readouterr()
    if each.shows == REFUSED:
        assert status == 2 and not out and err.count("\n") == 1 and "Traceback" not in err
    else:
        assert status == 0 and not err and "layer4" in out


def test_the_command_line_is_spared_what_libraries_print(tmp_path, capfd):
    file = tmp_path / "damaged.tif"
    Image.fromarray(pixels()).save(file, compression="tiff_deflate")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 255
    file.write_bytes(data)
    assert cli.main(["explain", str(file), "--backbone", "test_resnet", "--weights", "random"]) == 2
    _, err = capfd.readouterr()
    assert err.count("\n") == 1 and "cannot be decoded" in err


# -- Names ---------------------------------------------------------------------------------------


def written(folder, name, number):
    """The path of a picture of that name, if the file system has a place for it; else None."""
    path = folder / name
    unlike_others = pixels()
    unlike_others[0, 0] = number
    try:
        Image.fromarray(unlike_others).save(path, "PNG")
    except (OSError, ValueError):
        return None
    return path if path.parent == folder else None


@pytest.fixture
def odd_paths(uploads):
    paths = [written(uploads, name, n) for n, name in enumerate(NAMES) if "/" not in name]
    return [path for path in paths if path is not None and path.is_file()]


def tags(text):
    return re.findall(r"<(img src=x|script>alert)", text)


def test_names_are_shown_as_text_on_the_page(visit, controls, odd_paths):
    assert len(odd_paths) > 20
    visit.open(replace(controls, picture=str(odd_paths[0]), pictures=tuple(map(str, odd_paths))))
    shown = str(visit.frame["strip"])
    for path in odd_paths[::5]:
        visit.do(actions.choose_picture, str(path))
        payload = visit.tab["maps"].to_json()
        assert payload["picture"]["name"] == shown_name(path)
        assert not tags(str(visit.frame["notice"]))
    assert not tags(shown) and html.escape(SCRIPT) in shown
    assert "MARKER" not in shown


@pytest.mark.sampled
@pytest.mark.parametrize(
    "name", [f"{SCRIPT}.png", "\u202egnp.exe", "</script><script>alert(1)", "\x1b[31m"]
)
def test_names_are_text_in_the_report(controls, uploads, name):
    path = uploads / "given.png"
    Image.fromarray(pixels()).save(path)
    rows = service.rows(replace(controls, picture=str(path)))
    picture = open_picture(path, name=name)
    named = {key: replace(x, picture=picture) for key, x in rows.items() if hasattr(x, "picture")}
    text = report_html({**rows, **named})
    assert shown_name(name) in html.unescape(text)
    assert not tags(text) and "\u202e" not in text and "\x1b" not in text
    assert "MARKER" not in text


def test_names_in_a_zip_are_safe_on_every_system(controls, odd_paths):
    given = replace(controls, picture=str(odd_paths[0]), pictures=tuple(map(str, odd_paths[:12])))
    with zipfile.ZipFile(bundle.make_zip(given.with_options(refine="none"))) as archive:
        names = archive.namelist()
        index = archive.read("index.html").decode()
    assert len({name.split("/")[0] for name in names}) == 13
    for name in names:
        assert re.fullmatch(r"(\d\d-[\w.-]+/)?[\w.-]+", name) and ".." not in name.split("/")
        assert len(name.encode()) < 255
    assert not tags(index) and "MARKER" not in index and html.escape(SCRIPT) in index


def test_links_name_no_file(visit, controls, odd_paths):
    visit.open(replace(controls, picture=str(odd_paths[0])))
    link = visit.link
    assert link["example"] == "upload"
    assert not any(Path(odd_paths[0]).name in str(value) for value in link.values())


def test_the_command_line_writes_a_manifest_whatever_the_name(tmp_path, capsys):
    path = Path(str(tmp_path / "given") + "\udcff\n.png")
    Image.fromarray(pixels()).save(path, "PNG")
    out = tmp_path / "out"
    wanted = ["--backbone", "test_resnet", "--weights", "random", "--out", str(out)]
    assert cli.main(["explain", str(path), *wanted, "--json"]) == 0
    assert json.loads((out / "manifest.json").read_text())["picture"]["name"] == (
        "given\ufffd\ufffd.png"
    )
    assert json.loads(capsys.readouterr().out)["picture"]["name"] == "given\ufffd\ufffd.png"
    assert np.load(out / "maps.npz")["fused"].shape == pixels().shape[:2]
