"""Networks without classes at every door of the engine."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from camviz import METHODS, Engine, load_backbone, wrap_backbone
from camviz.cli import main
from camviz.engine.families import family_of
from camviz.engine.remote import RemoteRunner
from camviz.errors import MethodError, PrototypeError, TargetError
from camviz.methods.activation import eigen_cam
from camviz.ui.downloads.command import arguments
from tests.support.networks import untrained

CLASS_METHODS = [name for name, method in METHODS.items() if method.class_specific]
NETWORKS = ("test_resnet", "test_vit", "test_convnext")
_SHALLOW = {"depth": 2}
# The smallest of each of timm's families whose architectures have weights without classes only,
# but for those that take a minute and more; some are made of fewer blocks and a smaller picture.
FAMILIES = {
    "vit_tiny_patch16_dinov3_qkvb": {"img_size": 64, **_SHALLOW},
    "vit_xsmall_patch16_clip_224": {"img_size": 64, **_SHALLOW},
    "fastvit_mci0": {"layers": (1, 1, 1, 1)},
    "vitamin_small_224": {"img_size": 64},
    "resnet50_clip_gap": {},
    "sam2_hiera_tiny": {},
    "vit_base_mci_224": _SHALLOW,
    "samvit_base_patch16": {"img_size": 128, **_SHALLOW},
    "naflexvit_base_patch16_siglip": _SHALLOW,
}


@pytest.fixture(scope="module")
def free():
    """free("test_vit"): that architecture without its classifier, random weights."""
    made = {}

    def get(name="test_resnet"):
        if name not in made:
            made[name] = load_backbone(name, "random", "cpu", num_classes=0)
        return made[name]

    return get


@pytest.mark.parametrize("name", NETWORKS)
def test_its_features_are_explained(engine, free, photo, unchanged, name):
    backbone = free(name)
    with unchanged(backbone.model):
        x = engine.explain(photo, backbone)
    assert x.request.method == "eigen_cam" and family_of(backbone).name == "features only"
    assert (x.target, x.label, x.predictions, x.request.versus) == (None, "", [], None)
    assert x.is_confident and x.stages == backbone.default_stages
    image, _ = backbone.prepare(x.picture)
    stored = {}
    for stage in x.stages:
        tap = backbone.stage(stage).activation
        backbone.model.get_submodule(tap.module).register_forward_hook(
            lambda m, i, o, tap=tap: stored.__setitem__(tap, o)
        )
    with torch.no_grad():
        features = backbone.model(image)
    for module in backbone.model.modules():
        module._forward_hooks.clear()
    for stage in x.stages:
        tap = backbone.stage(stage).activation
        expected = eigen_cam(tap.layout.to_nchw(stored[tap]))[0]
        assert np.allclose(x.raw[stage], expected, atol=1e-4 * float(expected.abs().max()))
    assert np.allclose(x.logits, features[0], atol=1e-5)
    assert x.fused.shape == x.refined.shape == (60, 90) and x.fused.max() > 0


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_colours_similar_places_and_eigen_cam(engine, photo, name):
    backbone = wrap_backbone(untrained(name, **FAMILIES[name]), device="cpu")
    assert not backbone.has_classes and backbone.labels == ()
    x = engine.explain(photo, backbone)
    assert x.request.method == "eigen_cam" and x.stages == backbone.default_stages
    for stage in x.stages:
        grid = backbone.stage(stage).grid
        assert x.raw[stage].shape == grid and np.isfinite(x.raw[stage]).all()
        colors = engine.components(x, stage).colors
        assert colors.shape[-1] == 3 and colors.any()
        similar = engine.similarity(x, stage, (45, 30))
        assert similar.raw.shape == grid and np.isfinite(similar.raw).all()
        assert similar.raw[similar.cell] == pytest.approx(1, abs=1e-5)
    assert x.fused.shape == (60, 90) and np.isfinite(x.fused).all() and x.fused.max() > 0
    with pytest.raises(MethodError, match="classes"):
        engine.explain(photo, backbone, method="grad_cam")


def test_one_pass_serves_every_question_and_leaves_no_graph(engine, free, photo, passes):
    backbone = free()
    count = passes(backbone)
    x = engine.explain(photo, backbone)
    first = dict(count)
    assert first["forward"] and not first["backward"]
    engine.explain(photo, backbone, method="eigen_cam", stages=["layer2"], fuse="mean")
    assert engine.predict(photo, backbone) == []
    engine.similarity(x, "layer3", (40, 30))
    engine.components(x, "layer3")
    assert count == first
    trace, _ = engine._traces.cached(backbone, x.picture, "stretch")
    assert not trace.has_graph


@pytest.mark.parametrize("method", CLASS_METHODS)
def test_methods_of_a_class_are_refused(engine, free, photo, method):
    with pytest.raises(
        MethodError, match=r"^test_resnet knows no classes, and .* shows where a cl"
    ):
        engine.explain(photo, free(), method=method)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"target": 3}, TargetError, "there is no class 3; leave it out: method 'auto'"),
        ({"target": "zebra"}, TargetError, "there is no class 'zebra'; leave"),
        ({"versus": 2}, TargetError, "there is no class 2; leave"),
        ({"target": 0, "method": "grad_cam"}, TargetError, "there is no class 0"),
        ({"score": "probability"}, MethodError, "no score 'probability' of one; leave it out"),
        ({"prototypes": "picture"}, MethodError, "prototypes are of a class.*similarity"),
        ({"truncation": 0.9}, MethodError, "no gradient of one to truncate; leave truncation"),
        ({"truncation": "auto"}, MethodError, "no gradient of one to truncate"),
        ({"target": 1, "views": "flip"}, TargetError, "there is no class 1"),
    ],
)
def test_whatever_needs_a_class_is_refused(engine, free, photo, options, error, words):
    with pytest.raises(error, match=rf"^test_resnet knows no classes.*{words}"):
        engine.explain(photo, free(), **options)


def test_prototypes_of_it_are_refused(engine, free, photo):
    for target in (None, 3):
        with pytest.raises(PrototypeError, match=r"knows no classes, and prototypes are of one"):
            engine.build_prototypes([photo], free(), target)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "options",
    [
        {"method": "eigen_cam"},
        {"views": "flip"},
        {"placement": "true"},
        {"fit": "crop"},
        {"tap": "output", "refine": "none"},
        {"stages": ["layer4.0"]},
    ],
)
def test_what_needs_no_class_works(engine, free, photo, options):
    x = engine.explain(photo, free(), **options)
    assert x.target is None and x.fused.any()
    assert not any("class" in str(note) for note in x.notes.values())


def test_attention_needs_no_class(engine, free, photo):
    backbone = free("test_vit")
    x = engine.explain(photo, backbone, method="rollout")
    blocks = [block.name for block in backbone.discovery.attention.blocks]
    assert x.target is None and x.fused.any() and x.stages[-1] == blocks[-1]
    assert list(engine.attention(x)) == blocks
    with pytest.raises(MethodError, match=r"no attention .*; Eigen-CAM does"):
        engine.explain(photo, free(), method="rollout")


@pytest.mark.long
def test_its_embedding_is_no_class(engine, photo):
    backbone = wrap_backbone(untrained("resnet50_clip.openai"), device="cpu", input_size=64)
    x = engine.explain(photo, backbone)
    assert x.label == "" and x.predictions == [] and x.logits.shape == (1024,)


def test_an_empty_map_is_told_without_a_class(engine, photo):
    model = untrained("test_resnet", num_classes=0)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    x = engine.explain(photo, wrap_backbone(model, device="cpu"))
    assert x.notes["layer4"].sentences[-1] == "Empty: its features are the same everywhere."


def test_another_process_gives_the_same(free, photo):
    worker = Engine("cpu")

    def send(task):
        return pickle.loads(pickle.dumps(worker.run(pickle.loads(pickle.dumps(task)))))

    there = Engine("cpu", runner=RemoteRunner(send))
    x = there.explain(photo, "test_resnet", weights="random")
    assert x.backbone.has_classes
    backbone = there.backbone("test_resnet", "random", num_classes=0)
    x, y = there.explain(photo, backbone), Engine("cpu").explain(photo, free())
    assert all(np.array_equal(x.raw[name], y.raw[name]) for name in y.raw)
    assert np.array_equal(x.logits, y.logits) and x.predictions == []
    one, other = (e.components(each, "layer3") for e, each in ((there, x), (worker, y)))
    assert np.array_equal(one.colors, other.colors)


def test_it_is_saved(engine, free, photo, tmp_path):
    x = engine.explain(photo, free())
    folder = x.save(tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["target"] is None and manifest["sure"] is None
    assert manifest["predictions"] == [] and manifest["request"]["target"] is None
    assert manifest["backbone"]["output"] == "features"
    arrays = np.load(folder / "maps.npz")
    assert np.array_equal(arrays["features"], x.logits) and "logits" not in arrays
    options = {name: value for name, value in manifest["request"].items() if value is not None}
    for name in ("backbone", "weights"):
        options.pop(name)
    again = engine.explain(photo, free(), **options)
    assert np.array_equal(again.fused, x.fused)
    assert pickle.loads(pickle.dumps(x)).label == ""


def test_a_shell_repeats_it(engine, photo, photo_file, tmp_path, capsys):
    backbone = engine.backbone("test_resnet", "random", output="features")
    x = engine.explain(Image.fromarray(photo), backbone)
    words = arguments(x, photo_file, str(tmp_path / "out"))
    assert "--target" not in words and main(words) == 0
    printed = capsys.readouterr().out
    assert "it knows no classes: these are maps of its features" in printed
    assert "The same for every class" not in printed and "%  " not in printed
    assert np.allclose(np.load(tmp_path / "out" / "maps.npz")["fused"], x.fused, atol=1e-6)
    for wrong in (["--target", "3"], ["--method", "layer_cam"]):
        assert main([*words[:-2], *wrong]) == 2
        assert "test_resnet knows no classes" in capsys.readouterr().err
    build = ["prototypes", "build", photo_file, "--target", "3", "--out", str(tmp_path / "b")]
    network = ["--backbone", "test_resnet", "--weights", "random", "--output", "features"]
    assert main([*build, *network]) == 2
    assert "prototypes are of one" in capsys.readouterr().err
