"""Places that people name: "~" replaced, and what is in the way found before the work."""

import os
from pathlib import Path

import pytest

from camviz import Engine, open_picture
from camviz.cli import main
from camviz.errors import ImageError, OutputError
from camviz.files import output_file, output_folder, user_path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_home_folder_is_replaced(home, monkeypatch):
    assert user_path("~/maps") == home / "maps"
    assert user_path("maps/~") == Path("maps/~")
    assert user_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
    monkeypatch.chdir(home)
    Path("~odd").mkdir()
    assert user_path("~odd") == Path("~odd")


def test_what_is_in_the_way_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "below", file / "far" / "below"):
        with pytest.raises(OutputError, match=f"'{file}' is a file"):
            output_folder(place)
    with pytest.raises(OutputError, match="is a folder"):
        output_file(tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        output_file(file / "x.safetensors")
    assert output_folder(tmp_path / "new" / "one") == tmp_path / "new" / "one"
    assert output_file(file) == file and not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no rights"):
        output_folder(tmp_path / "new")


def test_saving_expands_and_refuses_before_any_drawing(home, photo, tiny, monkeypatch):
    x = Engine("cpu").explain(photo, tiny("test_resnet"))
    file = home / "file"
    file.write_text("kept")
    monkeypatch.setattr("camviz.maps.render.overlay", None)
    with pytest.raises(OutputError):
        x.save(file)
    assert file.read_text() == "kept"
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(home))
    assert x.save("~/maps") == home / "maps"
    assert (home / "maps" / "manifest.json").is_file()


def test_the_command_line_refuses_before_the_work(home, photo_file, monkeypatch, capsys):
    file = home / "file"
    file.write_text("")
    monkeypatch.setattr("camviz.engine.engine.Engine.explain", None)
    monkeypatch.setattr("camviz.engine.engine.Engine.build_prototypes", None)
    assert main(["explain", photo_file, "--out", str(file)]) == 2
    assert main(["explain", photo_file, "--out=~/file"]) == 2
    build = ["prototypes", "build", photo_file, "--target", "0", "--out", str(home)]
    assert main(build) == 2
    assert capsys.readouterr().err.count("is a file") == 2


def test_the_command_line_expands(home, photo_file, capsys):
    Path(photo_file).replace(home / "photo.png")
    words = ["explain", "~/photo.png", "--backbone", "test_resnet", "--weights", "random"]
    assert main([*words, "--out=~/maps"]) == 0
    assert (home / "maps" / "manifest.json").is_file()


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/cat.jpg",
        "HTTP://example.org/a",
        "s3://b/c.png",
        "data:image/png;base64,x",
    ],
)
def test_addresses_are_no_files(address):
    with pytest.raises(ImageError, match=r"is an address .*download"):
        open_picture(address)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypjp2 ", "a JPEG 2000 picture"),
        (b"\xff\x4f\xff\x51\x00\x29", "a JPEG 2000 picture"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n\x00\x00\x00\x14ftypjxl ", "a JPEG XL picture"),
    ],
)
def test_formats_are_called_by_their_names(data, kind):
    with pytest.raises(ImageError, match=kind):
        open_picture(data)


@pytest.mark.parametrize("place", [None, 3, b"a", ["a"]])
def test_what_is_no_path_is_refused(place):
    for function in (output_folder, output_file):
        with pytest.raises(OutputError, match="is a path, not"):
            function(place)
