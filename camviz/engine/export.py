"""A result as files: pictures, numbers, and last of all the manifest that says what they are.

The manifest is written last and the folder appears at once or not at all, so that a folder with
a manifest is a complete one. Pictures are drawn as they are written, two at a time.
"""

import io
import json
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import cv2
import numpy as np
from PIL import Image

from camviz.defaults import COLORS, FUSED, OPACITY, REFINED, usual_threshold
from camviz.engine.drawing import draw
from camviz.engine.encoding import encode, suffix_for
from camviz.errors import MethodError, quote
from camviz.files import file_name, output_folder
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps import render
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS, denoise
from camviz.version import version_of

if TYPE_CHECKING:
    from camviz.engine.explanation import Explanation

PREVIEW = 480  # pixels of a longer side
SCREEN = 1600
Size = Literal["screen", "original"]
SIZES: tuple[Size, ...] = get_args(Size)
_LARGE = 16_000_000  # bytes of an array
_AT_ONCE = 2  # pictures that are drawn and compressed at the same time, which is their memory
# A picture, uint8 (H, W, 3), or what draws it.
Drawing = np.ndarray | Callable[[], np.ndarray]
Report = Callable[[int, int, str], object]


def check_size(size: str) -> Size:
    """The size; raises `MethodError` if it is none."""
    if size not in SIZES:
        raise MethodError(f"unknown size {quote(size)}; sizes: {', '.join(SIZES)}")
    return size


