"""Runs of a few drawn scenes, made once."""

import pytest
from PIL import Image

from camviz import Engine, draw_scenes
from camviz.bulk.run import Geometry, Run, RunWriter
from camviz.bulk.schema import row_of

ODD = "öl & <b>\"a,'b' =1+1\ttab.png"  # a name that every format has to write with care


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """Four pictures, the first one explained for two classes, the second one with an odd name."""
    folder = tmp_path_factory.mktemp("pictures")
    engine, scenes = Engine(), draw_scenes(4, seed=21)
    names = ["a/one.png", f"a/{ODD}", "b/one.png", "b/four.png"]
    found = []
    for name, scene in zip(names, scenes, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(scene.image[:200]).save(folder / name)
        targets = [None, "zebra"] if name == names[0] else [None]
        for target in targets:
            x = engine.explain(folder / name, "scenes-resnet", target=target)
            found.append(row_of(x, f"{name} {x.label}", name, truth=scene.labels[0]))
    configuration = {
        "backbone": "scenes-resnet", "options": x.options | {"stages": None}, "source": str(folder),
    }  # fmt: skip
    run = tmp_path_factory.mktemp("runs") / "small"
    with RunWriter(run, configuration, Geometry.of(x), part_rows=2) as writer:
        for row in found:
            writer.add(row)
    return Run.open(run)
