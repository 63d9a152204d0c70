"""camviz.backbones: where weights come from, what is refused and how fast, labels and catalogue.

No test may reach for the network: the probe of the hub is replaced, or told that it is offline.
"""

import os
import pickle
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file

from camviz import catalogue, load_backbone, open_picture, wrap_backbone
from camviz.errors import BackboneError, StageError, TargetError, WeightsError
from camviz.network import bundled, hub
from camviz.network import weights as weights_module
from camviz.network.backbone import Weights
from camviz.network.hub import hub_reachable
from camviz.network.names import display_name

import timm  # isort: skip  after vision_ops
from timm.models import save_for_hf  # isort: skip

ROOT = Path(__file__).resolve().parent.parent
IN_TIME = 3.5  # seconds in which being offline must be noticed


def untrained(name="test_resnet", **options):
    torch.manual_seed(11)
    return timm.create_model(name, **options).eval()


def weights_of(model):
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


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


# --- weights on this machine ---


def test_random_weights_are_marked_and_always_the_same():
    first = load_backbone("test_resnet", "random", "cpu")
    torch.manual_seed(99)
    second = load_backbone("test_resnet", "random", "cpu")
    assert first.weights == Weights("random", "untrained")
    assert not first.weights.trained
    assert first.digest == second.digest


def test_random_weights_leave_the_callers_random_numbers_alone():
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  the global generator is what is tested
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    load_backbone("test_vit", "random", "cpu")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])  # noqa: NPY002


def test_a_backbone_is_frozen_and_in_eval_mode():
    backbone = wrap_backbone(untrained().train(), device="cpu")
    assert not any(module.training for module in backbone.model.modules())
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert backbone.parameters == sum(p.numel() for p in backbone.model.parameters())
    assert backbone.weights.source == "given" and backbone.weights.trained


def test_a_local_folder_is_loaded_with_its_weights_and_labels(folder):
    path, model = folder
    backbone = load_backbone(f"local-dir:{path}", device="cpu")
    assert backbone.weights.source == "local" and backbone.weights.origin == "five"
    assert backbone.labels == ("ant", "bee", "cat", "dog", "eel")
    image = torch.randn(1, 3, 160, 160)
    assert torch.equal(backbone.model(image), model(image))
    assert backbone.digest == wrap_backbone(model, device="cpu").digest
    again = load_backbone(f"local-dir:{path}", "random", "cpu")
    assert again.weights.source == "random" and again.digest != backbone.digest


def test_a_local_folder_without_weights_is_not_filled_with_random_ones(folder):
    path, _ = folder
    for file in [*path.glob("*.safetensors"), *path.glob("*.bin")]:
        file.unlink()
    with pytest.raises(WeightsError, match=str(path)):
        load_backbone(f"local-dir:{path}")


def test_a_folder_that_is_none_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(WeightsError, match=r"not a timm model folder.*save_for_hf"):
            load_backbone(f"local-dir:{place}")


@pytest.mark.parametrize("kind", ["weights.safetensors", "weights.pth", "wrapped.pth"])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_checkpoint_brings_its_own_number_of_classes(tmp_path, name, kind):
    model = untrained(name, num_classes=7)
    file = tmp_path / kind
    if kind.endswith("safetensors"):
        save_file(weights_of(model), file)
    elif kind.startswith("wrapped"):  # as data-parallel training leaves it
        state = {f"module.{name}": tensor for name, tensor in weights_of(model).items()}
        torch.save({"epoch": 3, "state_dict": state}, file)
    else:
        torch.save(weights_of(model), file)
    backbone = load_backbone(name, str(file), "cpu")
    assert backbone.weights == Weights("file", kind)
    assert backbone.labels == tuple(f"class {i}" for i in range(7))
    assert backbone.digest == wrap_backbone(model, device="cpu").digest
    assert load_backbone(name, file, "cpu").digest == backbone.digest  # a Path does as well


