"""torchvision's missing operators are declared where, and only where, they are missing.

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

ROOT = Path(__file__).resolve().parents[2]


def run(script):
    """What a script prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.sampled
@pytest.mark.parametrize(
    "importing", ["import camviz, timm", "import camviz, torchvision", "import camviz.network.hub"]
)
def test_torchvision_and_timm_can_be_imported_after_camviz(importing):
    script = (
        f"{importing}\n"
        "import sys, torch, torchvision, timm\n"
        "import camviz.network.torchvision_ops as v\n"
        "assert hasattr(torch.ops.torchvision, 'nms')\n"
        "loaded = v._operators_load()\n"
        "assert (v._declared is None) == loaded, 'nothing is declared in vain'\n"
        "if loaded:\n"
        "    kept = torchvision.ops.nms(torch.tensor([[0, 0, 2, 2.]]), torch.ones(1), 0.5)\n"
        "    assert kept.tolist() == [0]\n"
        "assert not any(isinstance(finder, v.DeclareFirst) for finder in sys.meta_path)\n"
        "print('well')\n"
    )
    assert run(script) == "well"


def test_the_finder_loads_nothing_and_is_there_once():
    script = (
        "import camviz, sys\n"
        "import camviz.network.torchvision_ops as v\n"
        "v.install()\n"
        "print(sum(isinstance(finder, v.DeclareFirst) for finder in sys.meta_path))\n"
        "print(sorted({'torch', 'torchvision', 'timm', 'numpy'} & set(sys.modules)))\n"
    )
    assert run(script).split() == ["1", "[]"]


def test_the_finder_removes_itself_and_finds_no_module(monkeypatch):
    made = object()
    finder = torchvision_ops.DeclareFirst()
    monkeypatch.setattr(torchvision_ops, "_declared", None)
    monkeypatch.setattr(torchvision_ops, "declare_missing", lambda: made)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    assert finder.find_spec("torch") is None and finder in sys.meta_path
    assert finder.find_spec("torchvision.ops") is None and finder in sys.meta_path
    assert finder.find_spec("torchvision") is None and finder not in sys.meta_path
    assert torchvision_ops._declared is made
    monkeypatch.setattr(torchvision_ops, "declare_missing", lambda: pytest.fail("a second time"))
    assert finder.find_spec("torchvision") is None


def test_no_finder_is_installed_once_torchvision_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", torch)
    before = list(sys.meta_path)
    torchvision_ops.install()
    assert sys.meta_path == before


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
