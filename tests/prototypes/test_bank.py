"""camviz.prototypes.bank: banks come back as they were saved; what is none is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from camviz.errors import PrototypeError
from camviz.images import open_picture
from camviz.prototypes.bank import PrototypeBank, with_thumbnails
from camviz.prototypes.prototype import MEMBERS, THUMBNAIL, Member, Prototype, StagePrototypes
from tests.support.prototypes import same_bank
from tests.support.tensors import close, noise


def member(picture=0, box=(0, 0, 20, 10)):
    return Member(picture, (1, 2), box, 0.75)


def bank(**change):
    stage = StagePrototypes(
        noise((3, 5), 1),
        (
            Prototype("foreground", 10, 0.95, True, "ear", (member(), member(1, (5, 5, 25, 35)))),
            Prototype("foreground", 4, 0.5, False, "", (member(1),)),
            Prototype("context", 30, 0.01, True),
        ),
        "head",
    )
    fine = StagePrototypes(noise((1, 2), 2), (Prototype("foreground", 7, None, True),), "none")
    given = {
        "backbone": "net",
        "digest": "abc",
        "target": 3,
        "label": "tiger cat",
        "stages": {"layer3": fine, "layer4": stage},
        "clusters": 12,
        "tau": 0.4,
        "mu_f": 0.9,
        "mu_b": 0.9,
        "seed": 0,
        "tap": "activation",
        "fit": "stretch",
        "split": "cam",
        "source": "gallery",
        "pictures": ("ä.jpg", "b.png"),
        "skipped": (("c.txt", "is not a picture"),),
    }
    return PrototypeBank(**{**given, **change})


def pictures():
    rng = np.random.default_rng(0)
    return [
        open_picture(
            np.full((40, 60, 3), level, np.uint8) + rng.integers(0, 4, (40, 60, 1), np.uint8)
        )
        for level in (40, 200)
    ]


def test_a_bank_comes_back_as_it_was_saved(tmp_path):
    one = bank()
    file = one.save(tmp_path / "new" / "bank.safetensors")
    same_bank(PrototypeBank.load(file), one)
    assert PrototypeBank.load(str(file)).id == one.id


def test_thumbnails_are_the_members_patches(tmp_path):
    given = dict(zip(bank().pictures, pictures(), strict=True))

    def cut(name, box):
        left, top, right, bottom = box
        return given[name].pixels[top:bottom, left:right]

    one = with_thumbnails(bank(), cut)
    shown = one.stage("layer4").thumbnails
    assert shown.shape == (3, MEMBERS, THUMBNAIL, THUMBNAIL, 3) and shown.dtype == np.uint8
    assert 39 <= shown[0, 0].mean() <= 44 and 199 <= shown[0, 1].mean() <= 204
    assert not shown[0, 2:].any() and not shown[2].any()
    back = PrototypeBank.load(one.save(tmp_path / "bank.safetensors"))
    same_bank(back, one)
    loss = np.abs(back.stage("layer4").thumbnails.astype(int) - shown)
    assert loss.mean() < 2


def test_a_small_file_has_half_the_precision(tmp_path):
    one = bank()
    full, half = one.save(tmp_path / "full"), one.save(tmp_path / "half", compact=True)
    assert half.stat().st_size < full.stat().st_size
    back = PrototypeBank.load(half).stage("layer4").vectors
    assert back.dtype == torch.float32
    close(back, one.stage("layer4").vectors, 1e-3)


def test_names_and_choices_make_another_bank():
    one = bank()
    other = one.rename("layer4", 1, "paw").keep("layer4", 1).keep("layer4", 0, False)
    names = [(p.name, p.kept) for p in other.stage("layer4").prototypes]
    assert names == [("ear", False), ("paw", True), ("", True)]
    assert [p.name for p in one.stage("layer4").prototypes] == ["ear", "", ""]
    close(other.stage("layer4").kept("foreground"), one.stage("layer4").vectors[1:2])
    assert other.id != one.id and one.rename("layer4", 0, "x").id == one.id
    for wrong in (-1, 3):
        with pytest.raises(PrototypeError, match="0 to 2"):
            one.keep("layer4", wrong)
    with pytest.raises(PrototypeError, match="layer3, layer4, none at 'layer9'"):
        one.keep("layer9", 0)


def fitting(stages, backbone):
    """The same prototypes with vectors as wide as those stages of a network are."""
    widths = {name: backbone.stage(name).activation.channels for name in stages}
    return {
        name: replace(row, vectors=torch.ones(len(row.prototypes), widths[name]))
        for name, row in stages.items()
    }


def test_layers_and_classes_that_the_network_lacks_are_refused(tiny):
    resnet = tiny("test_resnet")
    own = {"backbone": resnet.name, "digest": resnet.weights_digest}
    stages = fitting(bank().stages, resnet)
    bank(**own, stages=stages).check(resnet)
    with pytest.raises(PrototypeError, match=r"layer 'layer3' of 2 channels, and .* has none"):
        bank(**own).check(resnet)
    with pytest.raises(PrototypeError, match=r"layer 'layer9' of .* has none"):
        bank(**own, stages={"layer9": stages["layer4"]}).check(resnet)
    with pytest.raises(PrototypeError, match=r"of class 1000, and .* has 1000"):
        bank(**own, stages=stages, target=1000).check(resnet)


def test_another_network_is_refused_with_the_reason(tiny):
    resnet, vit = tiny("test_resnet"), tiny("test_vit")
    stages = fitting(bank().stages, resnet)
    mine = bank(backbone=resnet.name, digest=resnet.weights_digest, stages=stages)
    mine.check(resnet)
    replace(mine, backbone="under another name").check(resnet)
    with pytest.raises(PrototypeError, match=f"of {resnet.name}, not of {vit.name}"):
        mine.check(vit)
    with pytest.raises(PrototypeError, match="other weights"):
        replace(mine, digest="0").check(resnet)


def header(**change):
    return {"camviz.prototypes": json.dumps({"format": 1, **change})}


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda file: file.write_bytes(b"nothing of the kind"), "not a .safetensors file"),
        (lambda file: file.write_bytes(b""), "not a .safetensors file"),
        (lambda file: save_file({"x": torch.ones(1)}, file), "no prototypes"),
        (lambda file: save_file({"x": torch.ones(1)}, file, header()), "is damaged"),
        (lambda file: save_file({"x": torch.ones(1)}, file, header(stages={"a": 1})), "damaged"),
        (
            lambda file: save_file({"x": torch.ones(1)}, file, header(format=9)),
            "in format 9, and this camviz reads format 1",
        ),
        (
            lambda file: save_file({"x": torch.ones(1)}, file, {"camviz.prototypes": "{"}),
            "is damaged",
        ),
        (lambda file: None, "there is no file"),
    ],
)
def test_what_is_no_bank_is_refused_in_a_sentence(tmp_path, write, words):
    file = tmp_path / "some.safetensors"
    write(file)
    with pytest.raises(PrototypeError, match=words):
        PrototypeBank.load(file)


def test_vectors_and_prototypes_must_fit_together(tmp_path):
    file = bank().save(tmp_path / "bank.safetensors")
    with safe_open(file, "pt") as archive:
        metadata = archive.metadata()
    tensors = load_file(file)
    for wrong in (torch.ones(2, 5), torch.ones(3), torch.ones(3, 5, dtype=torch.int64)):
        save_file({**tensors, "layer4/vectors": wrong}, file, metadata)
        with pytest.raises(PrototypeError, match="damaged"):
            PrototypeBank.load(file)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("tau",), "a", "tau"),
        (("mu_b",), 7, "mu_b"),
        (("target",), "cat", "target"),
        (("label",), 3, "a name"),
        (("stages", "layer4", "prototypes", 0, "kind"), "x", "a prototype at layer4"),
        (("stages", "layer4", "prototypes", 0, "score"), "x", "a prototype at layer4"),
        (("stages", "layer4", "prototypes", 0, "size"), None, "a prototype at layer4"),
    ],
)
def test_a_description_from_anybody_is_checked(tmp_path, place, value, words):
    file = bank().save(tmp_path / "bank.safetensors")
    with safe_open(file, "pt") as archive:
        table = json.loads(archive.metadata()["camviz.prototypes"])
    *path, last = place
    inner = table
    for key in path:
        inner = inner[key]
    inner[last] = value
    save_file(load_file(file), file, {"camviz.prototypes": json.dumps(table)})
    with pytest.raises(PrototypeError, match=f"damaged.*{words}"):
        PrototypeBank.load(file)


def test_vectors_that_are_no_numbers_are_refused(tmp_path):
    file = bank().save(tmp_path / "bank.safetensors")
    with safe_open(file, "pt") as archive:
        metadata = archive.metadata()
    tensors = load_file(file)
    tensors["layer4/vectors"][0, 0] = float("nan")
    save_file(tensors, file, metadata)
    with pytest.raises(PrototypeError, match="vectors at layer4"):
        PrototypeBank.load(file)


def test_older_files_are_read(tmp_path):
    file = bank().save(tmp_path / "bank.safetensors")
    with safe_open(file, "pt") as archive:
        plain = json.loads(archive.metadata()["camviz.prototypes"])
    plain |= {"source": "self", "backbone": "local-dir:/srv/models/trees"}
    save_file(load_file(file), file, {"camviz.prototypes": json.dumps(plain)})
    again = PrototypeBank.load(file)
    assert (again.source, again.backbone) == ("picture", "trees")


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PrototypeError, match="cannot be written"):
        bank().save(tmp_path / "file" / "bank.safetensors")
