"""Student and teacher networks, their embeddings and maps."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from camviz.errors import WeightsError
from camviz.network import torchvision_ops  # noqa: F401  before timm, so that torchvision can be imported
from training.augmentation import crop
from training.corpus import Pictures
from training.recipes import Recipe

import timm  # isort: skip


MEAN = STD = 0.5  # of every student; a teacher brings its own

Network = Any  # a timm classifier; nn.Module has no forward_head and get_classifier


def short_name(where: str) -> str:
    """The name of a model without its folder: no path of this machine goes into a card."""
    return where.rstrip("/").rsplit("/", 1)[-1].removeprefix("local-dir:")


def load_teacher(where: str, **options: Any) -> Network:
    """A frozen network with its weights. Raises `WeightsError` if it cannot be had."""
    try:
        return timm.create_model(where, pretrained=True, **options).eval().requires_grad_(False)
    except (RuntimeError, OSError, ValueError, AssertionError) as error:
        raise WeightsError(
            f"no teacher at {where!r} ({error}); give local-dir:PATH or a timm name with weights"
        ) from error


def embed_views(
    where: str, pictures: Pictures, box: Tensor, size: int, work: Path, device: torch.device
) -> Tensor:
    """The teacher's embedding of every view: unit vectors, (N, V, E), half precision.

    box: (N, V, 4). Computed once before the training, and kept in `work`: the teacher costs more
    than the student, and its embedding serves for every light and every backdrop.
    """
    description = f"{short_name(where)} at {size} of {pictures.checksum}"
    key = zlib.crc32(box.numpy().tobytes(), zlib.crc32(description.encode()))
    path = work / f"views-{key:08x}.npy"
    done_path = path.with_suffix(".json")
    teacher = load_teacher(where, num_classes=0).to(device, memory_format=torch.channels_last)
    normal = teacher.pretrained_cfg
    mean, std = (torch.tensor(normal[k]).view(3, 1, 1).to(device) for k in ("mean", "std"))
    shape = (*box.shape[:2], teacher.num_features)
    done = json.loads(done_path.read_text()) if done_path.exists() else 0
    work.mkdir(parents=True, exist_ok=True)
    kept = np.lib.format.open_memmap(
        path, "r+" if done else "w+", np.float16, None if done else shape
    )
    at_once = max(1, 32 // shape[1])
    for start in range(done, len(pictures), at_once):
        some = slice(start, start + at_once)
        views = box[some]
        each = pictures.pixels[some, :3].repeat_interleave(shape[1], 0)
        cropped = (crop(each, views.flatten(0, 1), size) - mean) / std
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            embedding = teacher(cropped.contiguous(memory_format=torch.channels_last))
        unit = F.normalize(embedding.float(), dim=1)
        kept[some] = unit.view(len(views), *shape[1:]).cpu()
        if start // at_once % 100 == 99:
            kept.flush()
            done_path.write_text(json.dumps(some.stop))
            print(f"teacher: {some.stop} of {len(pictures)} pictures", flush=True)
    kept.flush()
    done_path.write_text(json.dumps(len(pictures)))
    return torch.from_numpy(kept)


def embed(model: Network, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The pooled embedding, (N, E), and the logits, (N, K)."""
    pooled = model.forward_head(model.forward_features(pixels), pre_logits=True)
    return pooled, model.get_classifier()(pooled)


def stage_maps(
    model: Network, pixels: Tensor, which: int | tuple[int, ...]
) -> tuple[Tensor, list[Tensor]]:
    """The map that enters the head, and (N, C, h, w) maps before it: these, or the last so many."""
    last, maps = model.forward_intermediates(
        pixels, indices=which if isinstance(which, int) else list(which), output_fmt="NCHW"
    )
    return last, maps


def build(recipe: Recipe, classes: int) -> Network:
    """The student of a recipe, with random weights."""
    return timm.create_model(
        recipe.architecture, pretrained=False, num_classes=classes, **recipe.model_args
    )
