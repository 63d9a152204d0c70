"""What the page writes of networks whose outputs are no softmax."""

from camviz import Engine, wrap_backbone
from camviz.network.outputs import Value
from camviz.ui import frame, html, verdict
from tests.support.networks import untrained


def explained(photo, classes, **options):
    model = untrained(num_classes=classes, zero_init_last=False)
    return Engine("cpu").explain(photo, wrap_backbone(model, device="cpu", **options))


def test_figures_are_written_as_what_they_are():
    assert html.percent(0.173) == "17.3%" and html.bar(0.173) == "0.1730"
    assert html.percent(Value(-5.71234)) == "-5.71" and html.bar(Value(-5.7)) == "0"


def test_independent_probabilities_are_explained(photo):
    x = explained(photo, 3, output="sigmoid")
    assert "need not add up to 100%" in frame.bars(x)
    assert "add up" not in frame.bars(explained(photo, 3))
    two = explained(photo, 1, labels=["healthy", "ill"])
    assert "add up" not in frame.bars(two)
    assert frame.bars(two).count('class="cv-bar"') == 2


def test_values_are_written_without_percent(photo):
    x = explained(photo, 3, output="value")
    bars, heading = frame.bars(x), verdict.heading(x)
    label, value = x.predictions[0][1:]
    assert f"It gives <em>{label}</em> the value {value:.3g}." in heading
    assert "not probabilities" in bars and "%</span>" not in bars
    assert bars.count("--share:0") == 3
