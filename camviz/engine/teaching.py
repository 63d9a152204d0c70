"""Teaching: a classifier from a few pictures of each kind, on top of a network's features.

    taught = camviz.teach({"cup": ["a.jpg", "b.jpg"], "plate": ["c.jpg", "d.jpg"]})
    taught.accuracy                                   # of pictures left out one by one
    camviz.Engine().explain("e.jpg", taught.backbone)
    taught.save("head.safetensors")

The network runs once on each picture; its pooled features are kept, so that one picture more costs
one pass, and the classifier itself is a small system of equations.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from camviz.engine.cache import LRUCache
from camviz.engine.work import Runner, Traces, Work, plain_arithmetic
from camviz.errors import TeachingError
from camviz.images import Picture, PictureSource, open_picture
from camviz.network.backbone import Backbone
from camviz.network.classifier import Classifier
from camviz.network.stages import Discovery
from camviz.network.taught import pooled_features, with_head
from camviz.teaching.checks import MOST_PICTURES, check_kinds
from camviz.teaching.head import SCALE, TaughtHead, learn_head
from camviz.teaching.ridge import LAMBDA, leave_one_out

HELD = 4096  # pictures whose pooled features are kept, a few kilobytes each
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class LeftOut:
    """What the classifier of all other pictures says of one picture.

    name: of the picture; kind: the index of its own. predicted: that of the kind it is taken for;
    shares: the probability of each kind; both None for the only picture of its kind, of which the
    others know nothing.
    """

    name: str
    kind: int
    predicted: int | None
    shares: tuple[float, ...] | None

    @property
    def is_right(self) -> bool:
        return self.predicted == self.kind


@dataclass(frozen=True, eq=False)
class Taught:
    """A network with a taught classifier.

    backbone: to be explained like any other; its classes are the kinds. head: what a file keeps of
    it. answers: of each picture that it was taught from, in their order; none if it was loaded.
    """

    backbone: Backbone
    head: TaughtHead
    answers: tuple[LeftOut, ...] = ()

    @property
    def accuracy(self) -> float | None:
        """See `TaughtHead.accuracy`."""
        return self.head.accuracy

    @property
    def mistaken(self) -> tuple[LeftOut, ...]:
        """The pictures that the others take for another kind."""
        return tuple(each for each in self.answers if self.wrong_label(each))

    def wrong_label(self, answer: LeftOut) -> str:
        """The kind that a picture is wrongly taken for; "" if it is not."""
        predicted = answer.predicted
        return "" if predicted is None or answer.is_right else self.head.kinds[predicted]

    def save(self, file: str | Path) -> Path:
        """Write the head to a .safetensors file; see `TaughtHead.save`."""
        return self.head.save(file)


@dataclass(frozen=True, eq=False)
class ReadPooled(Work[np.ndarray]):
    """What a network's classifier is given of a picture, float32 (C,)."""

    picture: Picture
    fit: str

    def do(self, backbone: Backbone, traces: Traces) -> np.ndarray:
        with plain_arithmetic(backbone):
            image, _ = backbone.prepare(self.picture, self.fit)
            return pooled_features(backbone, image)[0].cpu().numpy()


@dataclass(frozen=True, eq=False)
class FindTaughtStages(Work[Discovery]):
    """Find the stages of a network with a taught classifier."""

    classifier: Classifier

    def do(self, backbone: Backbone, traces: Traces) -> Discovery:
        return with_head(backbone, self.classifier).discovery


class Features:
    """The pooled features of pictures, by picture, network, its present weights and fit.

    A pass each: what comes of a picture does not depend on those beside it.
    """

    def __init__(self, runner: Runner, traces: Traces) -> None:
        self._runner, self._traces = runner, traces
        self._held: LRUCache[np.ndarray] = LRUCache(HELD)

    def of(
        self,
        pictures: Sequence[Picture],
        backbone: Backbone,
        fit: str,
        progress: Progress | None = None,
    ) -> torch.Tensor:
        """Float32 (n, C). progress(done, of, name) is called before each pass; what it raises ends
        the work.
        """
        keys = self.keys(pictures, backbone, fit)
        found = {key: held for key in keys if (held := self._held.get(key)) is not None}
        missing = {k: p for k, p in zip(keys, pictures, strict=True) if k not in found}
        for number, (key, picture) in enumerate(missing.items()):
            if progress is not None:
                progress(number, len(missing), picture.name)
            work = ReadPooled(picture, fit)
            found[key] = self._held.put(key, self._runner.run(backbone, work, self._traces))
        return torch.from_numpy(np.stack([found[key] for key in keys]))

    @staticmethod
    def keys(pictures: Sequence[Picture], backbone: Backbone, fit: str) -> list[Hashable]:
        """By what the features of each picture are held."""
        state = backbone.fingerprint
        return [(picture.digest, state, fit) for picture in pictures]

    def forget_soon(self, keys: Iterable[Hashable]) -> None:
        """Drop features that are held, at the latest when others are next read. Never waits."""
        self._held.remove_soon(keys)

    def put(self, head: TaughtHead, backbone: Backbone) -> Backbone:
        """The network with a head. That of one without classes has other stages than it had.

        Raises `TeachingError` if it is a head of another network.
        """
        head.check(backbone)
        discovery = None
        if not backbone.has_classes:
            work = FindTaughtStages(head.classifier)
            discovery = self._runner.run(backbone, work, self._traces)
        return with_head(backbone, head.classifier, discovery)