class Malicious:
    """What a pickle can do on being opened."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return (os.mkdir, (str(self.proof),))


@pytest.mark.parametrize("place", ["pickle", "torch", "folder"])
def test_nothing_is_unpickled(tmp_path, folder, place):
    proof = tmp_path / "executed"
    file = tmp_path / "evil.pth"
    content = {"fc.weight": Malicious(proof)}
    if place == "pickle":
        file.write_bytes(pickle.dumps(content))
    elif place == "torch":
        torch.save(content, file)
    else:
        for old in folder[0].glob("*.safetensors"):
            old.unlink()
        torch.save(content, folder[0] / "pytorch_model.bin")
    with pytest.raises(WeightsError):
        if place == "folder":
            load_backbone(f"local-dir:{folder[0]}")
        else:
            load_backbone("test_resnet", file)
    assert not proof.exists()
    if place == "torch":  # the file would have done it
        torch.load(file, weights_only=False)
        assert proof.exists()


def spoiled(tmp_path, kind):
    file = tmp_path / ("x.safetensors" if kind == "not safetensors" else "x.pth")
    contents = {
        "a list": [1],
        "a tensor": torch.zeros(3),
        "a number for a tensor": {"fc.weight": 3},
        "a scalar for a matrix": {"fc.weight": torch.tensor(3.0)},
        "nothing": {},
        "a whole network": torch.nn.Linear(2, 2),
    }
    if kind in contents:
        torch.save(contents[kind], file)
    elif kind == "another network":
        torch.save(weights_of(untrained("test_convnext")), file)
    elif kind == "another size":
        state = weights_of(untrained(num_classes=7))
        state["conv1.0.weight"] = torch.zeros(2, 3, 3, 3)
        torch.save(state, file)
    else:
        file.write_bytes(b"" if kind == "an empty file" else b"hello, this is text")
    return file


@pytest.mark.parametrize(
    "kind",
    [
        "a list",
        "a tensor",
        "a number for a tensor",
        "a scalar for a matrix",
        "nothing",
        "a whole network",
        "another network",
        "another size",
        "an empty file",
        "text",
        "not safetensors",
    ],
)
def test_files_that_are_no_checkpoint_of_it_are_refused_in_a_sentence(tmp_path, kind):
    file = spoiled(tmp_path, kind)
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_resnet", file, "cpu")
    assert file.name in str(caught.value)
    assert "\n" not in str(caught.value)  # a shell prints it on one line
    if kind in ("nothing", "another network"):
        assert "tensors are missing" in str(caught.value)


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path):
    for weights in (tmp_path / "none.pth", tmp_path, "rnadom"):
        with pytest.raises(WeightsError, match=r"no checkpoint at .*'auto', 'random'"):
            load_backbone("test_resnet", weights)


def test_bundled_networks_come_first(monkeypatch, folder):
    path, model = folder
    monkeypatch.setattr(bundled, "BUNDLED", path.parent)
    assert bundled.bundled_names() == ("five",)
    backbone = load_backbone("five", device="cpu")
    assert backbone.weights.source == "bundled" and backbone.name == "five"
    assert backbone.confidence_threshold > 0, "five classes are not the world"
    assert backbone.digest == wrap_backbone(model, device="cpu").digest
    first = catalogue()[0]
    assert (first.name, first.source, first.classes) == ("five", "bundled", 5)
    assert first.input_size == (3, 160, 160) and first.classifier
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *names: None)
    assert weights_module.default_backbone() == "five"
    assert load_backbone(device="cpu").name == "five"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="Ready without a network: five"):
        load_backbone("resnet50")


def test_weights_in_the_hubs_cache_need_no_hub(monkeypatch, tmp_path, offline):
    file = tmp_path / "model.safetensors"
    model = untrained()
    save_file(weights_of(model), file)
    asked = []

    def cached(repository, name):
        asked.append((repository, name))
        return str(file) if name == file.name else None

    monkeypatch.setattr(hub, "try_to_load_from_cache", cached)
    backbone = load_backbone("test_resnet", device="cpu")
    assert backbone.weights.source == "cached"
    assert backbone.weights.origin == "timm/test_resnet.r160_in1k" == asked[0][0]
    assert backbone.digest == wrap_backbone(model, device="cpu").digest
    assert backbone.labels[0] == "tench"


# --- without a network ---


def test_offline_is_noticed_at_once_where_it_is_announced(offline):
    start = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_resnet", device="cpu")
    assert time.monotonic() - start < IN_TIME
    for words in ("test_resnet", "not on this machine", "cannot be reached", "local-dir:PATH",
                  "checkpoint", "'random'", "untrained"):  # fmt: skip
        assert words in str(caught.value)


def test_a_hub_that_does_not_answer_is_given_up_in_seconds(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    over = threading.Event()
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *a, **k: over.wait(60))
    try:
        start = time.monotonic()
        with pytest.raises(WeightsError, match="cannot be reached"):
            load_backbone("test_resnet", device="cpu")
        assert time.monotonic() - start < IN_TIME
        monkeypatch.setattr(hub, "HUB_TIMEOUT", 0.05)
        with pytest.raises(WeightsError, match="cannot be reached"):
            load_backbone("hf-hub:timm/test_resnet.r160_in1k", device="cpu")
    finally:
        over.set()


@pytest.mark.parametrize("weights", ["random", "file"])
def test_a_hub_name_needs_the_hub_whatever_its_weights(monkeypatch, tmp_path, weights):
    """The architecture of an hf-hub: name is on the hub as well."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    over = threading.Event()
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *a, **k: over.wait(60))
    monkeypatch.setattr(hub, "HUB_TIMEOUT", 0.05)

    def too_late(*arguments, **options):
        raise AssertionError("timm was let loose on the hub, with its retries")

    file = tmp_path / "w.safetensors"
    save_file(weights_of(untrained()), file)
    monkeypatch.setattr(weights_module.timm, "create_model", too_late)
    try:
        with pytest.raises(WeightsError, match="cannot be reached"):
            load_backbone("hf-hub:timm/nothing", "random" if weights == "random" else file)
    finally:
        over.set()