def drawn_size(picture: Picture, size: Size) -> tuple[int, int]:
    """(height, width) of what is drawn of a picture; raises `MethodError` for an unknown size."""
    height, width = picture.height, picture.width
    scale = SCREEN / max(height, width)
    if check_size(size) == "original" or scale >= 1:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrunk(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture of another size, (height, width), each pixel the mean of those it stands for."""
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Canvas:
    """A picture at the size at which maps are drawn on it, and saved."""

    pixels: np.ndarray
    fit: Fit
    scaled: bool
    suffix: str

    @classmethod
    def of(cls, x: "Explanation", size: Size) -> "Canvas":
        """size: "screen": at most `SCREEN` pixels a side; "original": the picture's own size.

        Pictures of up to a million pixels are saved as PNG, to the bit, larger ones as JPEG.
        """
        pixels = x.picture.pixels
        height, width = drawn_size(x.picture, size)
        if (height, width) == pixels.shape[:2]:
            return cls(pixels, x.fit, scaled=False, suffix=suffix_for(height, width))
        fit = x.fit.scaled_to(height, width)
        return cls(shrunk(pixels, (height, width)), fit, scaled=True, suffix=".jpg")

    def overlay(
        self, x: "Explanation", of: str, colors: str = COLORS, opacity: float = OPACITY
    ) -> np.ndarray:
        """A map on the picture; of: a stage, "fused" or "refined"."""
        heat, placement = x.grid(of)
        visible = None if self.fit.shows_all else self.fit.visible_mask()
        return render.overlay_strips(
            self.pixels,
            lambda rows: draw(heat, placement, self.fit, rows),
            colors,
            opacity,
            visible,
        )

    def shown(self, pixels: np.ndarray) -> np.ndarray:
        """Another picture of the same size, at the size of this one."""
        return pixels if not self.scaled else shrunk(pixels, self.pixels.shape[:2])

    def with_boxes(
        self,
        x: "Explanation",
        of: str,
        threshold: float | None,
        colors: str = COLORS,
        opacity: float = OPACITY,
    ) -> np.ndarray:
        """A map on the picture, with its boxes."""
        down = self.pixels.shape[0] / x.picture.height
        across = self.pixels.shape[1] / x.picture.width
        boxes = [
            (round(x0 * across), round(y0 * down), round(x1 * across), round(y1 * down))
            for x0, y0, x1, y1 in (box.xyxy for box in x.boxes(threshold, of=of, multi=True))
        ]
        return render.draw_boxes(self.overlay(x, of, colors, opacity), boxes, in_place=True)

    @property
    def description(self) -> dict[str, Any]:
        """What a manifest says about it: nothing if the files are of the picture's own size."""
        if not self.scaled:
            return {}
        return {"saved": {"size": "screen", "pixels": list(self.pixels.shape[:2])}}


def save_explanation(
    x: "Explanation", folder: str | Path, threshold: float | None = None, size: Size = "screen"
) -> Path:
    """Write overlays, raw and fused maps, and the manifest of an explanation.

    threshold: the boxes drawn on the overlays of all stages are around this share of the maximum;
    None for the usual one.
    size: see `Canvas.of`; maps.npz holds those maps at the size of the picture unless the overlays
    are smaller.
    """
    output_folder(folder)  # before the work, not after it
    canvas = Canvas.of(x, size)
    pictures: dict[str, Drawing] = {"picture": canvas.pixels}
    for name in x.stages:
        pictures[f"overlay_{name}"] = partial(canvas.overlay, x, name)
    arrays: dict[str, Any] = {f"raw/{name}": raw for name, raw in x.raw.items()}
    arrays |= {f"plain/{name}": raw for name, raw in x.plain.items()}
    for name in x.maps_of_all:
        pictures[f"overlay_{name}"] = partial(canvas.with_boxes, x, name, threshold)
        arrays[f"{name}_grid"] = x.grid(name)[0]
        if not canvas.scaled:
            arrays[name] = partial(x.heat, name)
    arrays["logits" if x.backbone.has_classes else "features"] = x.logits
    manifest = {**manifest_of(x, threshold), **canvas.description}
    return write_folder(folder, pictures, arrays, manifest, canvas.suffix)


def preview(x: "Explanation") -> bytes:
    """A PNG of the picture and, beside it, the fused map on it with its largest box.

    Longer sides are made smaller, to `PREVIEW` pixels.
    """
    pixels = x.picture.pixels
    height, width = pixels.shape[:2]
    scale = min(1.0, PREVIEW / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def smaller(array: np.ndarray) -> np.ndarray:
        return cv2.resize(array, size, interpolation=cv2.INTER_AREA)

    visible = None if x.fit.shows_all else smaller(x.visible.astype(np.float32)) >= 0.5
    drawn = render.overlay(smaller(pixels), smaller(x.fused), visible=visible)
    for box in x.boxes()[:1]:
        x0, y0, x1, y1 = (round(side * scale) for side in box.xyxy)
        drawn = render.draw_boxes(drawn, [(x0, y0, x1, y1)])
    file = io.BytesIO()
    Image.fromarray(render.contact_sheet([[smaller(pixels), drawn]])).save(file, "PNG")
    return file.getvalue()


def manifest_of(
    x: "Explanation", threshold: float | None = None, *, public: bool = False
) -> dict[str, Any]:
    """An explanation in plain values: request, network, geometry, notes, boxes.

    public: the request, too, names the backbone by its display name, for people who have no
    business with a path on this machine. Such a request cannot be repeated elsewhere.
    """
    method, fusion = METHODS[x.request.method], FUSIONS[x.request.fuse]
    request = asdict(x.request)
    figure = "value" if x.backbone.output == "value" else "probability"
    if public:
        request["backbone"] = x.backbone.display_name
    return {
        "camviz": version_of("camviz"),
        "versions": {name: version_of(name) for name in ("torch", "timm", "numpy")},
        "python": platform.python_version(),
        "request": request,
        "picture": {
            "name": x.picture.name,
            "sha256": x.picture.digest,
            "size": [x.picture.height, x.picture.width],
            # The sides of the file's picture over those of the one that was decoded.
            **({"reduction": x.picture.reduction} if x.picture.reduction > 1 else {}),
        },
        "backbone": {
            "name": x.backbone.display_name,
            "weights": asdict(x.backbone.weights),
            "digest": x.digest,
            "parameters": x.backbone.parameters,
            "input_size": list(x.backbone.input_size),
            "mean": list(x.backbone.mean),
            "std": list(x.backbone.std),
            "interpolation": x.backbone.interpolation,
            "crop_pct": x.backbone.crop_pct,
            "crop_mode": x.backbone.crop_mode,
            "output": x.backbone.output,
        },
        "geometry": {
            "fit": x.request.fit,
            "rect": list(x.fit.rect),
            "placements": {name: asdict(p) for name, p in x.placements.items()},
        },
        "target": None if x.target is None else {"index": x.target, "label": x.label},
        "sure": x.is_confident if x.backbone.has_classes else None,
        "predictions": [
            {"index": i, "label": label, figure: p} for i, label, p in x.predictions[:10]
        ],
        "method": {
            "label": method.label,
            "paper": method.paper,
            "denoising": denoise.SOURCE if x.request.truncated else None,
            "fusion": fusion.label,
            "refinement": None if x.refined_grid is None else asdict(x.refinement),
        },
        "truncation_choice": None if x.truncation_choice is None else asdict(x.truncation_choice),
        "prototypes": None if x.bank is None else x.bank.summary,
        "notes": {name: asdict(notes) for name, notes in x.notes.items()},
        "threshold": usual_threshold(FUSED) if threshold is None else threshold,
        "refined_threshold": usual_threshold(REFINED) if threshold is None else threshold,
        "boxes": [asdict(box) for box in x.boxes(threshold, multi=True)],
        "refined_boxes": None
        if x.refined_grid is None
        else [asdict(box) for box in x.boxes(threshold, of=REFINED, multi=True)],
    }


def write_folder(
    folder: str | Path,
    pictures: Mapping[str, Drawing],
    arrays: Mapping[str, Any],
    manifest: Mapping[str, Any],
    suffix: str = ".png",
    *,
    most_bytes: int | None = None,
    progress: Report | None = None,
) -> Path:
    """Write `NAME.png` per picture, `maps.npz` and `manifest.json`; returns the folder.

    An existing folder keeps its other files; those of the same names are replaced. pictures:
    uint8 (H, W, 3), or functions that draw them, called as many at a time as are drawn at once;
    so may arrays be. One that stands there twice is drawn once. suffix: ".png" or ".jpg".
    most_bytes: of all pictures, as far as the quality of JPEG can do it. progress(done, of, name)
    is called before each picture, and may end the work by raising. If anything fails, nothing of
    this result is left behind.
    """
    target = output_folder(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".camviz-") as work:
        files = {name: Path(work) / f"{file_name(name)}{suffix}" for name in pictures}
        share = None if most_bytes is None else most_bytes // max(1, len(pictures))
        _write_pictures(pictures, files, share, progress)
        archive = Path(work) / "maps.npz"
        _write_arrays(archive, arrays)
        sheet = Path(work) / "manifest.json"
        listed = {"files": [file.name for file in (*files.values(), archive)]}
        sheet.write_text(
            json.dumps({**manifest, **listed}, indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )
        # From here on the old manifest, if any, no longer describes the files.
        (target / sheet.name).unlink(missing_ok=True)
        placed = []
        try:
            for file in (*files.values(), archive, sheet):
                placed.append(target / file.name)
                shutil.move(file, placed[-1])
        except BaseException:
            for file in placed:
                file.unlink(missing_ok=True)
            raise
    return target


def _write_pictures(
    pictures: Mapping[str, Drawing],
    files: Mapping[str, Path],
    most_bytes: int | None,
    progress: Report | None,
) -> None:
    """Draw and write each picture to its file, `_AT_ONCE` at a time."""

    def write(drawing: Drawing, places: Sequence[Path]) -> None:
        pixels = drawing() if callable(drawing) else drawing
        data = encode(pixels, places[0].suffix, most_bytes)
        for place in places:
            place.write_bytes(data)

    places: dict[int, list[Path]] = {}
    for name, drawing in pictures.items():
        places.setdefault(id(drawing), []).append(files[name])
    drawings = {id(drawing): drawing for drawing in pictures.values()}
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="drawing") as pool:
        pending: set[Future[None]] = set()
        for done, (key, drawing) in enumerate(drawings.items()):
            if progress is not None:
                progress(done, len(drawings), places[key][0].stem)
            pending.add(pool.submit(write, drawing, places[key]))
            if len(pending) == _AT_ONCE:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                _raise_first(finished)
        _raise_first(wait(pending).done)


def _raise_first(finished: Iterable[Future[None]]) -> None:
    for each in finished:
        each.result()


def _write_arrays(file: Path, arrays: Mapping[str, Any]) -> None:
    """What `numpy.savez_compressed` writes, one array at a time; large ones compressed less."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, made in arrays.items():
            array = np.asanyarray(made() if callable(made) else made)
            archive.compresslevel = 6 if array.nbytes < _LARGE else 1
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
            del array
