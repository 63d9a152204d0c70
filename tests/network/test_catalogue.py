"""The catalogue: its order, what it has of each network, and the search."""

import pytest

from camviz import catalogue

import timm  # isort: skip  after vision_ops


@pytest.fixture(scope="module")
def everything():
    return catalogue()


def test_the_catalogue_is_ordered_by_what_can_be_had(everything):
    order = {"bundled": 0, "package": 1, "cached": 1, "hub": 1, "untrained": 2}
    ranks = [(not entry.classifier, order[entry.source]) for entry in everything]
    assert ranks == sorted(ranks)
    names = [entry.name for entry in everything]
    assert len(set(names)) == len(names)
    trained = [
        e.name for e in everything if e.source in ("package", "cached", "hub") and e.classifier
    ]
    listed = [name for name in timm.list_models(pretrained=True) if name in set(trained)]
    assert trained == listed


def test_the_catalogue_names_all_of_timm(everything):
    names = {entry.name for entry in everything}
    assert set(timm.list_models(pretrained=True)) <= names
    assert {entry.architecture for entry in everything} >= set(timm.list_models())


def test_the_catalogue_knows_what_it_lists(everything):
    entry = next(e for e in everything if e.name == "resnet50.a1_in1k")
    assert (entry.architecture, entry.family) == ("resnet50", "resnet")
    assert (entry.classes, entry.input_size) == (1000, (3, 224, 224))
    assert entry.license == "apache-2.0" and entry.classifier
    assert entry.parameters == 25557032
    assert entry.megabytes == pytest.approx(102.2, abs=0.1)
    features = next(e for e in everything if e.name == "vit_small_patch14_dinov2.lvd142m")
    assert not features.classifier


@pytest.mark.parametrize(
    ("pattern", "some", "others"),
    [
        ("test_vit", "test_vit.r160_in1k", "test_resnet"),
        ("resnet50.*", "resnet50.a1_in1k", "seresnet50"),
        ("*_in22k", "convnext_tiny.fb_in22k", "in1k"),
        ("test_[rv]*", "test_resnet.r160_in1k", "convnext"),
    ],
)
def test_the_catalogue_can_be_searched(pattern, some, others):
    names = [entry.name for entry in catalogue(pattern)]
    assert some in names
    assert not any(name.startswith(others) or name.endswith(others) for name in names)


def test_nothing_is_found_where_nothing_is():
    assert catalogue("no such network") == []


def test_the_catalogue_marks_what_is_in_the_hubs_cache(monkeypatch):
    monkeypatch.setattr(
        "camviz.network.catalogue.cached_repositories", lambda: iter(["timm/test_vit.r160_in1k"])
    )
    found = {entry.name: entry.source for entry in catalogue("test_vit*")}
    assert found["test_vit.r160_in1k"] == "cached"
    assert found["test_vit2.r160_in1k"] == "hub"
