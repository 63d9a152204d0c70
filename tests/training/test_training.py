"""Training: the same weights however often it stops, a folder that timm reads, honest cards."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from camviz.errors import BackboneError, CamvizError, ImageError, WeightsError
from camviz.scenes import HELD_OUT_BACKGROUNDS, SCENE_CLASSES, draw_scene
from training import corpus as corpora
from training import networks
from training.__main__ import main, prepare
from training.augmentation import augment, blend, crop, draw_textures, random_boxes
from training.corpus import Corpus, Pictures, load_photographs, studio_wall
from training.networks import build, embed, embed_views, load_teacher
from training.recipes import RECIPES, Recipe
from training.results import refit, score
from training.run import Run

import timm  # isort: skip
from timm.models import save_for_hf  # isort: skip

MODELS = Path(__file__).parents[2] / "assets" / "models"
CPU = torch.device("cpu")
TINY = Recipe(
    title="a toy",
    pictures="photos",
    architecture="test_resnet",
    model_args={"drop_path_rate": 0.2},
    sizes=((0.5, 32), (0.5, 48)),
    steps=6,
    batch=4,
    backdrop=0.7,
    cutmix=0.5,
    mixup=0.3,
    views=2,
    teacher_size=32,
    textures=5,
)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def corpus(count: int = 6) -> Corpus:
    """Red things and blue things before a white wall."""
    pixels = np.full((count, 4, 64, 64), 255, np.uint8)
    pixels[:, :3, 16:48, 16:48] = 0
    pixels[:, 3, 16:48, 16:48] = 0
    pixels[::2, 0, 16:48, 16:48] = 200
    pixels[1::2, 2, 16:48, 16:48] = 200
    truth = torch.eye(2)[torch.arange(count) % 2]
    pictures = Pictures(torch.from_numpy(pixels), truth)
    return Corpus(("red", "blue"), pictures, pictures, "toys")


def lesson(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    box = random_boxes(count * 2, (0.3, 1.0), generator).view(count, 2, 4)
    return box, torch.randn(count, 2, 10, generator=generator)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of photographs: two classes, three to train on and one to test on of each."""
    root = tmp_path / "pictures"
    root.mkdir()
    rows = []
    for i in range(8):
        color = (200, 20, 20) if i % 2 else (20, 20, 200)
        Image.new("RGB", (50, 40), color).save(root / f"{i}.png")
        name = ("car_side", "Motorbikes")[i % 2]
        rows.append((f"{i}.png", name, i % 2, "train" if i < 6 else "test"))
    with (root / "list.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([("file", "class", "index", "split"), *rows])
    return root


def guided() -> tuple[Recipe, timm.models.ResNet]:
    torch.manual_seed(1)
    teacher = timm.create_model("test_resnet", num_classes=2).eval().requires_grad_(False)
    return dataclasses.replace(TINY, guide=2.0, guided=(-3, -2, -1)), teacher


@pytest.mark.sampled
@pytest.mark.parametrize("kind", ["alone", "distilled", "guided"])
def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, kind):
    recipe, teacher = guided() if kind == "guided" else (TINY, None)
    box, embeddings = lesson(6) if kind == "distilled" else (None, None)
    recipe = dataclasses.replace(recipe, distill=2.0 * (kind == "distilled"))

    def run() -> Run:
        return Run(recipe, 0, corpus(), CPU, box, embeddings, teacher)

    whole = run()
    assert whole.train(tmp_path / "whole.pt")
    torch.manual_seed(99)  # what others draw in between must not matter
    path = tmp_path / "parts.pt"
    part = run()
    while not part.train(path, minutes=0):  # one step, then the time is up
        part = run()
        part.resume(path)
    assert part.step == whole.step == recipe.steps
    for name in ("model", "average", "bridge"):
        one, other = getattr(whole, name).state_dict(), getattr(part, name).state_dict()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_step_leaves_the_global_generator_alone():
    run = Run(TINY, 0, corpus(), CPU)
    before = torch.get_rng_state()
    run.advance()
    assert torch.equal(before, torch.get_rng_state())


