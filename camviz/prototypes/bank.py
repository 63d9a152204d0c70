"""A bank of prototypes of one class of one network, and its file format."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camviz.errors import PrototypeError
from camviz.network.backbone import Backbone
from camviz.network.bundled import bundled_folder, bundled_names
from camviz.network.names import display_name
from camviz.network.taps import Tap
from camviz.network.tensor_file import (
    TensorRow,
    read_described,
    reading_description,
    write_described,
)
from camviz.prototypes.checks import check_bank
from camviz.prototypes.prototype import (
    MEMBERS,
    MOST_CLUSTERS,
    THUMBNAIL,
    BankSource,
    Member,
    Prototype,
    StagePrototypes,
)

CLUSTERS = 12
TAU = 0.25
PAPER_TAU = 0.1
MU_FOREGROUND = MU_CONTEXT = 0.9
MOST_HEADER = 4_000_000  # bytes; those of the largest banks have a tenth of it
_KEY = "camviz.prototypes"
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class PrototypeBank:
    """Prototypes of one class of one network, with everything needed to use and to assess them.

    backbone: its display name; digest: its weights. stages: per stage its prototypes, shallow to
    deep. tau: the share of the CAM's maximum that makes a place foreground. tap, fit: how the
    pictures were traced. split: the method whose map split them. source: where the pictures came
    from ("picture": the explained picture alone, which is not the paper's method). skipped: (name,
    reason) of pictures that were left out. normalisation: of the pictures, see `Backbone`; "" if
    it is not known. Banks are never changed; `rename` and `keep` return
    another one.
    """

    backbone: str
    digest: str
    target: int
    label: str
    stages: Mapping[str, StagePrototypes]
    clusters: int
    tau: float
    mu_f: float
    mu_b: float
    seed: int
    tap: str
    fit: str
    split: Literal["cam", "grad_cam"]
    source: BankSource
    pictures: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    normalisation: str = ""

    @property
    def id(self) -> str:
        """A hash of the vectors in use: equal for equal prototypes."""
        digest = hashlib.blake2b(f"{self.digest} {self.target}".encode(), digest_size=8)
        for name, stage in self.stages.items():
            digest.update(name.encode())
            for kind in ("foreground", "context"):
                digest.update(stage.kept(kind).contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def is_paper_setting(self) -> bool:
        """Whether this is the paper's own setting: many pictures, the last map, tau 0.1, CAM."""
        only = list(self.stages.values())
        return (
            self.source != "picture"
            and self.split == "cam"
            and self.tau == PAPER_TAU
            and [stage.scoring for stage in only] == ["head"]
        )

    @property
    def summary(self) -> dict[str, Any]:
        """The settings and counts of the bank, in plain values."""
        return {
            "id": self.id,
            "source": self.source,
            "label": self.label,
            "pictures": len(self.pictures),
            "split": self.split,
            "papers": self.is_paper_setting,
            **{key: getattr(self, key) for key in ("clusters", "tau", "mu_f", "mu_b", "seed")},
            "kept": {
                name: [len(stage.kept("foreground")), len(stage.kept("context"))]
                for name, stage in self.stages.items()
            },
        }

    @property
    def table(self) -> dict[str, Any]:
        """Everything but vectors and thumbnails, in plain values."""
        plain = {key: value for key, value in vars(self).items() if key != "stages"}
        return {
            **self.summary,
            **plain,
            "stages": {
                name: {
                    "scoring": stage.scoring,
                    "relaxed": stage.relaxed,
                    "channels": stage.vectors.shape[1],
                    "prototypes": [asdict(prototype) for prototype in stage.prototypes],
                }
                for name, stage in self.stages.items()
            },
        }

    def sentences(self, name: str) -> list[str]:
        """Notes on the prototypes at a stage, for a map made with them."""
        stage = self.stage(name)
        inside, outside = len(stage.kept("foreground")), len(stage.kept("context"))
        method = "CAM" if self.split == "cam" else "Grad-CAM"
        sentences = [
            f"{inside} prototype{'' if inside == 1 else 's'} of '{self.label}' and {outside} of "
            f"what surrounds it, split where {method} reaches {self.tau:.0%}."
        ]
        if self.source == "picture":
            sentences.append(
                "Prototypes of this picture alone, mirrored and enlarged: not the paper's method, "
                "which learns from many."
            )
        else:
            count = len(self.pictures)
            sentences.append(f"Learned from {count} picture{'' if count == 1 else 's'}.")
        if self.is_paper_setting:
            sentences.append("The paper's setting, at one scale of its four and without mirroring.")
        if self.split == "grad_cam":
            sentences.append(
                "Approximate: no CAM is defined here, and the classifier scored no prototype."
            )
        if stage.scoring == "none" and self.split == "cam":
            sentences.append(
                "Not scored: the network gives values, not probabilities, so all were kept."
            )
        if stage.relaxed:
            sentences.append(
                f"The classifier is sure of none of them (z > {self.mu_f:g}); the best was kept."
            )
        if not inside:
            sentences.append("Every prototype of the class was left out.")
        return sentences

    def check(self, backbone: Backbone) -> None:
        """Raise `PrototypeError` if these are prototypes of another network than this one, or of
        layers or classes that it does not have.
        """
        what = backbone.differs_from(self.digest, self.backbone, self.normalisation)
        if what is not None:
            raise PrototypeError(
                f"these prototypes of '{self.label}' are {what}; directions in one network's "
                "feature space mean nothing in another's: build them again with this one"
            )
        if self.target >= len(backbone.labels):
            raise PrototypeError(
                f"these prototypes are of class {self.target}, and {backbone.display_name} has "
                f"{len(backbone.labels)}; build them again"
            )
        modules = {name for name, _ in backbone.model.named_modules()}
        own = modules | {stage.name for stage in backbone.stages}
        for name, held in self.stages.items():
            channels = held.vectors.shape[1]
            if name not in own or self._tap(backbone, name).channels != channels:
                raise PrototypeError(
                    f"these prototypes are of a layer '{name}' of {channels} channels, and "
                    f"{backbone.display_name} has none; build them again"
                )

    def _tap(self, backbone: Backbone, stage: str) -> Tap:
        return backbone.stage(stage).tap("output" if self.tap == "output" else "activation")

    def stage(self, name: str) -> StagePrototypes:
        """The prototypes of a stage; `PrototypeError` if there are none."""
        if name not in self.stages:
            raise PrototypeError(
                f"there are prototypes of '{self.label}' at {', '.join(self.stages)}, none at "
                f"'{name}'; build them with that stage"
            )
        return self.stages[name]

    def rename(self, stage: str, index: int, name: str) -> "PrototypeBank":
        """The same bank with a name given to a prototype."""
        return self._with(stage, index, name=name)

    def keep(self, stage: str, index: int, kept: bool = True) -> "PrototypeBank":
        """The same bank with a prototype taken into the map, or left out of it."""
        return self._with(stage, index, kept=kept)

    def _with(self, stage: str, index: int, **change: Any) -> "PrototypeBank":
        held = self.stage(stage)
        if not 0 <= index < len(held.prototypes):
            raise PrototypeError(
                f"no prototype {index} at '{stage}'; there are 0 to {len(held.prototypes) - 1}"
            )
        prototypes = list(held.prototypes)
        prototypes[index] = replace(prototypes[index], **change)
        changed = replace(held, prototypes=tuple(prototypes))
        return replace(self, stages={**self.stages, stage: changed})

    def save(self, file: str | Path, *, compact: bool = False) -> Path:
        """Write one .safetensors file: vectors and thumbnails, everything else in its header.

        compact: vectors in half precision, which changes cosines by less than 0.001.
        """
        tensors = {}
        stages = {}
        for name, stage in self.stages.items():
            vectors = stage.vectors.contiguous()
            half = vectors.half()
            fits = compact and bool(torch.isfinite(half).all())
            tensors[f"{name}/vectors"] = half if fits else vectors
            if stage.thumbnails is not None:
                tensors[f"{name}/thumbnails"] = _encode_thumbnails(stage.thumbnails)
            stages[name] = {
                "scoring": stage.scoring,
                "relaxed": stage.relaxed,
                "prototypes": [
                    {**vars(p), "members": [list(vars(m).values()) for m in p.members]}
                    for p in stage.prototypes
                ],
            }
        plain = {key: value for key, value in vars(self).items() if key != "stages"}
        path = Path(file)
        write_described(
            path,
            _KEY,
            {"format": _FORMAT, **plain, "stages": stages},
            tensors,
            lambda why: PrototypeError(f"prototypes cannot be written to '{path}': {why}"),
        )
        return path

    @classmethod
    def load(cls, file: str | Path) -> "PrototypeBank":
        """The bank that `save` wrote. Nothing is unpickled.

        Older files are read too: they name a backbone by what loaded it, which may be a path, and
        call the source "self". Raises `PrototypeError` if it is no such file.
        """
        path = Path(file)
        if not path.is_file():
            raise PrototypeError(f"there is no file '{path}' with prototypes; check the path")
        header, tensors = read_described(
            path,
            _KEY,
            MOST_HEADER,
            lambda rows: [name for name, row in rows.items() if _is_of_bank(name, row)],
            PrototypeError,
        )
        if header is None:
            raise PrototypeError(
                f"'{path.name}' holds tensors but no prototypes; camviz's `prototypes build` "
                "writes such files"
            )
        with reading_description(f"the prototypes in '{path.name}'", PrototypeError):
            plain = json.loads(header)
            version = plain.pop("format")
            if version != _FORMAT:
                raise PrototypeError(
                    f"'{path.name}' was written in format {version}, and this camviz reads format "
                    f"{_FORMAT}; build the prototypes again"
                )
            stages = {
                name: _read_stage(
                    row, tensors[f"{name}/vectors"], tensors.get(f"{name}/thumbnails")
                )
                for name, row in plain.pop("stages").items()
            }
            plain["pictures"] = tuple(plain["pictures"])
            plain["backbone"] = display_name(plain["backbone"])
            if plain["source"] == "self":
                plain["source"] = "picture"
            plain["skipped"] = tuple((name, reason) for name, reason in plain["skipped"])
            bank = cls(stages=stages, **plain)
            check_bank(bank)
            return bank


