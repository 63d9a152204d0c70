"""An engine, and the passes of a network counted."""

import pytest
import torch

from camviz import Engine


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
