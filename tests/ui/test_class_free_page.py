"""The page of a network without classes: every view of it, without a browser."""

import base64
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from timm.models import save_for_hf

from camviz.engine.components import Components
from camviz.errors import PrototypeError
from camviz.examples import example
from camviz.ui import actions, api, choices, service
from camviz.ui.downloads.bundle import make_zip
from camviz.ui.features import FEATURES, SUMMARY
from camviz.ui.state import NOBODY, TOP, BackboneChoice, Task
from camviz.ui.tabs import methods, models, pictures, prototype_actions, prototypes
from tests.support.networks import untrained

RESNET = "test_resnet.r160_in1k"
STAGES = ["layer4", "layer3", "layer2", "layer1"]


@pytest.fixture
def free(fresh, controls, tmp_path, monkeypatch):
    """Controls of a page whose own backbone has no classes."""
    folder = tmp_path / "free"
    model = untrained("test_resnet", num_classes=0, zero_init_last=False)
    save_for_hf(model, str(folder), model_config={"num_classes": 0})
    monkeypatch.setenv("CAMVIZ_BACKBONE", f"local-dir:{folder}")
    choices.available.cache_clear()
    return replace(controls, backbone=BackboneChoice("free"))


@pytest.fixture
def opened(visit, free):
    return visit.open(free)


def test_look_shows_its_features_as_maps_and_in_colours(opened):
    assert [row["key"] for row in opened.tab["maps"].to_json()["rows"]] == ["layercam", FEATURES]
    assert opened.row("layercam")["title"] == "Hierarchical Eigen-CAM"
    assert opened.panels() == [*STAGES, "fused", "refined"]
    assert opened.panels(FEATURES) == STAGES
    row = opened.row(FEATURES)
    assert row["title"] == "Features in colours" and row["words"]["summary"] == SUMMARY
    x = service.explain(opened.controls)
    for panel in row["panels"]:
        found = service.engine().components(x, panel["key"])
        assert isinstance(found, Components)
        cells = [np.frombuffer(base64.b64decode(text), np.uint8) for text in panel["colors"]]
        assert np.array_equal(np.stack(cells, 1), found.cells.reshape(-1, 3))
        assert panel["facts"] == (f"{sum(found.shares):.0%} of the variance",)
    words = json.dumps(opened.tab["maps"].to_json())
    assert "class" not in words.replace("whatever the class", "") and "evidence" not in words


def test_what_it_says_is_a_sentence_and_no_empty_list(opened):
    assert "this network knows no classes" in opened.frame["bars"]
    assert "cv-bar" not in opened.frame["bars"].replace("cv-bars", "")
    assert "to a network without classes" in opened.tab["verdict"]
    assert "%" not in opened.tab["verdict"] and "None" not in opened.tab["verdict"]
    assert (opened.tab["denoising"], opened.tab["learned"]) == ("", "")


def test_the_story_of_an_example_is_one_of_classes(visit, free):
    there = replace(free, picture=str(example("two-boats").path))
    assert "compare the two classes" not in visit.open(there).tab["verdict"]
    other = visit.change(backbone=BackboneChoice(RESNET, True))
    assert "compare the two classes" in other.tab["verdict"]


def test_menus_of_classes_are_empty_and_filled_again(opened):
    assert opened.frame["target"].choices == [("no class", TOP)]
    assert opened.frame["versus"].choices == [("not compared", NOBODY)]
    other = opened.change(backbone=BackboneChoice(RESNET, True))
    assert len(other.frame["target"].choices) == 1001
    assert other.frame["target"].choices[0] == ("top prediction", TOP)


def test_a_class_and_a_rival_are_left_behind(visit, free):
    visit.open(replace(free, backbone=BackboneChoice(RESNET, True), target="zebra", versus="ram"))
    assert visit.controls.target == "zebra"
    found = visit.do(actions.choose_backbone, "free")
    assert (found.controls.target, found.controls.versus) == (TOP, NOBODY)
    assert found.panels(FEATURES) == STAGES


def test_a_method_of_classes_is_left_out_with_a_sentence(visit, free):
    there = replace(free, backbone=BackboneChoice(RESNET, True)).with_options(method="grad_cam")
    found = visit.open(there).do(actions.choose_backbone, "free")
    assert found.controls.options.method == "auto"
    assert "knows no classes, and Grad-CAM shows where a class is seen" in found.frame["notice"]


def test_its_link_reopens_it(visit, free):
    assert visit.open(free).link == {"backbone": "free", "example": "upload"}
    visit.session.__init__()
    actions.open_link(visit.session, {"backbone": "free", "class": "zebra"}, free.picture)
    found = visit.answer()
    assert "Part of the link could not be used" in found.frame["notice"]
    assert "free knows no classes" in found.frame["notice"]
    assert found.panels(FEATURES) == STAGES


def test_methods_are_those_that_need_no_class(free, shown):
    rows = {row.key: row for row in shown(methods, free)["maps"].rows}
    assert list(rows)[-1] == FEATURES and "eigen_cam" in rows
    assert not {"layer_cam", "grad_cam", "cam", "lpcam", methods.AGAINST} & set(rows)
    assert all(row.panels for row in rows.values())
    assert "without a class" in shown(methods, free)["heading"]


