"""The check of architectures: reports that are right, and failures with their reason."""

import pytest
import timm

from camviz.errors import StageError
from camviz.network import check
from camviz.network.catalogue import catalogue
from camviz.network.weights import build_untrained


def entries(*names):
    return [entry for name in names for entry in catalogue(name) if entry.architecture == name][:4]


def test_every_layout_passes():
    names = ("test_resnet", "test_vit", "test_mambaout", "test_convnext")
    reports = {r.name: r for name in names for r in check.check(entries(name)[:1])}
    assert all(report.ok for report in reports.values())
    assert reports["test_mambaout"].layouts == ("NHWC",)
    assert reports["test_vit"].zero_gradient == ("blocks.5",)
    assert reports["test_resnet"].defaults == ("layer1", "layer2", "layer3", "layer4")
    assert (reports["test_vit"].blocks, reports["test_vit"].no_attention) == (6, "")
    assert reports["test_resnet"].blocks == 0 and "attention" in reports["test_resnet"].no_attention
    assert "6 blocks" in reports["test_vit"].line() and " - " in reports["test_resnet"].line()


def test_a_failure_is_named_with_its_reason(monkeypatch):
    def fail(*arguments, **options):
        raise StageError("test_resnet: nothing was found")

    monkeypatch.setattr(check, "wrap_backbone", fail)
    (report,) = check.check(entries("test_resnet")[:1])
    assert not report.ok and "nothing was found" in report.line() and "FAILED" in report.line()


def test_one_architecture_stands_for_each_family():
    chosen = check.smallest_of_each_family()
    assert [entry.family for entry in chosen] == sorted(timm.list_modules())
    by_family = {entry.family: entry for entry in chosen}
    assert by_family["resnet"].classifier and by_family["resnet"].parameters < 6e6
    assert not any(entry.name.startswith("test_") for entry in chosen)


@pytest.mark.long
def test_a_zero_head_is_randomized_for_the_check_only():
    """gMLP's head starts at zero: without help every gradient would be zero."""
    (report,) = check.check(entries("gmlp_ti16_224")[:1])
    assert report.ok, report.problem
    assert not build_untrained("gmlp_ti16_224").head.weight.any()
