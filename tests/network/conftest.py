"""A hub that is offline, a network in a folder, and a count of backward passes."""

import pytest
import torch

from timm.models import save_for_hf  # isort: skip
from tests.support.networks import untrained


@pytest.fixture
def offline(monkeypatch):
    """The hub's own switch, for libraries that read it at import, and for those that do later."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def folder(tmp_path):
    """A network of five classes in timm's own folder format."""
    model = untrained(num_classes=5)
    config = {"label_names": ["ant", "bee", "cat", "dog", "eel"]}
    save_for_hf(model, tmp_path / "five", model_config=config, model_args={"zero_init_last": False})
    return tmp_path / "five", model


@pytest.fixture
def passes(monkeypatch):
    """{"backward": n}: how often torch.autograd.grad ran."""
    count = {"backward": 0}
    grad = torch.autograd.grad

    def counted(*arguments, **options):
        count["backward"] += 1
        return grad(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    return count