def test_a_process_that_found_no_hub_can_end():
    """A name server may take half a minute; nobody waits for it once the answer is given."""
    script = (
        "import time, camviz.network.hub as b\n"
        "b.get_hf_file_metadata = lambda *a, **k: time.sleep(120)\n"
        "b.HUB_TIMEOUT = 0.05\n"
        "start = time.monotonic()\n"
        "assert not b.hub_reachable()\n"
        "print(time.monotonic() - start, flush=True)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert float(process.stdout.readline()) < IN_TIME
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_hub_is_probed_once_and_briefly(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    asked = []

    def probe(answer):
        def look(url, timeout):
            asked.append((url, timeout))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(hub, "get_hf_file_metadata", look)
        return hub_reachable("timm/x")

    assert probe("some metadata")
    assert probe(EntryNotFoundError("no such file, but the hub answers"))
    assert not probe(OSError("no route to host"))
    assert not probe(RuntimeError("client has been closed"))
    assert len(asked) == 4
    assert all("timm/x" in url and timeout <= 3 for url, timeout in asked)
    for value in ("1", "ON", "yes", "True"):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert not probe("some metadata")
    assert len(asked) == 4, "whoever says they are offline is not asked again"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert probe("some metadata")


def test_a_download_that_breaks_off_says_what_would_do(monkeypatch):
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setattr(hub, "hub_reachable", lambda *names: True)

    def broken(repository, name):
        raise ConnectionError("connection reset by peer")

    monkeypatch.setattr(hub, "hf_hub_download", broken)
    with pytest.raises(WeightsError, match=r"failed: connection reset by peer.*local-dir:PATH"):
        load_backbone("test_resnet", device="cpu")

    def absent(repository, name):
        raise EntryNotFoundError("404")

    monkeypatch.setattr(hub, "hf_hub_download", absent)
    with pytest.raises(WeightsError, match=r"holds none of model\.safetensors"):
        load_backbone("test_resnet", device="cpu")


def test_a_download_is_marked_as_such(monkeypatch, tmp_path):
    file = tmp_path / "model.safetensors"
    save_file(weights_of(untrained()), file)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setattr(hub, "hub_reachable", lambda *names: True)
    monkeypatch.setattr(hub, "hf_hub_download", lambda repository, name: str(file))
    backbone = load_backbone("test_resnet", device="cpu")
    assert backbone.weights.source == "hub" and backbone.weights.license == "apache-2.0"


def test_architectures_without_weights_say_so(offline):
    tagged = {name.split(".")[0] for name in timm.list_models(pretrained=True)}
    name = next(name for name in timm.list_models() if name not in tagged)
    with pytest.raises(WeightsError, match=rf"no weights for {name}.*'random'"):
        load_backbone(name)


# --- what people are told, and what not ---


def test_what_would_do_stands_apart_from_what_was_wrong(offline, monkeypatch):
    monkeypatch.setattr(hub, "bundled_names", lambda: ("five", "six"))
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_resnet", device="cpu")
    error = caught.value
    assert error.message == (
        "the weights of test_resnet are not on this machine and the model hub cannot be reached"
    )
    assert error.remedies[0] == "Ready without a network: five, six."
    assert error.remedies[1].startswith("Or give a checkpoint file")
    assert str(error) == f"{error.message}. {' '.join(error.remedies)}"
    again = pickle.loads(pickle.dumps(error))  # as it crosses a process border
    assert (str(again), again.message, again.remedies) == (
        str(error), error.message, error.remedies
    )  # fmt: skip
    monkeypatch.setattr(hub, "bundled_names", lambda: ())
    assert [text[:4] for text in hub.remedies()] == ["Give"]
    assert str(WeightsError("no such file")) == "no such file"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("resnet50.a1_in1k", "resnet50.a1_in1k"),
        ("local-dir:/srv/models/trees", "trees"),
        ("local-dir:/srv/models/trees/", "trees"),
        ("local-dir:/srv/models/other/../trees", "trees"),
        ("local-dir:/", "local-dir"),
        ("hf-hub:timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("my network", "my network"),
    ],
)
def test_a_name_is_shown_without_prefix_and_path(name, shown):
    assert display_name(name) == shown
    assert wrap_backbone(untrained(), name=name, device="cpu").display_name == shown


def test_no_sentence_about_a_local_network_holds_its_path(folder):
    path, _ = folder
    backbone = load_backbone(f"local-dir:{path}", device="cpu")
    assert (backbone.name, backbone.display_name) == (f"local-dir:{path}", "five")
    for wanted in (99, "zebra", "e"):  # no such index, no such class, several
        with pytest.raises(TargetError, match="five") as caught:
            backbone.target(wanted)
        assert str(path.parent) not in str(caught.value)
    named = load_backbone(f"local-dir:{path}", device="cpu", display_name="insects and others")
    assert named.name == f"local-dir:{path}" and named.display_name == "insects and others"
    with pytest.raises(TargetError, match=r"^insects and others knows no class 'zebra'"):
        named.target("zebra")


@pytest.mark.parametrize("damage", ["no config", "no weights", "other weights", "no classifier"])
def test_errors_of_a_network_with_a_display_name_hold_no_path(folder, damage):
    path, _ = folder
    options, weights = {}, "auto"
    if damage == "no config":
        (path / "config.json").unlink()
    elif damage == "no weights":
        for file in [*path.glob("*.safetensors"), *path.glob("*.bin")]:
            file.unlink()
    elif damage == "other weights":
        save_file(weights_of(untrained("test_vit")), path / "model.safetensors")
    else:
        options, weights = {"num_classes": 0}, "random"
    with pytest.raises(BackboneError, match="my trees") as caught:
        load_backbone(f"local-dir:{path}", weights, "cpu", display_name="my trees", **options)
    assert str(path.parent) not in str(caught.value)
    if damage != "no classifier":
        with pytest.raises(BackboneError, match=str(path)):  # the path was given: it is shown
            load_backbone(f"local-dir:{path}", weights, "cpu", **options)


# --- names ---


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet999", ["unknown backbone 'resnet999'", "similar", "resnet50"]),
        ("zzzzzzzz", ["unknown backbone 'zzzzzzzz'"]),
        ("resnet50.nope", ["no weights tagged 'nope'", "a1_in1k"]),
        ("resnet50.", ["resnet50."]),
        ("hf-hub:", ["hf-hub:"]),
        ("hf-hub:a b/c", ["a b/c"]),
    ],
)
def test_names_that_do_not_exist_are_refused(offline, name, words):
    with pytest.raises(BackboneError) as caught:
        load_backbone(name)
    for word in words:
        assert word in str(caught.value)