def test_prototypes_are_put_aside_and_similar_places_are_found(free, shown):
    page = shown(prototypes, free)
    assert "Prototypes are of a class, and this network knows none" in page["introduction"]
    (row,) = page["here"].rows
    assert [panel.key for panel in row.panels] == STAGES
    assert all(panel.peak == pytest.approx(1, abs=1e-5) for panel in row.panels)
    for do in (
        lambda: prototype_actions.build_bank(free, [free.picture], 3, Task()),
        lambda: prototype_actions.similarity_to_bank(free),
    ):
        with pytest.raises(PrototypeError, match="this network knows none"):
            do()


def test_a_second_picture_is_searched(free, shown, write):
    page = shown(prototypes, free, second_picture=write("other.png", 5))
    assert [panel.key for panel in page["there"].rows[0].panels] == STAGES


@pytest.mark.parametrize("first", ["free", RESNET])
def test_it_is_compared_with_a_network_that_has_classes(free, shown, first):
    other = {"free": RESNET, RESNET: "free"}[first]
    # Weights of the other come from nowhere: it is an architecture by name.
    controls = replace(free, backbone=BackboneChoice(first, first == RESNET))
    page = shown(models, controls, others=[] if first == RESNET else ["test_maxvit"])
    if first == "free":
        assert "features only" in page["table"] and "free knows no classes" in page["table"]
        assert "Different classes" not in page["heading"] and "“”" not in page["heading"]
        facts = [panel.facts for row in page["maps"].rows for panel in row.panels]
        assert any("no class" in each for each in facts)
    else:
        page = shown(models, controls, others=[other])
        assert "free knows no classes" in page["table"]
        assert page["maps"].rows[0].panels[0].label


def test_several_pictures_have_no_class_either(free, shown, write):
    paths = (write("a.png", 1), write("b.png", 2))
    several = replace(free, picture=paths[0], pictures=paths)
    for explained in (pictures.OWN, pictures.SAME):
        sheet = shown(pictures, several, explained=explained)["sheet"]
        assert "knows <strong>no classes</strong>" in sheet and "None" not in sheet
        assert shown(pictures, several)["row"].choices == [("Hierarchical Eigen-CAM", "layercam")]
        assert "Hierarchical Eigen-CAM" in sheet
        assert sheet.count('class="cv-heat"') == 2 and "%" not in re.sub(r"<img[^>]*>", "", sheet)
    with zipfile.ZipFile(make_zip(several)) as archive:
        assert "index.html" in archive.namelist()
        assert "None" not in archive.read("index.html").decode()


def test_its_strip_names_no_class(visit, free, write):
    paths = (write("a.png", 1), write("b.png", 2))
    found = visit.open(replace(free, picture=paths[0], pictures=paths))
    assert "a.png" in found.frame["strip"] and "None" not in found.frame["strip"]
    assert "%" not in found.frame["strip"]


def test_its_zip_holds_colours_and_its_report_says_what_it_is(free, tmp_path):
    file = make_zip(free)
    assert file.name == "camviz-free-features.zip"
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read("manifest.json"))
        report = archive.read("report.html").decode()
        archive.extractall(tmp_path / "zip")
    assert {"features_layer4.png", "layercam_fused.png"} <= names
    assert manifest["rows"].keys() == {"layercam"}
    x = service.explain(free)
    with Image.open(tmp_path / "zip" / "features_layer4.png") as image:
        assert np.array_equal(image, service.engine().components(x, "layer4").colors)
    arrays = np.load(tmp_path / "zip" / "maps.npz")
    assert np.array_equal(arrays["features"], x.logits)
    assert arrays["features/layer4"].shape == (3, 5, 5)
    assert "none: this network knows no classes" in report
    assert "<h3>Hierarchical Eigen-CAM</h3>" in report and "LayerCAM" not in report
    assert "Features in colours" in report and ">None<" not in report
    assert "<p>Nothing: this network knows no classes." in report and "None (" not in report


def test_the_channels_that_a_network_takes_are_told(visit, controls, fresh, tmp_path, monkeypatch):
    folder = tmp_path / "five"
    model = untrained("test_resnet", in_chans=5, num_classes=4, zero_init_last=False)
    save_for_hf(model, str(folder), model_config={"num_classes": 4})
    monkeypatch.setenv("CAMVIZ_BACKBONE", f"local-dir:{folder}")
    choices.available.cache_clear()
    five = replace(controls, backbone=BackboneChoice("five"))
    name = Path(five.picture).name
    said = visit.open(five).frame["notice"]
    assert f"ive takes pictures of 5 channels, and &#39;{name}&#39; has 3; give a uint8" in said
    np.save(tmp_path / "sea.npy", np.random.default_rng(0).integers(0, 256, (40, 60, 5), np.uint8))
    assert service.explain(replace(five, picture=str(tmp_path / "sea.npy"))).fused.any()


def test_programs_are_told_the_same(free):
    x = service.engine().explain(service.picture_at(free.picture), service.load(free.backbone))
    found = api._findings(x, None)
    assert found["target"] is None and found["predictions"] == [] and "sure" in found
    assert json.loads(json.dumps(found))["stages"]["layer4"]["grid"] == [5, 5]
