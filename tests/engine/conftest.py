"""An engine, and the passes of a network counted."""

import pytest
import torch

from camviz import Engine, load_backbone
from camviz.scenes import TRAIN_BACKGROUNDS, draw_scene


@pytest.fixture
def engine():
    """A new engine on the CPU."""
    return Engine("cpu")


@pytest.fixture
def passes(monkeypatch):
    """passes(backbone) -> {"forward": n, "backward": n} from now on, of that network."""

    def watch(backbone):
        count = {"forward": 0, "backward": 0}
        grad = torch.autograd.grad

        def counted_grad(*arguments, **options):
            count["backward"] += 1
            return grad(*arguments, **options)

        monkeypatch.setattr(torch.autograd, "grad", counted_grad)
        for method in ("forward", "forward_features"):
            plain = getattr(backbone.model, method)

            def counted(*arguments, plain=plain, **options):
                count["forward"] += 1
                return plain(*arguments, **options)

            monkeypatch.setattr(backbone.model, method, counted)
        return count

    return watch


@pytest.fixture(scope="session")
def rams():
    return [
        draw_scene(5, index, label="ram", backgrounds=TRAIN_BACKGROUNDS, two_objects=0.0).image
        for index in range(6)
    ]


@pytest.fixture(scope="session")
def knowing():
    return load_backbone("scenes-resnet", device="cpu")


@pytest.fixture(scope="session")
def learned(knowing, rams):
    return Engine("cpu").build_prototypes(rams[1:], knowing, "ram")