def test_networks_without_a_classifier_are_refused():
    with pytest.raises(BackboneError, match=r"no classifier.*features"):
        load_backbone("test_resnet", "random", "cpu", num_classes=0)
    with pytest.raises(BackboneError, match="no classifier"):
        wrap_backbone(timm.create_model("test_resnet", features_only=True), device="cpu")


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(BackboneError, match=r"test_resnet could not be made.*colour"):
        load_backbone("test_resnet", "random", "cpu", colour="red")


def test_a_network_without_maps_is_named():
    model = torch.nn.Linear(2, 2)
    model.num_classes = 2
    model.pretrained_cfg = {"input_size": (3, 8, 8)}
    with pytest.raises(StageError, match=r"^mine: Linear has no forward_intermediates"):
        wrap_backbone(model, name="mine", device="cpu")


def test_options_reach_the_network():
    backbone = load_backbone("test_vit", "random", "cpu", img_size=(96, 64), num_classes=3)
    assert backbone.input_size == (3, 96, 64)
    assert {stage.grid for stage in backbone.stages} == {(6, 4)}
    assert len(backbone.labels) == 3


def test_weights_of_other_precision_are_refused_or_understood():
    """Not with torch's own message about CPU tensors."""
    for change in (torch.nn.Module.double, torch.nn.Module.half):
        try:
            wrap_backbone(change(untrained()), device="cpu")
        except BackboneError as error:
            assert "float" in str(error)


