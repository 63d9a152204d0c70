"""The results of a run: its classifier fitted anew, its score, its folder and its model card."""

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from camviz.network import torchvision_ops  # noqa: F401  before timm, so that torchvision can be imported
from training.corpus import Pictures
from training.networks import MEAN, STD, Network, embed, short_name
from training.run import Run

import timm  # isort: skip
from timm.models import save_for_hf  # isort: skip


@dataclass(frozen=True)
class Score:
    """Accuracy on held-out pictures; `balanced` is the mean over the classes."""

    overall: float
    by_class: tuple[float, ...]
    count: int

    @property
    def balanced(self) -> float:
        """The mean accuracy of the classes."""
        return float(np.mean(self.by_class))


def score(model: Network, pictures: Pictures, device: torch.device) -> Score:
    """In single precision, each picture once: no flips, no crops."""
    model = model.eval().to(device)
    truth = pictures.truth.argmax(1)
    guesses = []
    with torch.inference_mode():
        for pixels in pictures.pixels.split(32):
            guesses.append(model((pixels[:, :3].to(device).float() / 255 - MEAN) / STD).argmax(1))
    right = (torch.cat(guesses).cpu() == truth).float()
    by_class = [right[truth == k].mean().item() for k in range(pictures.truth.shape[1])]
    return Score(right.mean().item(), tuple(by_class), len(pictures))


