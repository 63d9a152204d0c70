"""The endpoints, asked over HTTP as other programs do."""

import json
import re
import urllib.error
import urllib.request
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import camviz
from camviz.examples import example

RESNET = "test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def client(address, tmp_path_factory):
    made = Client(address, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))
    yield made
    made.close()


RAM = str(example("a-ram").path)


def test_endpoints_describe_themselves(client):
    api = client.view_api(return_format="dict")["named_endpoints"]
    assert set(api) == {"/explain", "/models", "/prototypes"}
    for endpoint in api.values():
        assert endpoint["description"]


# What the endpoint takes, in this order: programs may give values by position.
EXPLAIN = {
    "image": None, "backbone": "", "target": "", "versus": "", "method": "auto",
    "stages": None, "truncation": 0.0, "fuse": "auto", "tap": "activation", "fit": "stretch",
    "placement": "plain", "gamma": 1.0, "truncation_mode": "threshold", "views": "one",
    "refine": "affinity",
    "threshold": 0.0, "untrained": False, "prototypes": None, "size": "screen",
}  # fmt: skip


def test_parameters_and_defaults_of_explain(client):
    api = client.view_api(return_format="dict")["named_endpoints"]["/explain"]
    rows = {row["parameter_name"]: row for row in api["parameters"]}
    assert {name: row.get("parameter_default") for name, row in rows.items()} == EXPLAIN
    assert list(rows) == list(EXPLAIN)
    assert [name for name, row in rows.items() if not row["parameter_has_default"]] == ["image"]
    kinds = {name: row["python_type"]["type"] for name, row in rows.items()}
    words = ("versus", "method", "fuse", "tap", "fit", "placement", "truncation_mode")
    for name in (*words, "views", "refine", "size"):
        assert kinds[name] == "str"
    assert (kinds["truncation"], kinds["threshold"]) == ("float | str", "float")
    assert kinds["untrained"] == "bool"
    assert "list[str]" in kinds["stages"]


def test_explain(client):
    found, file = client.predict(
        image=handle_file(RAM), backbone="scenes-resnet", target="sheep", versus="ram",
        stages=["layer3", "layer4"], truncation=0.5, api_name="/explain",
    )  # fmt: skip
    x = camviz.Engine().explain(
        RAM, "scenes-resnet", target="sheep", versus="ram", stages=["layer3", "layer4"],
        truncation=0.5,
    )  # fmt: skip
    assert found["target"] == {"index": x.target, "label": "sheep"}
    assert found["request"]["truncation"] == 0.5 and set(found["stages"]) == {"layer3", "layer4"}
    assert found["stages"]["layer4"]["notes"] == str(x.notes["layer4"])
    column, row = found["stages"]["layer3"]["brightest"]
    assert x.maps["layer3"][row, column] == x.maps["layer3"].max()
    with zipfile.ZipFile(file) as archive, archive.open("maps.npz") as maps, np.load(maps) as raw:
        assert np.allclose(raw["layer_cam/layer3"], x.raw["layer3"], atol=1e-6)
    assert str(Path(RAM).parent) not in json.dumps(found)


def test_a_contrast_with_several_classes(client):
    given = {"backbone": "scenes-resnet", "target": "sheep", "method": "hires_cam"}
    for versus, gamma in (("ram,zebra", 0.6), ("nearest", 1.0)):
        found, _ = client.predict(
            image=handle_file(RAM), **given, versus=versus, gamma=gamma, api_name="/explain"
        )
        x = camviz.Engine().explain(RAM, **given, versus=versus, gamma=gamma)
        assert tuple(found["request"]["versus"]) == x.request.versus
        assert found["request"]["gamma"] == gamma
        assert found["stages"]["layer4"]["peak"] == pytest.approx(float(x.raw["layer4"].max()))
    with pytest.raises(AppError, match=r"gamma 0\.6 has no effect without versus"):
        client.predict(image=handle_file(RAM), **given, gamma=0.6, api_name="/explain")


