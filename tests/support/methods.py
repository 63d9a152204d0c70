"""Which of the tiny networks has which method."""

from camviz.methods import METHODS


def network_with(method):
    """A tiny network for which a method exists."""
    return "test_vit" if METHODS[method].uses_attention else "test_resnet"


def why_not(method, name):
    """What an error says where a method does not exist for a tiny network, else None."""
    if method == "cam" and name == "test_vit":
        return "CAM is not defined for test_vit"
    if METHODS[method].uses_attention and name != "test_vit":
        return f"{METHODS[method].label} does not exist for {name}: no attention .*; LayerCAM does"
    return None