def teach_head(
    pictures: Mapping[str, Sequence[PictureSource]],
    backbone: Backbone,
    features: Features,
    *,
    penalty: float = LAMBDA,
    fit: str = "stretch",
    progress: Progress | None = None,
) -> Taught:
    """What `Engine.teach` does, with a network that is loaded."""
    kinds, opened, of = _open(pictures)
    if not (isinstance(penalty, (int, float)) and 0 < penalty < 1e9):
        raise TeachingError(f"penalty is a number above 0, such as {LAMBDA}, not {penalty!r}")
    rows = features.of(opened, backbone, fit, progress)
    names = [picture.name for picture in opened]
    answers = left_out(rows, of, kinds, names, float(penalty))
    tried = [each for each in answers if each.predicted is not None]
    right = sum(each.is_right for each in tried)
    head = learn_head(
        backbone, kinds, rows, of, tried=len(tried), right=right, penalty=float(penalty), fit=fit
    )
    return Taught(features.put(head, backbone), head, answers)


def left_out(
    rows: torch.Tensor,
    of: torch.Tensor,
    kinds: Sequence[str],
    names: Sequence[str],
    penalty: float,
) -> tuple[LeftOut, ...]:
    """What the others say of each picture. rows: (n, C), of: (n,)."""
    found = []
    scored = leave_one_out(rows, of, len(kinds), penalty)
    for name, kind, scores in zip(names, of.tolist(), scored, strict=True):
        predicted = None if scores is None else int(scores.argmax())
        shares = None if scores is None else tuple((SCALE * scores).softmax(dim=0).tolist())
        found.append(LeftOut(name, kind, predicted, shares))
    return tuple(found)


def _open(
    pictures: Mapping[str, Sequence[PictureSource]],
) -> tuple[tuple[str, ...], list[Picture], torch.Tensor]:
    """The kinds, all their pictures, and the kind of each. Raises `TeachingError`."""
    if not isinstance(pictures, Mapping):
        raise TeachingError("give the pictures of each kind: {'cup': [...], 'plate': [...]}")
    for kind, images in pictures.items():
        if isinstance(images, (str, bytes, Path, Picture)) or not isinstance(images, Sequence):
            raise TeachingError(f"give a list of pictures of '{kind}', even if it holds one only")
    kinds = check_kinds(list(pictures), [len(images) for images in pictures.values()])
    opened, of = list[Picture](), list[int]()
    for number, images in enumerate(pictures.values()):
        for image in images:
            opened.append(open_picture(image))
            of.append(number)
    return kinds, opened, torch.tensor(of)


def folders_of_kinds(folder: str | Path) -> dict[str, list[Path]]:
    """The pictures in a folder that has a folder for each kind, by its name.

    Hidden files and folders are left out. Raises `TeachingError` for a folder without two such.
    """
    place = Path(folder)
    if not place.is_dir():
        raise TeachingError(f"there is no folder '{place}'; give one that has a folder a kind")
    found = {
        kind.name: sorted(p for p in kind.iterdir() if p.is_file() and not p.name.startswith("."))
        for kind in sorted(place.iterdir())
        if kind.is_dir() and not kind.name.startswith(".")
    }
    if len(found) < 2:
        raise TeachingError(
            f"'{place}' has {len(found)} folders of pictures, and a classifier tells two or more "
            "kinds apart: make a folder for each, called after it"
        )
    if sum(map(len, found.values())) > MOST_PICTURES:
        raise TeachingError(
            f"'{place}' holds more than {MOST_PICTURES} pictures; a head is taught from so many at "
            "most"
        )
    return found