def test_what_a_picture_becomes(tiny, photo):
    backbone = tiny("test_resnet")
    x, fit = backbone.prepare(open_picture(photo))
    assert x.shape == (1, 3, 160, 160) and x.dtype == torch.float32
    assert fit.mode == "stretch" and fit.input_size == (160, 160)
    assert backbone.prepare(open_picture(photo), "crop")[1].mode == "crop"
    white = np.full((20, 20, 3), 255, np.uint8)
    expected = (1 - torch.tensor(backbone.mean)) / torch.tensor(backbone.std)
    found = backbone.prepare(open_picture(white))[0].mean(dim=(0, 2, 3))
    assert torch.allclose(found, expected, atol=1e-5)


# --- labels and targets ---


def five(labels):
    return wrap_backbone(untrained(num_classes=len(labels)), labels=labels, name="n", device="cpu")


def test_imagenet_labels_and_synonyms(tiny):
    backbone = tiny("test_resnet")
    assert len(backbone.labels) == len(set(backbone.labels)) == 1000
    assert backbone.labels[282] == "tiger cat" and backbone.labels[291] == "lion"
    for wanted in (291, "291", " 291 ", "lion", "LION", "king of beasts", "Panthera leo"):
        assert backbone.target(wanted) == 291
    assert backbone.target("tench") == backbone.target("Tinca tinca") == 0
    assert backbone.target(np.int64(7)) == 7


def test_a_part_of_a_name_does_if_it_fits_one_class_only(tiny):
    backbone = tiny("test_resnet")
    assert backbone.target("tiger ca") == 282
    with pytest.raises(TargetError, match=r"'shark' fits several classes of test_resnet: .*great"):
        backbone.target("shark")


def test_one_name_for_two_classes_is_answered_with_both(tiny):
    backbone = tiny("test_resnet")
    with pytest.raises(TargetError) as caught:
        backbone.target("crane")  # the bird and the machine
    assert "(134)" in str(caught.value) and "(517)" in str(caught.value)
    assert backbone.target(backbone.labels[134]) == 134
    assert backbone.target(backbone.labels[517]) == 517


def test_many_candidates_are_counted(tiny):
    with pytest.raises(TargetError, match=r" and \d+ more$"):
        tiny("test_resnet").target("terrier")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (1000, "no class 1000: test_resnet knows classes 0 to 999"),
        (-1, "no class -1"),
        ("-1", "no class -1"),
        ("1000", "no class 1000"),
        ("tigr cat", "similar: .*tiger cat"),
        ("", "knows no class ''"),
        ("   ", "knows no class"),
        ("--5", "'--5'"),
        ("²", "²"),
        (2.5, "2.5"),
        (float("nan"), "nan"),
        ([1], "1"),
    ],
)
def test_targets_that_do_not_exist_are_refused(tiny, wanted, words):
    with pytest.raises(TargetError, match=words):
        tiny("test_resnet").target(wanted)


def test_given_labels_are_kept_and_told_apart():
    backbone = five(["cat", "dog", "cat", "Maine Coon, long-haired"])
    assert backbone.labels == ("cat (0)", "dog", "cat (2)", "Maine Coon, long-haired")
    assert backbone.target("DOG") == 1
    assert backbone.target("cat (2)") == 2
    assert backbone.target("maine") == 3
    with pytest.raises(TargetError, match=r"cat \(0\) \(0\), cat \(2\) \(2\)"):
        backbone.target("cat")
    for wrong in (["a"], ["a"] * 9):
        with pytest.raises(BackboneError, match=rf"4 classes, but {len(wrong)} labels"):
            wrap_backbone(untrained(num_classes=4), labels=wrong, device="cpu")


def test_a_label_that_is_a_number_is_a_label_first():
    """As digits, ages or years are: what is written on the class is what is meant."""
    backbone = five(["1", "2", "3"])
    assert backbone.target("1") == 0
    assert backbone.target(1) == 1


