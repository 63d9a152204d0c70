"""A training run: its steps and its checkpoints."""

import json
import math
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camviz.errors import WeightsError
from training.augmentation import augment, blend, draw_textures, random_boxes
from training.corpus import Corpus
from training.networks import MEAN, STD, Network, build, embed, stage_maps
from training.recipes import Recipe


@dataclass
class Run:
    """One training run: the state that a checkpoint holds, and the step."""

    recipe: Recipe
    seed: int
    corpus: Corpus
    device: torch.device
    box: Tensor | None = None  # (N, V, 4), the views that the teacher embedded
    lesson: Tensor | None = None  # (N, V, E), the embeddings
    teacher: Network | None = None  # one that gets every picture along with the student
    step: int = 0
    seconds: float = 0.0
    model: Network = field(init=False)
    average: Network = field(init=False)
    bridge: Any = field(init=False)  # from the student's embedding to the teacher's
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = build(self.recipe, len(self.corpus.labels))
            width = 0 if self.lesson is None else self.lesson.shape[-1]
            bridge: Any = nn.Linear(model.num_features, width) if width else nn.Identity()
            if self.teacher is not None:
                ours = [model.feature_info[k]["num_chs"] for k in self.recipe.guided]
                theirs = [stage["num_chs"] for stage in self.teacher.feature_info[-3:]]
                pairs = zip(ours, theirs, strict=True)
                bridge = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in pairs)
        for module in model.modules():
            if self.device.type == "cpu" and hasattr(module, "fused_attn"):
                module.fused_attn = False  # its backward pass takes twice as long there
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.average = deepcopy(self.model).eval()
        self.bridge = bridge.to(self.device)
        every = [*self.model.parameters(), *self.bridge.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in every if p.ndim >= 2]},
            {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},  # biases and norms
        ]
        self.optimizer = torch.optim.AdamW(groups, self.recipe.rate, weight_decay=self.recipe.decay)
        count = max(self.recipe.textures, self.recipe.late_textures)
        self._bank = draw_textures(count, self.seed).to(self.device) if count else None
        # Every class equally often, whatever the number of its pictures.
        truth = self.corpus.train.truth
        self._weights = truth @ (1 / truth.sum(0).clamp(min=1))

    @property
    def fingerprint(self) -> str:
        """Equal for two runs if one can go on from a checkpoint of the other."""
        width = 0 if self.lesson is None else self.lesson.shape[-1]
        if self.teacher is not None:
            width = self.teacher.num_features
        recipe = asdict(replace(self.recipe, title="", history="", limits="", refit=0.0))
        return json.dumps([recipe, self.seed, self.corpus.train.checksum, width])

    @property
    def size(self) -> int:
        """The side of the training pictures at this step, in pixels."""
        progress, until = self.step / self.recipe.steps, 0.0
        for share, size in self.recipe.sizes:
            until += share
            if progress < until - 1e-9:
                return size
        return self.recipe.size

    @property
    def rate(self) -> float:
        """Warm-up, then one cosine, or more (Loshchilov & Hutter, "SGDR", ICLR 2017)."""
        recipe, starts = self.recipe, [0, *self._restarts, self.recipe.steps]
        cycle = max(k for k, start in enumerate(starts[:-1]) if self.step >= start)
        start, end = starts[cycle : cycle + 2]
        warm = 0 if cycle else max(1, recipe.steps // 20)
        progress = max(0, self.step - start - warm) / max(1, end - start - warm)
        fallen = (1 + math.cos(math.pi * progress)) / 2
        return recipe.rate * (fallen / 2 if cycle else min((self.step + 1) / warm, fallen))

    @property
    def _restarts(self) -> list[int]:
        return [round(share * self.recipe.steps) for share in self.recipe.restarts]

    @property
    def _now(self) -> Recipe:
        """The recipe as it holds at this step."""
        recipe, restarts = self.recipe, self._restarts
        if restarts and self.step >= restarts[0]:
            recipe = replace(recipe, cutmix=0.0, mixup=0.0)
        if restarts and self.step >= restarts[-1]:
            recipe = replace(
                recipe,
                backdrop=recipe.late_backdrop or recipe.backdrop,
                textures=recipe.late_textures or recipe.textures,
            )
        return recipe

    def advance(self) -> float:
        """One step; returns the loss."""
        recipe, train = self._now, self.corpus.train
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate

        index = torch.multinomial(
            self._weights, recipe.batch, replacement=True, generator=generator
        )
        if self.box is None or self.lesson is None:
            box, lesson = random_boxes(recipe.batch, recipe.area, generator), None
        else:
            view = torch.randint(self.box.shape[1], (recipe.batch,), generator=generator)
            box = self.box[index, view]
            lesson = self.lesson[index, view].float().to(self.device)
        behind = None if self._bank is None else self._bank[: recipe.textures]
        picture = augment(train, index, box, self.size, recipe, generator, behind)
        picture, partner, share = blend(picture, recipe, generator)
        truth = train.truth[index].to(self.device)
        truth = share * truth + (1 - share) * truth[partner]
        truth = truth * (1 - recipe.smoothing) + recipe.smoothing / truth.shape[1]

        self.model.train()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # drop-path draws from the global generator
            torch.manual_seed(self.seed * 1_000_003 + self.step)
            pixels = ((picture - MEAN) / STD).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16):
                if self.teacher is None:
                    pooled, logits = embed(self.model, pixels)
                    guess = self.bridge(pooled)
                else:
                    last, maps = stage_maps(self.model, pixels, recipe.guided)
                    logits = self.model.forward_head(last)
        loss = F.cross_entropy(logits.float(), truth)
        if self.teacher is not None:
            loss = loss + self._guidance(self.teacher, picture, logits.float(), maps)
        if lesson is not None:
            lesson = share * lesson + (1 - share) * lesson[partner]
            agreement = F.cosine_similarity(guess.float(), lesson)
            loss = loss + recipe.distill * (1 - agreement).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1

        keep = min(recipe.averaging, self.step / (self.step + 10))
        with torch.no_grad():
            now = self.model.state_dict()
            for name, mean in self.average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(now[name], 1 - keep)
                else:
                    mean.copy_(now[name])
        return loss.item()

    def _guidance(
        self, teacher: Network, picture: Tensor, logits: Tensor, maps: list[Tensor]
    ) -> Tensor:
        """The distance of the student's prediction and maps from the teacher's."""
        normal = teacher.pretrained_cfg
        mean, std = (picture.new_tensor(normal[k]).view(3, 1, 1) for k in ("mean", "std"))
        pixels = ((picture - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            last, wanted = stage_maps(teacher, pixels, 3)
            goal = teacher.forward_head(last).float()
        loss = F.kl_div(logits.log_softmax(1), goal.softmax(1), reduction="batchmean")
        for bridge, ours, theirs in zip(self.bridge, maps, wanted, strict=True):
            # Each channel with mean 0 and deviation 1: or most of the cosine is the mean.
            theirs = F.batch_norm(theirs.float(), None, None, training=True)
            guess = bridge(F.adaptive_avg_pool2d(ours.float(), (theirs.shape[2], theirs.shape[3])))
            apart = 1 - F.cosine_similarity(guess, theirs, dim=1).mean()
            loss = loss + self.recipe.guide * apart
        return loss

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "fingerprint": self.fingerprint,
                "step": self.step,
                "seconds": self.seconds,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "bridge": self.bridge.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            partial,
        )
        partial.replace(path)  # never half a checkpoint

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint. Raises `WeightsError` if it is of another run."""
        kept = torch.load(path, map_location=self.device, weights_only=True)
        if kept["fingerprint"] != self.fingerprint:
            raise WeightsError(
                f"{path} belongs to another recipe, seed or data set; give another --work, or "
                "delete it to start again"
            )
        self.step, self.seconds = kept["step"], kept["seconds"]
        for name in ("model", "average", "bridge", "optimizer"):
            getattr(self, name).load_state_dict(kept[name])

    def train(self, path: Path, minutes: float = math.inf, every: float = 180.0) -> bool:
        """Go on until all steps are done (True) or time is up (False); checkpoints at `path`."""
        start = saved = printed = time.monotonic()
        before, since, losses = self.seconds, self.step, []
        while self.step < self.recipe.steps:
            losses.append(self.advance())
            now = time.monotonic()
            self.seconds = before + now - start
            if now - printed > 30:
                speed = (self.step - since) * self.recipe.batch / (now - printed)
                print(
                    f"step {self.step} of {self.recipe.steps}, {self.size} px, "
                    f"loss {np.mean(losses):.3f}, {speed:.0f} pictures/s, "
                    f"{self.seconds / 60:.1f} min",
                    flush=True,
                )
                printed, since, losses = now, self.step, []
            if now - saved > every:
                self.save(path)
                saved = now
            if now - start > 60 * minutes:
                break
        self.save(path)
        return self.step >= self.recipe.steps
