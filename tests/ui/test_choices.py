"""What a visitor may choose, and nothing else."""

import json
from dataclasses import replace

import pytest
from timm.models import save_for_hf

import camviz
from camviz.errors import BackboneError, StageError, TargetError
from camviz.examples import examples
from camviz.network.hub import hub_repository
from camviz.network.packaged import missing_sentence
from camviz.network.weights import build_untrained
from camviz.space.spacefile import spacefile
from camviz.ui import choices, html
from camviz.ui.choices import ANY, default_choice, filtered, lookup, suitable_backbone
from camviz.ui.service import explain

pytestmark = pytest.mark.usefixtures("fresh")

RESNET = "test_resnet.r160_in1k"


def note(choice):
    """What stands under the menu of backbones."""
    return html.render(
        "network.html", choice=choice, sources=choices.SOURCES, missing=missing_sentence()
    )


def test_offer_is_everything_up_to_a_size():
    entries = {entry.name: entry for entry in camviz.catalogue()}
    offered = choices.available()
    assert len(offered) > 1000
    for name, choice in offered.items():
        assert choice.has_classes == entries[name].classifier
        assert choice.label.endswith(" · features only") != choice.has_classes
        assert entries[name].source in ("bundled", "package") or entries[name].parameters <= 150e6
    for name in entries.keys() - offered.keys():
        entry = entries[name]
        nowhere = entry.source == "hub" and hub_repository(name) is None
        assert (entry.parameters or 1e12) > 150e6 or nowhere, name


def test_networks_without_classes_say_so_and_are_never_the_first_choice():
    offered = choices.available()
    dino = offered["vit_small_patch14_dinov2.lvd142m"]
    assert dino.label.endswith(" · 22.1 M · to download, 88 MB · features only")
    assert "features only, no classes" in note(dino) and "0 classes" not in note(dino)
    by_source = {}
    for choice in offered.values():
        by_source.setdefault(choice.source, []).append(choice.has_classes)
    assert all(rows == sorted(rows, reverse=True) for rows in by_source.values())


def test_a_network_without_classes_is_not_suggested_for_photographs(monkeypatch):
    dino = choices.available()["vit_small_patch14_dinov2.lvd142m"]
    here = {"dino": replace(dino, name="dino", source="cached")}
    before, everything = choices.photograph_backbone(), dict(choices.available())
    with monkeypatch.context() as patch:
        patch.setattr(choices, "available", lambda: here | everything)
        assert choices.photograph_backbone() == before


def test_limit_is_a_setting(monkeypatch):
    monkeypatch.setenv("CAMVIZ_MAX_PARAMETERS", "1")
    assert RESNET in choices.available()
    assert "resnet50.a1_in1k" not in choices.available()


def test_labels_and_notes_say_where_the_weights_are():
    offered = choices.available()
    resnet = offered["resnet50.a1_in1k"]
    assert resnet.label == "resnet50.a1_in1k · 25.6 M · to download, 102 MB"
    assert "<strong>102 MB to download</strong>" in note(resnet)
    assert "apache-2.0" in note(resnet) and "1,000 classes" in note(resnet)
    assert 'href="https://huggingface.co/timm/resnet50.a1_in1k"' in note(resnet)
    assert "href" not in note(offered["scenes-resnet"]) + note(offered["test_maxvit"])
    assert offered["test_maxvit"].label == "test_maxvit · 1.1 M · no trained weights"
    assert "1.1 M parameters" in note(offered["test_maxvit"])


def test_own_backbone_leads_and_keeps_its_path_to_itself(monkeypatch):
    monkeypatch.setenv("CAMVIZ_BACKBONE", "local-dir:/secret/place/<garden>")
    first = next(iter(choices.available().values()))
    assert (first.name, first.load) == ("<garden>", "local-dir:/secret/place/<garden>")
    assert "secret" not in first.label + note(first)
    assert "<garden>" not in note(first)  # a note is HTML
    assert default_choice() == "<garden>"


def test_own_backbone_may_be_larger_than_the_limit(monkeypatch):
    monkeypatch.setenv("CAMVIZ_MAX_PARAMETERS", "1")
    monkeypatch.setenv("CAMVIZ_BACKBONE", "resnet50.a1_in1k")
    assert next(iter(choices.available())) == "resnet50.a1_in1k"


def test_default_is_on_offer(monkeypatch):
    assert default_choice() in choices.available()
    monkeypatch.setenv("CAMVIZ_MAX_PARAMETERS", "1")
    choices.available.cache_clear()
    assert default_choice() in choices.available()