def test_classes_without_names_are_numbered():
    backbone = wrap_backbone(untrained(num_classes=3), device="cpu")
    assert backbone.labels == ("class 0", "class 1", "class 2")
    assert backbone.target("class 2") == 2


# --- identity ---


def test_the_digest_says_which_weights_these_are():
    model = untrained(num_classes=4)
    first = wrap_backbone(model, device="cpu").digest
    assert first == wrap_backbone(untrained(num_classes=4), device="cpu").digest
    with torch.no_grad():
        model.fc.bias[2] += 1e-6
    second = wrap_backbone(model, device="cpu").digest
    with torch.no_grad():
        model.fc.bias[2] -= 1e-6
        model.get_buffer("conv1.1.running_mean")[0] += 1e-6
    assert len({first, second, wrap_backbone(model, device="cpu").digest}) == 3


def test_the_same_weights_in_another_network_are_another_digest():
    """Padding is no weight, and yet it moves the map (what placement measures, and keeps)."""
    plain, same = (timm.create_model("test_efficientnet", pad_type=kind) for kind in ("", "same"))
    same.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 160, 160)
    assert not torch.allclose(plain.eval()(image), same.eval()(image))
    digests = {wrap_backbone(model, device="cpu").digest for model in (plain, same)}
    assert len(digests) == 2


def test_stages_asked_for_by_name_are_remembered(tiny):
    backbone = tiny("test_resnet")
    assert backbone.stage("layer2") is backbone.stages[2]
    assert backbone.stage("layer2.0") is backbone.stage("layer2.0")
    assert backbone.default_stages == ("layer1", "layer2", "layer3", "layer4")
    with pytest.raises(StageError, match="unknown stage or module 'layer9'"):
        backbone.stage("layer9")


# --- the catalogue ---


@pytest.fixture(scope="module")
def everything():
    return catalogue()


def test_the_catalogue_is_ordered_by_what_can_be_had(everything):
    order = {"bundled": 0, "cached": 1, "hub": 1, "untrained": 2}
    ranks = [(not entry.classifier, order[entry.source]) for entry in everything]
    assert ranks == sorted(ranks)
    names = [entry.name for entry in everything]
    assert len(set(names)) == len(names)
    trained = [e.name for e in everything if e.source in ("cached", "hub") and e.classifier]
    listed = [name for name in timm.list_models(pretrained=True) if name in set(trained)]
    assert trained == listed


def test_the_catalogue_names_all_of_timm(everything):
    names = {entry.name for entry in everything}
    assert set(timm.list_models(pretrained=True)) <= names
    assert {entry.architecture for entry in everything} >= set(timm.list_models())


def test_the_catalogue_knows_what_it_lists(everything):
    entry = next(e for e in everything if e.name == "resnet50.a1_in1k")
    assert (entry.architecture, entry.family) == ("resnet50", "resnet")
    assert (entry.classes, entry.input_size) == (1000, (3, 224, 224))
    assert entry.license == "apache-2.0" and entry.classifier
    assert entry.parameters == 25557032
    assert entry.megabytes == pytest.approx(102.2, abs=0.1)
    features = next(e for e in everything if e.name == "vit_small_patch14_dinov2.lvd142m")
    assert not features.classifier


@pytest.mark.parametrize(
    ("pattern", "some", "others"),
    [
        ("test_vit", "test_vit.r160_in1k", "test_resnet"),
        ("resnet50.*", "resnet50.a1_in1k", "seresnet50"),
        ("*_in22k", "convnext_tiny.fb_in22k", "in1k"),
        ("test_[rv]*", "test_resnet.r160_in1k", "convnext"),
    ],
)
def test_the_catalogue_can_be_searched(pattern, some, others):
    names = [entry.name for entry in catalogue(pattern)]
    assert some in names
    assert not any(name.startswith(others) or name.endswith(others) for name in names)


def test_nothing_is_found_where_nothing_is():
    assert catalogue("no such network") == []


def test_the_catalogue_marks_what_is_in_the_hubs_cache(monkeypatch):
    monkeypatch.setattr(
        "camviz.network.catalogue.cached_repositories", lambda: iter(["timm/test_vit.r160_in1k"])
    )
    found = {entry.name: entry.source for entry in catalogue("test_vit*")}
    assert found["test_vit.r160_in1k"] == "cached"
    assert found["test_vit2.r160_in1k"] == "hub"