def test_a_level_that_is_chosen_for_the_picture(client):
    boat = str(example("a-rowing-boat").path)
    for image, level in ((boat, 0.9), (RAM, 0.0)):
        found, file = client.predict(
            image=handle_file(image), backbone="scenes-resnet", truncation="auto",
            api_name="/explain",
        )  # fmt: skip
        x = camviz.Engine().explain(image, "scenes-resnet", truncation="auto")
        assert found["request"]["truncation"] == x.request.truncation == level
        assert tuple(found["request"]["truncated"]) == x.request.truncated
        with zipfile.ZipFile(file) as archive, archive.open("maps.npz") as maps:
            raw = np.load(maps)["layer_cam/layer1"]
        assert np.allclose(raw, x.raw["layer1"], atol=1e-6)


def test_boxes_are_at_the_usual_threshold_of_each_map_or_at_the_one_given(client):
    x = camviz.Engine().explain(RAM, "scenes-resnet")
    for given, fused, refined in (({}, 0.2, 0.5), ({"threshold": 0.4}, 0.4, 0.4)):
        found, _ = client.predict(
            image=handle_file(RAM), backbone="scenes-resnet", **given, api_name="/explain"
        )
        for key, of, cut in (("", "fused", fused), ("refined_", "refined", refined)):
            assert found[f"{key}threshold"] == cut
            boxes = [asdict(box) for box in x.boxes(cut, of=of, multi=True)]
            assert found[f"{key}boxes"] == json.loads(json.dumps(boxes))


@pytest.mark.parametrize(("size", "sides"), [("screen", (1600, 800)), ("original", (2400, 1200))])
def test_overlays_are_as_large_as_requested(client, tmp_path, size, sides):
    with Image.open(RAM) as picture:
        picture.convert("RGB").resize((2400, 1200)).save(tmp_path / "large.jpg")
    found, file = client.predict(
        image=handle_file(str(tmp_path / "large.jpg")), size=size, api_name="/explain"
    )
    assert found["picture"]["size"] == [1200, 2400]
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        wanted = [f"layer_cam_{name}.jpg" for name in (*found["stages"], "fused", "refined")]
        assert sorted(names) == sorted(["picture.jpg", *wanted])
        for name in names:
            with archive.open(name) as image, Image.open(image) as drawn:
                assert drawn.size == sides, name


def test_defaults_explain_the_top_prediction(client):
    lion = str(example("lion").path)
    found, _ = client.predict(image=handle_file(lion), api_name="/explain")
    assert found["target"]["label"] == found["predictions"][0]["label"] == "lion"


def test_models(client):
    listed = client.predict(api_name="/models")
    assert {"scenes-resnet", "photos-resnet"} <= {row["name"] for row in listed}
    assert len(listed) == 50
    listed = client.predict(pattern="resnet50.a1_in1k", limit=99, api_name="/models")
    (found,) = [row for row in listed if row["name"] == "resnet50.a1_in1k"]
    assert found == {
        "name": "resnet50.a1_in1k", "weights": "hub", "family": "resnet", "classes": 1000,
        "input_size": [3, 224, 224], "parameters": 25557032, "license": "apache-2.0",
    }  # fmt: skip


def test_prototypes_and_back(client):
    files = [handle_file(str(example(name).path)) for name in ("a-ram", "a-ram-far-away")]
    found, bank = client.predict(
        images=files, target="ram", backbone="scenes-resnet", clusters=3, api_name="/prototypes"
    )
    assert found["pictures"] == 2 and found["target"]["label"] == "ram"
    kinds = {row["kind"] for rows in found["stages"].values() for row in rows}
    assert kinds == {"foreground", "context"}
    assert camviz.PrototypeBank.load(bank).label == "ram"
    mapped, _ = client.predict(
        image=files[0], backbone="scenes-resnet", target="ram", method="lpcam",
        stages=list(found["stages"]), prototypes=handle_file(bank), api_name="/explain",
    )  # fmt: skip
    assert mapped["request"]["prototypes"].startswith("bank:")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"backbone": "local-dir:/etc"}, "choose one from the list"),
        ({"backbone": "hf-hub:some/one"}, "choose one from the list"),
        ({"target": "unicorn"}, "no class 'unicorn'"),
        ({"method": "nonsense"}, "unknown method"),
        ({"stages": ["layer9"]}, "unknown stage"),
        ({"truncation": 3}, "truncation"),
        ({"size": "huge"}, "unknown size 'huge'; sizes: screen, original"),
        ({"backbone": "resnet50.a1_in1k"}, "hub cannot be reached"),
        ({"truncation": "much"}, "truncation is a number, not 'much'"),
        ({"truncation": "auto", "method": "eigen_cam"}, "uses no gradient"),
        ({"truncation_mode": "cut"}, "unknown truncation mode 'cut'; choices: threshold"),
        ({"threshold": "low"}, "threshold is a number from 0 to 1, not 'low'"),
    ],
)
def test_errors_are_sentences(client, given, sentence):
    with pytest.raises(AppError, match=sentence) as caught:
        client.predict(image=handle_file(RAM), **given, api_name="/explain")
    assert "Traceback" not in str(caught.value)