def _is_of_bank(name: str, row: TensorRow) -> bool:
    """Whether a tensor of a file is one that a bank has, as far as its header says.

    Raises ValueError for one by such a name that cannot be.
    """
    if name.endswith("/thumbnails"):
        if row.dtype != "U8" or len(row.shape) != 1:
            raise ValueError(f"thumbnails of {row.dtype} {row.shape}")
        return True
    if not name.endswith("/vectors"):
        return False
    if row.dtype not in ("F16", "F32") or len(row.shape) != 2 or row.shape[0] > 2 * MOST_CLUSTERS:
        raise ValueError(f"vectors of {row.dtype} {row.shape}")
    return True


def _read_stage(row: dict[str, Any], vectors: Tensor, packed: Tensor | None) -> StagePrototypes:
    prototypes = []
    for given in row["prototypes"]:
        members = tuple(
            Member(picture, (line, column), (left, top, right, bottom), similarity)
            for picture, (line, column), (left, top, right, bottom), similarity in given["members"]
        )
        prototypes.append(Prototype(**{**given, "members": members}))
    if vectors.ndim != 2 or len(vectors) != len(prototypes) or not vectors.is_floating_point():
        raise ValueError(f"{len(prototypes)} prototypes, vectors of shape {tuple(vectors.shape)}")
    thumbnails = None if packed is None else _decode_thumbnails(packed, len(prototypes))
    return StagePrototypes(
        vectors.float(), tuple(prototypes), row["scoring"], row["relaxed"], thumbnails
    )


