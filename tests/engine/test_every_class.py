"""Maps of all classes at once: the engine's CAM of each, without a pass, here or elsewhere."""

import pickle

import numpy as np
import pytest

from camviz import Engine
from camviz.engine.remote import RemoteRunner
from camviz.errors import MethodError
from tests.support.networks import copy_of


@pytest.mark.parametrize(("name", "kind"), [("test_resnet", "linear"), ("test_vit2", "normalised")])
@pytest.mark.parametrize("placement", ["plain", "true"])
def test_each_is_the_engines_own_cam(engine, tiny, photo, name, kind, placement):
    backbone = tiny(name)
    x = engine.explain(photo, backbone, target=3, placement=placement)
    found = engine.class_maps(x)
    assert found.kind == kind and len(found.raw) == len(backbone.labels)
    for target in (3, 500):
        cam = engine.explain(photo, backbone, target=target, method="cam", placement=placement)
        (stage,) = cam.stages
        peak = np.abs(cam.raw[stage]).max()
        assert np.allclose(found.raw[target], cam.raw[stage], atol=1e-5 * peak)
        assert found.placement == cam.placements[stage]


def test_they_cost_no_pass_and_are_made_once(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_resnet"))
    x = engine.explain(photo, backbone, target=3)
    count = passes(backbone)
    first = engine.class_maps(x)
    again = engine.class_maps(engine.explain(photo, backbone, target=3, method="grad_cam"))
    assert count == {"forward": 0, "backward": 0}
    assert np.shares_memory(first.raw, again.raw)


def test_they_come_from_another_process(photo):
    worker = Engine("cpu")

    def send(task):
        return pickle.loads(pickle.dumps(worker.run(pickle.loads(pickle.dumps(task)))))

    there, here = Engine("cpu", runner=RemoteRunner(send)), Engine("cpu")
    maps = []
    for engine in (there, here):
        x = engine.explain(photo, "test_convnext", weights="random", target=3)
        maps.append(engine.class_maps(x))
    assert maps[0].kind == maps[1].kind == "normalised"
    assert np.allclose(maps[0].raw, maps[1].raw, atol=1e-6)


def test_a_class_token_has_none(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_vit"), target=3)
    with pytest.raises(MethodError, match="is not linear in the places of its map"):
        engine.class_maps(x)
