"""camviz.engine.options: one place for choices, defaults and meanings, and all that is read off it.

An option that a subclass adds is found by the command line, the engine, the request and the
manifest, without another line.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest

from camviz import Engine
from camviz.cli import build_parser
from camviz.engine import families
from camviz.engine import options as module
from camviz.engine.families import family_of
from camviz.engine.option import option, option_table
from camviz.engine.options import AUTO, Auto, Options, Request
from camviz.errors import MethodError
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.methods.activation import Aggregate
from camviz.methods.denoise import Calibration, Mode
from camviz.network.settings import Settings
from camviz.network.stages import TapKind
from camviz.network.target import Score
from camviz.prototypes.bank import PrototypeBank

TABLE = option_table(Options)


@dataclass(frozen=True, kw_only=True)
class Extended(Options):
    samples: int = option(8, "how many copies are averaged", kind=int, page=True)
    mood: str = option("calm", "what nobody needs", choices={"calm": "calm", "loud": "loud"})


# --- the table ---


def test_choices_are_those_of_the_types():
    names = {"TapKind": TapKind, "Score": Score, "Mode": Mode, "Calibration": Calibration,
             "Aggregate": Aggregate, "PrototypeBank": PrototypeBank}  # fmt: skip
    hints = get_type_hints(Options, vars(module) | names)
    literals = [name for name, row in TABLE.items() if isinstance(row.choices, dict)]
    assert len(literals) == 11
    for name in literals:
        assert set(TABLE[name].values) == set(get_args(hints[name])), name
    assert list(TABLE["method"].values) == [AUTO, *METHODS]
    fusions = {name: row.label for name, row in FUSIONS.items()}
    assert TABLE["fuse"].values == {"auto": "the truest for the method"} | fusions
    assert list(TABLE["fuse"].values) == ["auto", *FUSIONS]
    words = {name: row.word for name, row in TABLE.items() if row.word is not None}
    assert words == {"truncation": "auto"} and hints["truncation"] == float | Auto


def test_every_option_has_a_default_that_is_a_choice_and_a_meaning():
    for name, row in TABLE.items():
        assert row.help and getattr(Options(), name) == row.default
        assert row.values is None or row.default in row.values


def test_what_is_written_is_parsed_again():
    for name, value in {
        "stages": ("layer1", "layer2.0"), "truncation": 0.95, "method": "cam", "tap": "output",
        "versus": "7", "gamma": 0.6, "checkerboard": "keep",
    }.items():  # fmt: skip
        assert TABLE[name].parse(TABLE[name].write(value)) == value
    assert TABLE["truncation"].parse("auto") == TABLE["truncation"].write("auto") == "auto"
    assert TABLE["versus"].write(("ram", 7)) == "ram,7"
    assert TABLE["stages"].write(None) == "" and TABLE["stages"].parse("") is None
    assert TABLE["stages"].parse(" a, b ,") == ("a", "b")
    with pytest.raises(ValueError, match="could not convert"):
        TABLE["truncation"].parse("much")


def test_a_papers_own_setting_is_another_choice_and_marked():
    papers = {name: dict(row.papers) for name, row in TABLE.items() if row.papers}
    assert papers == {
        "fuse": {"max_tanh": "after LayerCAM", "refine_cam": "RefineCAM"},
        "checkerboard": {"keep": "all methods"},
        "views": {"paper": "LPCAM"},
        "rivals": {"none": "LPCAM"},
        "channels": {65536: "Score-CAM, all channels"},
    }
    for name, settings in papers.items():
        row, method = TABLE[name], "score_cam" if name == "channels" else "auto"
        for value, whose in settings.items():
            assert value != row.default
            assert getattr(Options(**{name: value, "method": method}), name) == value
            assert f"{row.write(value)} (paper: {whose})" in row.own_settings
            if row.values is not None:
                assert row.marked[value] == f"{row.values[value]} (paper: {whose})"
    assert TABLE["tap"].marked == TABLE["tap"].values and TABLE["tap"].own_settings == ""


def test_the_settings_of_papers_are_documented():
    text = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
    for name, row in TABLE.items():
        for value, whose in row.papers.items():
            written = f'"{value}"' if isinstance(value, str) else value
            assert f"| {whose} | `{name}={written}`" in text


# --- checks ---


def test_names_become_a_tuple():
    assert Options(stages="layer1").stages == ("layer1",)
    assert Options(stages=["layer1", "layer2"]).stages == ("layer1", "layer2")
    assert Options(truncation=0.5, truncated=[]).truncated == ()
    assert Options(versus=["ram", 3]).versus == ("ram", 3) and Options(versus=[3]).versus == 3
    assert Options(versus="ram,sheep").versus == "ram,sheep", "a name may hold a comma"
    assert hash(Options(stages=["layer1"])) == hash(Options(stages=("layer1",)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "gradcam"}, "unknown method 'gradcam'; choices: auto, layer_cam, .*grad_cam"),
        ({"method": ["cam"]}, r"unknown method \['cam'\]; choices"),
        ({"method": None}, "unknown method None"),
        ({"truncation_mode": "cut"}, "unknown truncation mode 'cut'; choices: threshold"),
        ({"tap": {"a": 1}}, "unknown tap"),
        ({"stages": 3}, "stages takes a list of names, not 3"),
        ({"stages": [["layer1"]]}, "stages takes a list of names, not"),
        ({"stages": ()}, "no stages were given"),
        ({"truncation": [0.9]}, r"truncation takes a number, not \[0.9\]"),
        ({"truncation": "0.9"}, "not '0.9'"),
        ({"truncation": "none"}, "a quantile below 1, such as 0.9, or 'auto'; not 'none'"),
        ({"truncation": True}, "not True"),
        ({"truncation": "auto", "method": "cam"}, "uses no gradient"),
        ({"versus": [["ram"], 3]}, r"versus takes a name or a list of names, not \(\['ram'\], 3"),
        ({"versus": {3}}, r"versus takes a name or a list of names, not \{3\}"),
        ({"versus": []}, "versus names no class; leave it out, name one, or take 'nearest'"),
        ({"versus": 3, "gamma": 0}, "gamma is a number above 0, at most 4, not 0"),
        ({"versus": 3, "gamma": 4.5}, "at most 4, not 4.5"),
        ({"versus": 3, "gamma": float("nan")}, "not nan"),
        ({"versus": 3, "gamma": True}, "not True"),
        ({"gamma": 0.6}, "gamma 0.6 has no effect without versus"),
        ({"versus": ["ram", 3], "method": "cam"}, "so versus 'ram,3' has no effect"),
        ({"method": "lpcam", "prototypes": {}}, r"prototypes takes a name, not \{\}"),
        ({"metod": "cam"}, "unknown option 'metod'; similar: method"),
        ({"zzz": 1}, "unknown option 'zzz'; options: versus, method"),
        ({"grid": "raw", "checkerboard": "auto"}, "'grid' and 'checkerboard' are one option"),
    ],
)
def test_what_cannot_be_is_a_method_error(engine, tiny, photo, options, words):
    with pytest.raises(MethodError, match=words) as caught:
        Options.from_mapping(options)
    assert "\n" not in str(caught.value)
    with pytest.raises(MethodError, match=words):
        engine.explain(photo, tiny("test_resnet"), **options)


def test_options_are_checked_before_anything_is_opened_or_loaded(engine):
    with pytest.raises(MethodError, match="unknown fusion"):
        engine.explain("nowhere.png", "no such network", fuse="sum")


def test_old_names_and_values_are_taken(engine, tiny, photo):
    assert Options.from_mapping({"grid": "raw"}).checkerboard == "keep"
    assert Options.from_mapping({"grid": "smooth"}).checkerboard == "smooth"
    assert Options(method="lpcam", prototypes="self").prototypes == "picture"
    x = engine.explain(photo, tiny("test_resnet"), target=1, checkerboard="keep")
    request = json.loads(json.dumps(x.manifest()))["request"]
    old = {"grid": "raw", **{key: value for key, value in request.items() if key in TABLE}}
    del old["checkerboard"]
    y = engine.explain(photo, tiny("test_resnet"), target=1, **old)
    assert y.request == x.request and np.array_equal(y.fused, x.fused)


# --- requests ---


def test_a_request_holds_every_option_resolved(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=4, versus="lion", truncation=0.9)
    request = x.request
    assert type(request) is Request and isinstance(request, Options)
    settings = {each.name for each in fields(Settings)}
    assert set(asdict(request)) == {"backbone", "weights", "target", *TABLE, *settings}
    assert (request.target, request.versus) == (4, 291)
    assert request.stages == x.stages and request.truncated == x.stages[:-1]
    assert replace(request, versus=5).versus == 5
    with pytest.raises(MethodError):
        replace(request, fuse="sum")


def test_an_option_of_a_subclass_is_in_the_shell_the_request_and_the_manifest(photo, capsys):
    with pytest.raises(SystemExit):
        build_parser(Extended).parse_args(["explain", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--samples SAMPLES how many copies are averaged (default: 8)" in text
    assert "--mood {calm,loud} what nobody needs (default: calm)" in text
    arguments = build_parser(Extended).parse_args(["explain", "x.png", "--samples", "3"])
    assert (arguments.samples, arguments.mood) == (3, "calm")
    assert not hasattr(build_parser().parse_args(["explain", "x.png"]), "samples")
    engine = Engine("cpu", options=Extended)
    x, y = (engine.explain(photo, "test_resnet", weights="random", samples=3) for _ in range(2))
    assert isinstance(x.request, Request) and isinstance(x.request, Extended)
    assert x.request.samples == 3 and x.request == y.request
    request = json.loads(json.dumps(x.manifest()))["request"]
    assert (request["samples"], request["mood"]) == (3, "calm")
    assert engine.explain(photo, **request).request == x.request
    with pytest.raises(MethodError, match="unknown mood 'sad'; choices: calm, loud"):
        engine.explain(photo, "test_resnet", mood="sad")
    with pytest.raises(MethodError, match="unknown option 'samples'"):
        Engine("cpu").explain(photo, "test_resnet", samples=3)


def test_the_shell_runs_with_the_options_of_its_parser(tmp_path, photo_file, capsys):
    arguments = build_parser(Extended).parse_args(
        ["explain", photo_file, "--backbone", "test_resnet", "--weights", "random", "--samples",
         "5", "--json"]
    )  # fmt: skip
    assert arguments.run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["request"]["samples"] == 5


def test_the_method_is_that_of_the_family_and_layercam_where_an_option_needs_it(
    engine, tiny, photo, monkeypatch
):
    backbone = tiny("test_resnet")
    assert engine.explain(photo, backbone).request.method == family_of(backbone).method
    other = replace(family_of(backbone), method="eigen_cam", fuse="max_tanh")
    monkeypatch.setattr(families, "FAMILIES", (other,))
    request = engine.explain(photo, backbone).request
    assert (request.method, request.fuse) == ("eigen_cam", "max_tanh")
    lpcam = engine.explain(photo, backbone, target=3, method="lpcam").request
    assert lpcam.fuse == "product", "where that follows from the method"
    for needs in ({"truncation": 0.9}, {"score": "probability"}, {"versus": 3}):
        assert engine.explain(photo, backbone, target=5, **needs).request.method == "layer_cam"