def refit(model: Network, train: Pictures, weight: float, smoothing: float, size: int) -> None:
    """Fit the linear classifier anew, in place, on features as they are at the end.

        min  mean_c mean_(i in c) CE(softmax(V z_i + b), y_i) + weight / 2 * |V|^2

    z is the pooled embedding with mean 0 and deviation 1 in each entry. While the features were
    still moving, blended and cropped, the classifier could only follow; and the mean over classes
    lets those with few pictures count as much as those with many.
    """
    with torch.inference_mode():
        pooled = []
        for pixels in train.pixels.split(64):
            scaled = (F.interpolate(pixels[:, :3].cpu().float(), (size, size)) / 255 - MEAN) / STD
            pooled += [embed(model, picture)[0] for picture in (scaled, scaled.flip(3))]
    features = torch.cat(pooled).clone()
    truth = train.truth.cpu()
    label = torch.cat([part.argmax(1).repeat(2) for part in truth.split(64)])
    mean, deviation = features.mean(0), features.std(0).clamp_min(1e-6)
    features = (features - mean) / deviation
    importance = 1 / torch.bincount(label, minlength=truth.shape[1]).clamp_min(1)[label]
    importance = importance / importance.mean()
    matrix = torch.zeros(truth.shape[1], features.shape[1], requires_grad=True)
    offset = torch.zeros(truth.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([matrix, offset], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        logits = features @ matrix.T + offset
        each = F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)
        total = (each * importance).mean() + weight / 2 * matrix.square().sum()
        total.backward()
        return total

    solver.step(loss)
    head = model.get_classifier()
    with torch.no_grad():
        head.weight.copy_(matrix / deviation)
        head.bias.copy_(offset - (matrix / deviation) @ mean)


def write(run: Run, out: Path, name: str, teacher: str | None) -> Score:
    """The finished backbone as a `local-dir:` folder. What is scored is what was written."""
    recipe, size = run.recipe, run.recipe.size
    model = deepcopy(run.average).cpu().to(memory_format=torch.contiguous_format)
    if recipe.refit:
        refit(model, run.corpus.train, recipe.refit, recipe.smoothing, size)
    model = model.half()
    save_for_hf(
        model,
        str(out),
        model_config={"label_names": list(run.corpus.labels)},
        model_args=dict(recipe.model_args),
        safe_serialization=True,
        data_config={
            "input_size": (3, size, size),
            "mean": (MEAN,) * 3,
            "std": (STD,) * 3,
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "interpolation": "bicubic",
        },
    )
    final = score(
        timm.create_model(f"local-dir:{out}", pretrained=True), run.corpus.test, run.device
    )
    path = out / "config.json"
    config = json.loads(path.read_text())
    for key in ("license", "tag", "origin_url", "paper_ids", "label_descriptions"):
        config["pretrained_cfg"].pop(key, None)  # those of the weights timm would have fetched
    config["pretrained_cfg"] |= {"tag": name, "license": "apache-2.0"}
    config["camviz"] = {
        "name": name,
        "title": recipe.title,
        "accuracy": round(final.overall, 4),
        "balanced_accuracy": round(final.balanced, 4),
        "held_out": final.count,
        "seed": run.seed,
    }
    path.write_text(json.dumps(config, indent=2) + "\n")
    (out / "README.md").write_text(card(run, name, teacher, final, out))
    return final


_TEACHERS = {
    "scenes-resnet": "of camviz itself",
    "mobilenetv2_100.tf2_ptq_in1k": "the quantised TFLite MobileNetV2 of google-coral/test_data, "
    "commit 104342d, its weights de-quantised, Apache-2.0",
    "mobilenetv1_100.tf1_qat_in1k": "the quantised TFLite MobileNetV1 of google-coral/test_data, "
    "commit 104342d, its weights de-quantised, Apache-2.0",
}


_KNOWN = {
    "photos": "a plain wall that reaches in from the border",
    "scenes": "by the exact masks",
}


def card(run: Run, name: str, teacher: str | None, final: Score, out: Path) -> str:
    """The model card. Every figure in it comes from the run."""
    recipe, labels = run.recipe, run.corpus.labels
    count = sum(p.numel() for p in run.average.parameters())
    megabytes = (out / "model.safetensors").stat().st_size / 1e6
    sizes = ", ".join(f"{share:.0%} of the steps at {size} px" for share, size in recipe.sizes)
    tricks = [
        f"crops of {recipe.area[0]:.0%} to {recipe.area[1]:.0%} of the picture, mirrored half the "
        f"time, turned by {recipe.turn} rad (standard deviation)",
        "random saturation, contrast, brightness and tint; some pictures grey, some blurred",
    ]
    last = recipe.restarts[-1] if recipe.restarts else 1.0
    late = f" ({recipe.late_backdrop:.0%} after {last:.0%} of the steps)"
    late *= bool(recipe.late_backdrop)
    if recipe.backdrop:
        tricks.append(
            f"what is known to be background ({_KNOWN[recipe.pictures]}) is replaced "
            f"{recipe.backdrop:.0%} of the time{late} by coloured clouds"
            + ", drawn bricks, stripes and blobs" * bool(recipe.textures)
            + " or the corner of another picture, so that the network has to look at the thing"
        )
    if recipe.cutmix or recipe.mixup:
        tricks.append(
            f"CutMix in {recipe.cutmix:.0%} and MixUp in {recipe.mixup:.0%} of the batches"
            + (f" of the first {recipe.restarts[0]:.0%} of the steps" if recipe.restarts else "")
        )
    if teacher is not None:
        known = short_name(teacher)
        about = f"`{known}` ({_TEACHERS.get(known, 'given by whoever ran this')})"
        tricks.append(
            f"guided by {about}, which looks at every picture along with it: cosine to its last "
            f"three maps, place by place, weight {recipe.guide}, and Kullback-Leibler divergence "
            "from its answer, weight 1"
            if recipe.guide
            else f"distilled from {about}: cosine to its embedding of the same crop "
            f"({recipe.views} of each picture, at {recipe.teacher_size} px), weight "
            f"{recipe.distill}"
        )
    if recipe.refit:
        tricks.append(
            "at the end the classifier was fitted anew, by L-BFGS, on the final embedding of the "
            f"training pictures and their mirror images, squared norm {recipe.refit}, classes "
            "equally important"
        )
    command = f"python -m training {name} --seed {run.seed}"
    command += " --data FOLDER" if recipe.pictures == "photos" else ""
    command += f" --teacher local-dir:PATH/{short_name(teacher)}" if teacher is not None else ""
    counts = run.corpus.test.truth.sum(0)
    again = " and ".join(f"{share:.0%}" for share in recipe.restarts)
    cosine = f"another cosine after {again}" if again else "one cosine"
    order = sorted(range(len(labels)), key=lambda k: (final.by_class[k], labels[k]))
    rows = "\n".join(f"| {labels[k]} | {final.by_class[k]:.1%} |" for k in order)
    bullets = "\n".join(f"- {trick}" for trick in tricks)
    return f"""---
library_name: timm
license: apache-2.0
tags: [image-classification, timm, camviz]
---

# {name}: {recipe.title}

| | |
|---|---|
| architecture | timm `{recipe.architecture}`, `{json.dumps(recipe.model_args)}` |
| parameters | {count / 1e6:.2f} M, {megabytes:.2f} MB in half precision |
| input | {recipe.size} x {recipe.size}, the whole picture stretched, mean and std {MEAN} |
| classes | {len(labels)} |
| accuracy | {final.overall:.1%} of {final.count} held-out pictures |
| balanced accuracy | {final.balanced:.1%}, the mean over the classes |

```python
timm.create_model("local-dir:assets/models/{name}", pretrained=True)
camviz.load_backbone("{name}")
```

## Training

From random weights, on {run.corpus.about}

{recipe.steps} steps of {recipe.batch} pictures ({sizes}), classes equally often; AdamW, rate
{recipe.rate}, {cosine}, weight decay {recipe.decay}, label smoothing {recipe.smoothing}; what ships
is the running average of the weights ({recipe.averaging}). bfloat16 autocast, seed {run.seed},
{run.seconds / 60:.0f} minutes of steps on {_machine(run.device)}. No held-out picture was trained
on, and the last weights of a run are those that ship. {recipe.history}

{bullets}

Again: `{command}`

## Limits

{recipe.limits}

## Accuracy by class, hardest first

A class has {counts.min():.0f} to {counts.max():.0f} held-out pictures: in the smallest, one picture
is {1 / counts.min().item():.1%}.

| class | held-out accuracy |
|---|---|
{rows}
"""


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"a CPU, {torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1)