def test_an_array_is_a_picture(client, tmp_path):
    pixels = camviz.open_picture(RAM).pixels
    np.save(tmp_path / "ram.npy", pixels)
    found, _ = client.predict(
        image=handle_file(str(tmp_path / "ram.npy")), backbone="scenes-resnet", api_name="/explain"
    )
    x = camviz.Engine().explain(RAM, "scenes-resnet")
    assert found["target"]["index"] == x.target
    assert found["predictions"][0]["probability"] == pytest.approx(x.predictions[0][2], abs=1e-6)
    np.save(tmp_path / "five.npy", np.repeat(pixels[..., :1], 5, axis=2))
    with pytest.raises(AppError, match=r"of 3 channels, and 'five\.npy' has 5"):
        client.predict(
            image=handle_file(str(tmp_path / "five.npy")), backbone="scenes-resnet",
            api_name="/explain",
        )  # fmt: skip


def test_damaged_picture(client, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(AppError, match="not a picture"):
        client.predict(image=handle_file(str(tmp_path / "notes.png")), api_name="/explain")


def post(address, endpoint, data):
    """What a program says that does not keep to gradio_client: the end of the event stream."""
    request = urllib.request.Request(
        f"{address}/gradio_api/call/{endpoint}",
        json.dumps({"data": data}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        event = json.load(answer)["event_id"]
    stream = f"{address}/gradio_api/call/{endpoint}/{event}"
    with urllib.request.urlopen(stream, timeout=60) as answer:
        return answer.read().decode()


META = {"meta": {"_type": "gradio.FileData"}}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "image",
    [
        "/etc/passwd",
        {"path": "/etc/passwd"},
        {"path": "/etc/passwd", **META},
        {"path": "/srv/../etc/passwd", **META},
        {"path": RAM, **META},
        {"path": "http://127.0.0.1:9/x.png", **META},
        {"path": "https://example.com/x.png", "url": "https://example.com/x.png", **META},
        None,
        7,
    ],
)
def test_no_path_and_no_address_is_opened(noisy, image):
    rest = ["", "", "", "layer_cam", None, 0, "product", "activation", "stretch", "plain"]
    rest += [1.0, "threshold", "one", "affinity", 0.2, False, None, "screen"]
    assert len(rest) == len(EXPLAIN) - 1
    for endpoint, data in (
        ("explain", [image, *rest]),
        ("prototypes", [[image], "ram", "", 12, 0, False]),
    ):
        text = post(noisy, endpoint, data)
        assert text.startswith("event: error"), text
        assert "root:" not in text and "Traceback" not in text
        refused_by_gradio = isinstance(image, dict) and "meta" in image
        if not refused_by_gradio:
            assert "must be uploaded" in text
        elif "://" in image["path"]:
            assert "by upload only" in text  # and not: could not be reached


def test_the_snippet_in_the_readme_runs(address, tmp_path, monkeypatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    code = re.search(r"```python\n(from gradio_client .*?)```", readme, re.S).group(1)
    assert "http://127.0.0.1:7860" in code
    code = code.replace("http://127.0.0.1:7860", address)
    code = code.replace("Client(", f"Client(download_files={str(tmp_path)!r}, src=")
    Image.open(RAM).convert("RGB").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["found"]["backbone"]["name"] == "tf_efficientnet_lite0.in1k"
    assert zipfile.is_zipfile(names["zipped"])
