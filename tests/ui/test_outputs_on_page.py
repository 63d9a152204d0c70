"""What the page writes of networks whose outputs are no softmax."""

import pytest
import torch

from camviz import Engine, wrap_backbone
from camviz.network.outputs import Value
from camviz.ui import frame, html, verdict
from camviz.ui.viewer import payload
from tests.support.networks import untrained


def explained(photo, classes, **options):
    model = untrained(num_classes=classes, zero_init_last=False)
    return Engine("cpu").explain(photo, wrap_backbone(model, device="cpu", **options))


def test_figures_are_written_as_what_they_are():
    assert html.percent(0.173) == "17.3%" and html.bar(0.173) == "0.1730"
    assert html.percent(Value(-5.71234)) == "-5.71" and html.bar(Value(-5.7)) == "0"
    assert html.signed(0.0414) == "+0.041" and html.signed(-0.0004) == "−0.000"


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


def test_what_raises_a_value_is_not_for_a_class(photo):
    """No word of a class beside, below or above the maps of a value."""
    x = explained(photo, 1, output="value", labels=["age"])
    found = payload({"layercam": x}).to_json()
    (row,) = found["rows"]
    assert row["signs"] == ("lowers it", "raises it")
    said = [
        *x.notes["layer4"].sentences,
        *(
            text
            for panel in row["panels"]
            for text in (*panel["facts"], *panel["notes"], panel["alt"])
        ),
    ]
    assert any("of the evidence raises the value." in text for text in said)
    assert any(text.endswith("% raises it") for text in said)
    assert any("found what raises age" in text for text in said)
    assert not any("class" in text or "in favour" in text for text in said)


def test_what_lowers_a_value_is_a_row(photo, tmp_path):
    x = explained(photo, 2, output="value", labels=["age", "weight"])
    engine = Engine("cpu")
    y = engine.explain(photo, x.backbone, truncation=0.9, truncation_mode="remove")
    note = str(y.notes["layer1"])
    assert "What raises the value removed" in note and "shows what lowers it" in note
    (row,) = payload({"denoised": y}).rows
    assert row.words.summary.startswith("What lowers the value (the negative part")
    z = engine.explain(photo, x.backbone, target="age", versus="weight")
    assert "What raises <em>age</em> rather than <em>weight</em>" in verdict.heading(z)


def test_an_empty_map_of_a_value_says_so(photo):
    model = untrained(num_classes=1, zero_init_last=False)
    backbone = wrap_backbone(model, device="cpu", output="value")
    torch.nn.init.zeros_(model.fc.weight)
    x = Engine("cpu").explain(photo, backbone)
    assert str(x.notes["layer4"]).endswith("Empty: the value does not depend on this map.")


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_classes_are_spoken_for(photo, output):
    x = explained(photo, 3, output=output)
    (row,) = payload({"layercam": x}).rows
    assert row.signs == ("against", "for") and row.panels[0].facts[0].endswith("in favour")
    assert "of the evidence speaks for the class." in str(x.notes["layer4"])