def test_the_page_begins_as_the_spacefile_says(monkeypatch):
    assert default_choice() == spacefile().backbone == "tf_efficientnet_lite0.in1k"
    photographs = [row.name for row in examples() if row.backbones != choices.DRAWN]
    listed = sorted(spacefile().examples, key=lambda name: name not in photographs)
    assert [row.name for row in choices.examples_first_known()] == listed
    cached = choices.available() | {
        "resnet50.a1_in1k": replace(lookup("resnet50.a1_in1k"), source="cached")
    }
    monkeypatch.setattr(choices, "available", lambda: cached)
    other = replace(
        spacefile(),
        backbone="resnet50.a1_in1k",
        examples=("two-boats", "tower", "a-ram"),
        limits=replace(spacefile().limits, parameters=3),
    )
    monkeypatch.setattr(choices, "spacefile", lambda: other)
    assert default_choice() == "resnet50.a1_in1k"
    assert [row.name for row in choices.examples_first_known()] == ["tower", "two-boats", "a-ram"]
    monkeypatch.undo()
    monkeypatch.setattr(choices, "spacefile", lambda: other)
    choices.available.cache_clear()
    assert "resnet18.a1_in1k" not in choices.available() and RESNET in choices.available()
    assert default_choice() == "tf_efficientnet_lite0.in1k"  # its weights are here, those are not


def test_nothing_is_offered_whose_weights_are_nowhere():
    names = [e.name for e in camviz.catalogue() if e.source == "hub" and not hub_repository(e.name)]
    assert "gcvit_tiny.in1k" in names and "legacy_seresnet50.in1k" in names
    assert not set(names) & set(choices.available())


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("resnet50", "resnet50.a1_in1k"),
        ("ResNet50", "resnet50.a1_in1k"),
        ("resnet50.a1h_in1k", "resnet50.a1h_in1k"),
        ("vit_base_patch16_224", "vit_base_patch16_224.augreg2_in21k_ft_in1k"),
        ("efficientnet_b0", "efficientnet_b0.ra_in1k"),
        ("resnet18", "resnet18.a1_in1k"),
        ("mobilenetv3_large_100", "mobilenetv3_large_100.ra_in1k"),
    ],
)
def test_the_name_of_an_architecture_finds_it(text, best):
    assert choices.search(text)[0] == best
    contained = [
        choice.name for choice in choices.available().values() if text.lower() in choice.label
    ]
    assert contained[0] == best, "the browser shows what contains the text, in this order"


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("vit base", "vit_base"),
        ("base vit", "vit_base"),
        ("convnext atto", "convnext_atto"),
        ("regnety 016", "regnety_016"),
        ("deit tiny", "deit_tiny"),
    ],
)
def test_words_are_first_looked_for_where_parts_of_a_name_begin(text, begins):
    assert choices.search(text)[0].startswith(begins)


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("vit base", "vit_base_patch16_224"),
        ("resnet", "resnet50"),
        ("efficientnet", "efficientnet_b0"),
        ("swin base", "swin_base_patch4_window7_224"),
    ],
)
def test_of_what_fits_equally_well_what_is_asked_for_often_comes_first(text, best):
    assert choices.search(text)[0].partition(".")[0] == best


def test_good_to_start_with_is_one_of_each_kind_with_a_sentence_and_what_is_here_first():
    rows = choices.starters()
    assert 8 <= len(rows) <= 12
    assert len({choice.family for choice, _ in rows}) == len(rows)
    assert all(sentence.endswith(".") and len(sentence) < 100 for _, sentence in rows)
    here = [choice.is_here for choice, _ in rows]
    assert here == sorted(here, reverse=True) and rows[0][0].name == "tf_efficientnet_lite0.in1k"
    text = html.render("starters.html", starters=rows)
    assert text.count("data-label=") == len(rows) and "ready" in text
    assert 'data-label="resnet50.a1_in1k"' in text and "download, 102 MB" in text


def test_good_to_start_with_is_only_what_is_offered(monkeypatch):
    monkeypatch.setenv("CAMVIZ_MAX_PARAMETERS", "10")
    choices.available.cache_clear()
    names = [choice.name for choice, _ in choices.starters()]
    assert "tf_efficientnet_lite0.in1k" in names and "resnet50.a1_in1k" not in names


def test_plain_facts_have_a_year_only_where_a_paper_gives_it():
    offered = choices.available()
    assert "Family resnet, paper of 2015 ·" in note(offered["resnet50.a1_in1k"])
    assert "sees 224 × 224 pixels" in note(offered["resnet50.a1_in1k"])
    assert offered["vgg19.tv_in1k"].year == 2014
    assert offered["tf_efficientnet_lite0.in1k"].year is None  # its module is of many papers
    assert "paper" not in note(offered["scenes-resnet"])


def test_classes_are_listed_with_their_other_names(tiny):
    entries = {label: text for text, label in choices.class_entries(tiny("test_resnet"))}
    assert entries["lion"] == "lion · king of beasts, Panthera leo"
    assert entries["Siamese cat"] == "Siamese cat · house cat"
    assert entries["crane (134)"] == "crane (134) · wading bird"
    assert entries["zebra"] == "zebra"


