"""Engine.attention: what each head reads of each place, of the tokens that the classifier reads."""

import numpy as np
import pytest
import torch

from camviz import open_picture
from camviz.errors import MethodError
from camviz.network.attention import SDPA, arguments_of


def weights_by_hand(backbone, picture, monkeypatch):
    """softmax(q k^T / sqrt(d) + mask) of every call of attention, in float64."""
    seen = []

    def watched(*args, **kwargs):
        given = arguments_of(args, kwargs)
        query, key = given["query"].double(), given["key"].double()
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        if given["attn_mask"] is not None:
            scores = scores + given["attn_mask"]
        seen.append(scores.softmax(-1)[0])
        return SDPA(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    image, _ = backbone.prepare(open_picture(picture))
    with torch.no_grad():
        backbone.model(image)
    return seen


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("name", "prefix", "readers"),
    [
        ("test_vit", 1, [0]),
        ("deit_tiny_distilled_patch16_224", 2, [0, 1]),
        ("vit_relpos_small_patch16_224", 0, None),
    ],
)
def test_it_is_the_attention_of_the_reading_tokens(
    engine, tiny, photo, monkeypatch, name, prefix, readers
):
    backbone = tiny(name)
    x = engine.explain(photo, backbone)
    found = engine.attention(x)
    assert list(found) == [block.name for block in backbone.discovery.attention.blocks]
    by_hand = weights_by_hand(backbone, photo, monkeypatch)
    assert len(by_hand) == len(found)
    for maps, weights in zip(found.values(), by_hand, strict=True):
        rows = range(prefix, weights.shape[1]) if readers is None else readers
        read = torch.stack([weights[:, row] for row in rows]).mean(0)
        height, width = maps.heads.shape[1:]
        places = read[:, prefix:].reshape(-1, height, width).numpy()
        assert np.allclose(maps.heads, places, atol=1e-5)
        assert np.allclose(maps.heads.sum((1, 2)) + maps.elsewhere, 1, atol=1e-5)
        assert np.allclose(maps.mean, places.mean(0), atol=1e-5)
        assert maps.picture is x.picture and maps.fit == x.fit


def test_it_takes_no_pass_where_the_trace_has_it(engine, tiny, photo, passes):
    backbone = tiny("test_vit")
    x = engine.explain(photo, backbone, method="gae")
    count = passes(backbone)
    engine.attention(x)
    assert count == {"forward": 0, "backward": 0}


def test_other_networks_say_why_not(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"))
    with pytest.raises(MethodError, match="does not exist for test_resnet"):
        engine.attention(x)