def test_it_learns():
    run = Run(dataclasses.replace(TINY, steps=30, cutmix=0, mixup=0, rate=1e-2), 0, corpus(), CPU)
    losses = [run.advance() for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_a_guided_run_comes_closer_to_its_teacher():
    recipe, teacher = guided()
    recipe = dataclasses.replace(recipe, steps=40, cutmix=0, mixup=0, rate=1e-2)
    run = Run(recipe, 0, corpus(), CPU, teacher=teacher)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    losses = [run.advance() for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())


def test_a_new_fit_is_the_best_balanced_classifier_there_is():
    """No small change of it lowers what it was to minimise, counted one picture at a time."""
    run = Run(dataclasses.replace(TINY, steps=4), 0, corpus(), CPU)
    model, train = run.model.eval(), run.corpus.train
    refit(model, train, weight=0.1, smoothing=0.1, size=48)
    head = model.get_classifier()
    views = (F.interpolate(train.pixels[:, :3].float(), (48, 48)) / 255 - 0.5) / 0.5
    with torch.no_grad():
        pooled = torch.cat([embed(model, v)[0] for v in (views, views.flip(3))])
    deviation = pooled.std(0).clamp_min(1e-6)
    label = train.truth.argmax(1).repeat(2)
    share = 1 / torch.bincount(label)[label]

    def objective(weight, bias):
        total = 0.0
        for z, y, s in zip(pooled, label, share / share.sum(), strict=True):
            goal = torch.full((2,), 0.05)
            goal[y] += 0.9
            total -= float(s * (goal * (weight @ z + bias).log_softmax(0)).sum())
        return total + 0.05 * float((weight * deviation).square().sum())

    best = objective(head.weight.detach(), head.bias.detach())
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        step = torch.randn(head.weight.shape, generator=generator) * 0.02 / deviation
        assert objective(head.weight.detach() + step, head.bias.detach()) > best
        assert objective(head.weight.detach(), head.bias.detach() + 0.05 * step[:, 0]) > best - 1e-9


def test_the_rate_rises_falls_and_starts_again():
    run = Run(dataclasses.replace(TINY, steps=100, restarts=(0.6, 0.8)), 0, corpus(), CPU)
    rates = []
    for run.step in range(100):
        rates.append(run.rate / run.recipe.rate)
    assert rates[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert rates[59] < 0.01
    assert rates[60] == rates[80] == pytest.approx(0.5)
    assert rates[79] < 0.01 and rates[-1] < 0.01


def test_blending_ends_and_backdrops_grow_more():
    recipe = dataclasses.replace(
        TINY, steps=10, restarts=(0.4, 0.8), cutmix=0.5, backdrop=0.6, late_backdrop=0.9,
        late_textures=7,
    )  # fmt: skip
    run = Run(recipe, 0, corpus(), CPU)
    found = []
    for run.step in range(10):
        found.append((run._now.cutmix, run._now.backdrop, run._now.textures))
    assert found == [(0.5, 0.6, 5)] * 4 + [(0, 0.6, 5)] * 4 + [(0, 0.9, 7)] * 2
    assert len(run._bank) == 7


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run = Run(TINY, 0, corpus(), CPU)
    run.save(tmp_path / "run.pt")
    with pytest.raises(WeightsError, match="another recipe, seed or data"):
        Run(TINY, 1, corpus(), CPU).resume(tmp_path / "run.pt")
    Run(dataclasses.replace(TINY, title="reworded"), 0, corpus(), CPU).resume(tmp_path / "run.pt")


def test_the_command_writes_a_folder_that_timm_loads(tmp_path, folder, monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, "toy", dataclasses.replace(TINY, steps=2, distill=1.0, refit=0.01))
    monkeypatch.setattr(corpora, "POOL", 48)
    teacher = tmp_path / "teacher"
    save_for_hf(timm.create_model("test_resnet"), str(teacher), safe_serialization=True)
    out = tmp_path / "out"
    command = ["toy", "--data", str(folder), "--teacher", f"local-dir:{teacher}"]
    command += ["--work", str(tmp_path / "work"), "--out", str(out), "--device", "cpu"]

    assert main([*command, "--minutes", "0"]) == 0
    assert "run again" in capsys.readouterr().out
    assert not out.exists()
    assert main(command) == 0
    assert "goes on at step 1" in capsys.readouterr().out

    model = timm.create_model(f"local-dir:{out}", pretrained=True)
    assert model.num_classes == 2
    assert model.conv1[0].weight.dtype == torch.float32
    config = json.loads((out / "config.json").read_text())
    assert config["label_names"] == ["car (side view)", "motorbike"]
    assert config["pretrained_cfg"]["input_size"] == [3, 48, 48]
    card = (out / "README.md").read_text()
    assert f"{config['camviz']['accuracy']:.1%}" in card
    assert str(tmp_path) not in card + json.dumps(config)  # no path of this machine


def test_what_is_wrong_is_said(tmp_path, folder, capsys):
    assert main(["nonsense"]) == 2
    assert "scenes-resnet" in capsys.readouterr().err
    with pytest.raises(ImageError, match=r"list\.csv"):
        load_photographs(tmp_path / "nowhere", 32, 10)
    rows = (folder / "list.csv").read_text()
    (folder / "list.csv").write_text(rows.replace("Motorbikes,1,test", "Motorbikes,1,train"))
    with pytest.raises(ImageError, match="no picture of 'Motorbikes' in split test"):
        load_photographs(folder, 32, 10)
    (folder / "list.csv").write_text(rows.replace("file,", "picture,"))
    with pytest.raises(ImageError, match="columns file, class"):
        load_photographs(folder, 32, 10)
    (folder / "list.csv").write_text(rows)
    (folder / "3.png").write_text("not a picture")
    with pytest.raises(ImageError, match=r"3\.png"):
        load_photographs(folder, 32, 10)
    (folder / "list.csv").write_text("file,class,index,split\na.png,a,1,train\n")
    with pytest.raises(ImageError, match="0, 1, 2"):
        load_photographs(folder, 32, 10)
    with pytest.raises(WeightsError, match="no teacher"):
        load_teacher(f"local-dir:{tmp_path}/nowhere")
    work = tmp_path / "work"
    recipe = RECIPES["photos-resnet"]
    with pytest.raises(WeightsError, match="--teacher"):
        prepare(recipe, folder, None, work, 0, CPU)
    with pytest.raises(ImageError, match="--data"):
        prepare(recipe, None, "local-dir:x", work, 0, CPU)
    assert issubclass(BackboneError, CamvizError)


def test_the_teacher_runs_once(tmp_path, monkeypatch):
    sizes = []

    class Teacher(torch.nn.Module):
        num_features = 3

        def __init__(self):
            super().__init__()
            self.pretrained_cfg = {"mean": (0.0,) * 3, "std": (1.0,) * 3}

        def forward(self, pixels):
            sizes.append(len(pixels))
            return pixels.mean((2, 3))

    monkeypatch.setattr(networks, "load_teacher", lambda where, **options: Teacher())
    pictures = corpus().train
    box = torch.tensor([0.0, 0, 1, 1]).repeat(len(pictures), 2, 1)
    first = embed_views("local-dir:a/b", pictures, box, 64, tmp_path, CPU)
    assert sum(sizes) == 2 * len(pictures)
    again = embed_views("local-dir:c/b", pictures, box, 64, tmp_path, CPU)  # moved, not another
    assert sum(sizes) == 2 * len(pictures)
    assert torch.equal(first, again)
    mean = torch.nn.functional.normalize(pictures.pixels[:, :3].float().mean((2, 3)), dim=1)
    assert torch.allclose(first[:, 0].float(), mean, atol=1e-2)


def test_a_crop_is_what_lies_in_its_box():
    pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    whole = torch.tensor([[0.0, 0, 1, 1], [0, 0, -1, 1]])
    views = crop(pixels, whole, 16)
    assert torch.allclose(views[0], pixels[0] / 255, atol=1e-5)
    assert torch.allclose(views[1], pixels[1].flip(2) / 255, atol=1e-5)
    corner = crop(pixels, torch.tensor([[-0.5, 0.5, 0.5, 0.5]] * 2), 8)
    assert torch.allclose(corner, pixels[:, :, 8:, :8] / 255, atol=1e-5)


def test_boxes_lie_inside():
    box = random_boxes(500, (0.2, 1.0), torch.Generator().manual_seed(0))
    assert ((box[:, :2].abs() + box[:, 2:]) <= 1 + 1e-6).all()
    assert (box[:, 2:] > 0).all()


def test_textures_are_drawn_by_rule():
    bank = draw_textures(12, seed=1, size=48)
    assert bank.shape == (12, 3, 48, 48)
    assert bank.dtype == torch.uint8
    assert torch.equal(bank, draw_textures(12, seed=1, size=48))
    assert not torch.equal(bank, draw_textures(12, seed=2, size=48))
    assert bank.float().flatten(1).std(1).min() > 1


def test_a_studio_wall_is_found_and_a_meadow_is_not():
    picture = np.full((80, 80, 3), 250, np.uint8)
    picture[20:60, 20:60] = (200, 30, 30)
    wall = studio_wall(picture) > 0
    assert wall[:15].all()
    assert not wall[25:55, 25:55].any()
    meadow = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    assert not studio_wall(meadow).any()
    assert not studio_wall(np.full((80, 80, 3), 250, np.uint8)).any()  # nothing stands before it


def test_only_the_wall_is_replaced():
    recipe = dataclasses.replace(TINY, backdrop=1.0, turn=0.0)
    pictures = corpus(2)
    box = torch.tensor([[0.0, 0, 1, 1]]).repeat(8, 1)
    index = torch.zeros(8, dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    views = augment(pictures.train, index, box, 64, recipe, generator, draw_textures(5, 0, 64))
    assert views.shape == (8, 3, 64, 64)
    assert views.min() >= 0 and views.max() <= 1
    inside, outside = views[:, :, 24:40, 24:40], views[:, :, :8]
    assert inside.flatten(2).std(2).max() < 1e-3  # the thing is still of one colour
    assert outside.flatten(2).std(2).max() > 0.02


def test_blending_keeps_the_books():
    picture = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        recipe = dataclasses.replace(TINY, cutmix=0.5, mixup=0.5)
        mixed, partner, share = blend(picture, recipe, generator)
        own, other = picture[:, 0, 0, 0], picture[partner, 0, 0, 0]
        expected = share * own + (1 - share) * other
        assert torch.allclose(mixed[:, 0].mean((1, 2)), expected, atol=1e-4)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_are_in_order(name):
    recipe = RECIPES[name]
    assert sum(share for share, _ in recipe.sizes) == pytest.approx(1)
    with torch.device("meta"):
        model = build(recipe, 41 if recipe.pictures == "photos" else 16)
    most = 3.0e6 if recipe.pictures == "photos" else 1.5e6  # 6 and 3 MB in half precision
    assert sum(p.numel() for p in model.parameters()) <= most
    assert recipe.limits


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_bundled_cards_agree_with_their_config(name):
    folder = MODELS / name
    config = json.loads((folder / "config.json").read_text())
    card = (folder / "README.md").read_text()
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert model.num_classes == len(config["label_names"]) == len(set(config["label_names"]))
    assert config["architecture"] == RECIPES[name].architecture
    assert config["camviz"]["name"] == name
    assert f"{config['camviz']['accuracy']:.1%} of {config['camviz']['held_out']}" in card
    assert f"{config['camviz']['balanced_accuracy']:.1%}" in card
    least = {"photos-resnet": 0.88, "scenes-vit": 0.85}.get(name, 0.97)
    figure = "balanced_accuracy" if name == "photos-resnet" else "accuracy"
    assert config["camviz"][figure] >= least
    assert RECIPES[name].history in card
    assert all(f"| {label} |" in card for label in config["label_names"])
    assert (folder / "model.safetensors").stat().st_size < (6e6 if "photos" in name else 3e6)


def test_the_score_is_of_the_pictures_it_is_given():
    class Reader(torch.nn.Module):
        """Says 1 of a bright picture, 0 of a dark one."""

        def forward(self, pixels):
            bright = pixels.mean((1, 2, 3))
            return torch.stack([-bright, bright], 1)

    shade = torch.tensor([0, 0, 0, 255, 255]).to(torch.uint8)
    pixels = shade.view(5, 1, 1, 1).expand(5, 4, 8, 8)
    truth = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    found = score(Reader(), Pictures(pixels, truth), CPU)
    assert found.overall == pytest.approx(0.8) and found.count == 5
    assert found.by_class == pytest.approx((1, 2 / 3))
    assert found.balanced == pytest.approx(5 / 6)


def test_the_bundled_network_knows_scenes_it_was_never_scored_on():
    """Another seed than the held-out scenes of its card."""
    model = timm.create_model(f"local-dir:{MODELS / 'scenes-resnet'}", pretrained=True)
    scenes = [
        draw_scene(99, i, size=128, backgrounds=HELD_OUT_BACKGROUNDS, two_objects=0.0)
        for i in range(64)
    ]
    pixels = np.zeros((64, 4, 128, 128), np.uint8)
    for place, scene in zip(pixels, scenes, strict=True):
        place[:3] = np.asarray(scene.image).transpose(2, 0, 1)
    labels = [SCENE_CLASSES.index(scene.objects[0].label) for scene in scenes]
    truth = torch.eye(len(SCENE_CLASSES))[labels]
    assert score(model, Pictures(torch.from_numpy(pixels), truth), CPU).overall >= 0.9