def test_search_ranks_beginnings_before_words_in_any_order():
    found = choices.search("vit_b")
    assert found[0].startswith("vit_b") and any(not name.startswith("vit_b") for name in found)
    assert choices.search("50 resnet a1")[0] == "resnet50.a1_in1k"
    assert choices.search("no_such network") == choices.search("  ") == []


def test_what_is_at_hand_comes_first():
    sources = [choice.source for choice in choices.available().values()]
    here = [source in ("own", "package", "bundled", "cached") for source in sources]
    assert here == sorted(here, reverse=True)


def test_an_architecture_stands_for_its_usual_weights():
    assert lookup("tf_efficientnet_lite0").name == "tf_efficientnet_lite0.in1k"
    assert lookup("resnet50").name == "resnet50.a1_in1k"


@pytest.mark.parametrize(
    "name", [None, "", "local-dir:/etc", "hf-hub:some/one", "/etc/passwd", "no_such_net"]
)
def test_whatever_is_not_on_offer_is_refused(name):
    with pytest.raises(BackboneError, match="choose one from the list"):
        lookup(name)


def test_filters_narrow_the_search_and_keep_what_is_in_use():
    everything = filtered(ANY, ANY)
    assert len(everything) == len(choices.available())
    for family in ("resnet", "vision_transformer"):
        names = [name for _, name in filtered(family, ANY)]
        assert names and all(choices.available()[name].family == family for name in names)
        assert f"{family} ({len(names)})" in [label for label, _ in choices.families()]
    bundled = [name for _, name in filtered(ANY, "bundled", kept=RESNET)]
    assert sorted(bundled) == sorted([*camviz.network.bundled.bundled_names(), RESNET])
    assert {source for _, source in choices.sources()} >= {ANY, "bundled", "hub", "untrained"}


def test_examples_that_the_default_backbone_knows_come_first(monkeypatch, no_packages):
    choices.available.cache_clear()
    shown = choices.examples_first_known()
    assert all(row.backbones == choices.DRAWN for row in shown)  # none here knows the photographs
    assert choices.photograph_backbone() == "photos-resnet"
    monkeypatch.setenv("CAMVIZ_BACKBONE", "local-dir:/secret/place/garden")
    choices.available.cache_clear()
    assert choices.examples_first_known()[0].backbones != choices.DRAWN
    assert len(choices.examples_first_known()) == len(examples())
    assert choices.photograph_backbone() == "garden"


@pytest.mark.parametrize("form", ["{folder}", "{folder}/", "."])
def test_nobody_is_told_where_the_servers_own_backbone_lies(
    form, tmp_path, monkeypatch, visit, controls_of, photo_file
):
    """Everything that visitors see of it has its folder's own name, and no path."""
    folder = tmp_path / "my secret models" / "garden"
    save_for_hf(build_untrained("test_resnet", num_classes=5), folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CAMVIZ_BACKBONE", f"local-dir:{form.format(folder=folder)}")
    choices.available.cache_clear()
    assert default_choice() == "garden"
    view = visit.open(controls_of(photo_file, "garden", untrained=False))
    x = explain(view.controls)
    texts = [str(view.tab), str(view.frame), json.dumps(x.manifest(public=True), default=str)]
    with pytest.raises(StageError) as unknown:
        x.backbone.stage("nope")
    with pytest.raises(TargetError) as stranger:
        x.backbone.target("unicorn")
    texts += [str(unknown.value), str(stranger.value)]
    for text in texts:
        assert "secret" not in text and "local-dir" not in text
    assert "of garden" in view.tab["verdict"] and "garden" in texts[-1]


def test_an_example_brings_a_backbone_that_knows_it():
    drawn = next(row for row in examples() if row.backbones == choices.DRAWN)
    photo = next(row for row in examples() if row.backbones != choices.DRAWN)
    assert suitable_backbone(drawn, "scenes-resnet") == "scenes-resnet"
    assert suitable_backbone(photo, "resnet50.a1_in1k") == "resnet50.a1_in1k"
    assert suitable_backbone(drawn, "resnet50.a1_in1k").startswith(choices.DRAWN)
    assert not suitable_backbone(photo, "scenes-resnet").startswith(choices.DRAWN)


def test_methods_of_the_first_rows_ask_for_no_prototypes():
    methods = choices.stage_methods()
    assert "layer_cam" in methods and "lpcam" not in methods
    assert set(camviz.METHODS) - set(methods) == {"lpcam"}


def test_modules_can_all_be_found(tiny):
    names = choices.modules(tiny("test_resnet"))
    assert "layer2.0.conv1" in names and "" not in names
    assert set(names) == {name for name, _ in tiny("test_resnet").model.named_modules()} - {""}