def _encode_thumbnails(thumbnails: np.ndarray) -> Tensor:
    """Thumbnails as the bytes of one WebP sheet, a row a prototype."""
    count, across, side = thumbnails.shape[:3]
    sheet = thumbnails.transpose(0, 2, 1, 3, 4).reshape(count * side, across * side, 3)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", quality=75, method=6)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def _decode_thumbnails(packed: Tensor, count: int) -> np.ndarray:
    """Thumbnails of so many prototypes; ValueError unless the sheet has their very size.

    Its size is read from its header: a sheet of another one is never decoded.
    """
    try:
        image = Image.open(io.BytesIO(packed.numpy().tobytes()), formats=["WEBP"])
    except Image.DecompressionBombError:
        raise ValueError("a sheet of hundreds of millions of pixels") from None
    with image:
        across = image.width // THUMBNAIL
        if image.size != (across * THUMBNAIL, count * THUMBNAIL) or not 0 < across <= MEMBERS:
            raise ValueError(f"a sheet of {image.width} x {image.height} pixels for {count}")
        sheet = np.asarray(image.convert("RGB"))
    shape = (count, THUMBNAIL, across, THUMBNAIL, 3)
    return sheet.reshape(shape).transpose(0, 2, 1, 3, 4)


def with_thumbnails(
    bank: PrototypeBank, cut: Callable[[str, tuple[int, int, int, int]], np.ndarray]
) -> PrototypeBank:
    """The same bank with its members' patches: `cut` returns the pixels of (picture, box)."""
    stages = {}
    for name, stage in bank.stages.items():
        shape = (len(stage.prototypes), MEMBERS, THUMBNAIL, THUMBNAIL, 3)
        thumbnails = np.zeros(shape, np.uint8)
        for row, prototype in enumerate(stage.prototypes):
            for column, member in enumerate(prototype.members):
                patch = Image.fromarray(cut(bank.pictures[member.picture], member.box))
                thumbnails[row, column] = patch.resize((THUMBNAIL, THUMBNAIL))
        stages[name] = replace(stage, thumbnails=thumbnails)
    return replace(bank, stages=stages)


def shipped_bank(backbone: Backbone, target: int) -> PrototypeBank | None:
    """The ready-made prototypes of a class of a bundled backbone, if they fit its weights."""
    if backbone.name not in bundled_names():
        return None
    file = bundled_folder(backbone.name) / "prototypes" / f"{target}.safetensors"
    if not file.is_file():
        return None
    bank = _load_cached(file, file.stat().st_mtime_ns)
    return bank if bank.digest == backbone.weights_digest else None


@lru_cache(maxsize=64)
def _load_cached(file: Path, changed: int) -> PrototypeBank:
    return PrototypeBank.load(file)
