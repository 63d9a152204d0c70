"""camviz's table of contents: sorted, complete, importable, described."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest
import torch

import camviz
from camviz.methods import Method
from camviz.version import version_of

CAMVIZ = Path(camviz.__file__).parent

# Names that stay, and the package or module each is defined in.
PROMISED = {
    "Backbone": "network.backbone",
    "Engine": "engine",
    "Explanation": "engine.explanation",
    "METHODS": "methods",
    "Options": "engine.options",
    "PrototypeBank": "prototypes",
    "draw_scenes": "scenes",
    "load_backbone": "network.weights",
    "wrap_backbone": "network.backbone",
}


def kind(name):
    """Constants, then classes, then functions, each by the alphabet: ruff's order too."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_names_are_sorted_and_stand_there_once():
    assert camviz.__all__ == sorted(camviz.__all__, key=kind)
    assert len(set(camviz.__all__)) == len(camviz.__all__)
    assert not any(name.startswith("_") for name in camviz.__all__)


def test_names_are_complete():
    """What the front page imports for the type checker is what it offers, and where."""
    tree = ast.parse((CAMVIZ / "__init__.py").read_text(encoding="utf-8"))
    listed = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("camviz.")
        for alias in node.names
    }
    assert set(listed) == set(camviz.__all__)
    for name, module in listed.items():
        value = getattr(camviz, name)
        home = getattr(value, "__module__", None)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert home == module or home.startswith(f"{module}."), name


def test_every_error_is_public():
    import camviz.errors

    found = {
        name
        for name, value in vars(camviz.errors).items()
        if inspect.isclass(value) and issubclass(value, camviz.CamvizError)
    }
    assert found <= set(camviz.__all__)
    for name in found - {"CamvizError"}:
        assert issubclass(getattr(camviz, name), camviz.CamvizError)
    assert issubclass(camviz.WeightsError, camviz.BackboneError)


@pytest.mark.parametrize("name", PROMISED)
def test_what_is_promised_is_there(name):
    assert name in camviz.__all__
    module = import_module(f"camviz.{PROMISED[name]}")
    home = getattr(getattr(camviz, name), "__module__", module.__name__)
    assert home == module.__name__ or home.startswith(f"{module.__name__}.")


def test_the_version_is_that_of_the_project():
    project = (CAMVIZ.parent / "pyproject.toml").read_text()
    assert f'version = "{camviz.__version__}"' in project
    assert version_of("camviz") == camviz.__version__
    assert version_of("torch").partition("+")[0] == torch.__version__.partition("+")[0]
    assert version_of("no-such-package") == "not installed"


@pytest.mark.parametrize("name", camviz.__all__)
def test_names_can_be_imported_and_are_described(name):
    value = getattr(camviz, name)
    assert value is getattr(camviz, name)
    if isinstance(value, dict):  # a table: its rows are
        for key, row in value.items():
            assert key == key.lower() and row.label and row.paper
            for function in (f for f in vars(row).values() if callable(f)):
                assert inspect.getdoc(function), f"{name}['{key}'].{function.__name__}"
        return
    described = (value.__doc__ or "").strip()
    assert described and described.splitlines()[0].strip()
    if inspect.isclass(value):
        # a dataclass without a docstring is given its signature as one
        assert not described.startswith(f"{value.__name__}(")


@pytest.mark.parametrize("name", [n for n in camviz.__all__ if n[0].isupper()])
def test_public_methods_are_described_or_speak_for_themselves(name):
    """A property's name may say it all; what takes arguments needs a sentence."""
    value = getattr(camviz, name)
    if not inspect.isclass(value):
        return
    for part, member in vars(value).items():
        if part.startswith("_") or not inspect.isfunction(member):
            continue
        takes = [p for p in inspect.signature(member).parameters if p != "self"]
        if takes and len(inspect.getsource(member).splitlines()) > 4:
            assert inspect.getdoc(member), f"{name}.{part}"


def test_the_table_of_methods_is_made_of_rows():
    assert all(isinstance(row, Method) for row in camviz.METHODS.values())
    assert next(iter(camviz.METHODS)) == "layer_cam"
    assert list(camviz.FUSIONS) == [
        "stretched_mean",
        "product",
        "mean",
        "max_tanh",
        "refine_cam",
        "deepest",
        "shallowest",
    ]


def test_nothing_else_is_there():
    assert dir(camviz) == sorted(camviz.__all__)
    with pytest.raises(AttributeError, match="module 'camviz' has no attribute 'nothing'"):
        _ = camviz.nothing
    assert not hasattr(camviz, "Nothing")
    space = {}
    exec("from camviz import *", space)
    assert set(camviz.__all__) <= set(space)


def test_the_front_page_shows_how():
    assert camviz.__doc__.startswith("camviz:")
    assert "Engine().explain(" in camviz.__doc__
