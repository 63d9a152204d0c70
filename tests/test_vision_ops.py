"""camviz.vision_ops: torchvision's missing operators are declared where, and only where, they are.

Which of the two this machine is decides what can be seen here; the other is played.
"""

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from camviz.network import torchvision_ops

ROOT = Path(__file__).resolve().parent.parent


def test_torchvision_and_timm_can_be_imported_after_it_and_nothing_is_declared_in_vain():
    script = (
        "import sys\n"
        "import camviz.network.torchvision_ops as v\n"
        "assert 'torchvision' not in sys.modules, 'looked for, not imported'\n"
        "loaded = v._operators_load()\n"
        "assert (v._declared is None) == loaded\n"
        "import torch, torchvision, timm\n"
        "assert hasattr(torch.ops.torchvision, 'nms')\n"
        "if loaded:\n"
        "    kept = torchvision.ops.nms(torch.tensor([[0, 0, 2, 2.]]), torch.ones(1), 0.5)\n"
        "    assert kept.tolist() == [0]\n"
        "print('well')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.stdout.strip() == "well", run.stderr


def test_nothing_is_declared_once_torchvision_is_there(monkeypatch):
    monkeypatch.setattr(torchvision_ops, "_operators_load", lambda: False)
    monkeypatch.setitem(sys.modules, "torchvision", torch)
    assert torchvision_ops.declare_missing() is None


def test_nothing_is_declared_where_the_operators_load(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torchvision_ops, "_operators_load", lambda: True)
    assert torchvision_ops.declare_missing() is None


def test_missing_operators_are_declared_with_torchvisions_signature(monkeypatch):
    import camviz.network.weights  # noqa: F401  torchvision, and with it the operators, by now

    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torchvision_ops, "_operators_load", lambda: False)
    defined = []

    class Library:
        def __init__(self, name, kind):
            assert (name, kind) == ("torchvision", "FRAGMENT")

        def define(self, schema):
            defined.append(schema)

    monkeypatch.setattr(torch.library, "Library", Library)
    assert isinstance(torchvision_ops.declare_missing(), Library)
    assert defined == [], "what is declared already is left alone"
    monkeypatch.setattr(torchvision_ops, "_DETECTION_OPERATORS", ("nms", "never_heard_of"))
    torchvision_ops.declare_missing()
    assert defined == ["never_heard_of(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"]
    assert "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" in str(
        torch.ops.torchvision.nms.default._schema
    )


def found_at(monkeypatch, place):
    spec = None
    if place is not None:
        spec = ModuleSpec("torchvision", None, origin=str(place / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


def test_without_torchvision_its_absence_is_left_to_speak(monkeypatch):
    found_at(monkeypatch, None)
    assert torchvision_ops._operators_load()


@pytest.mark.parametrize("error", [OSError("libcudart.so: not found"), ImportError("no module")])
def test_a_library_that_cannot_load_is_told_from_one_that_can(monkeypatch, tmp_path, error):
    found_at(monkeypatch, tmp_path)
    assert not torchvision_ops._operators_load(), "no library at all"
    library = tmp_path / "_C.so"
    library.write_bytes(b"not a library")
    tried = []

    def load(path):
        tried.append(path)
        raise error

    monkeypatch.setattr(torch.ops, "load_library", load)
    assert not torchvision_ops._operators_load()
    assert tried == [str(library)]
    monkeypatch.setattr(torch.ops, "load_library", lambda path: None)

    class Operators:
        nms = None

    monkeypatch.setattr(torch.ops, "torchvision", Operators())
    assert torchvision_ops._operators_load()
