"""Files that visitors give and no camera takes: damaged, odd, far too large, or none at all.

    for each in hostile():       # the same ones every time
        open_picture(each.data, name=each.name)

Each ends in a picture or in an `ImageError`. `shows`: the size (height, width) of the picture that
it must end in; None where either will do; REFUSED where it must be refused.
"""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms, features

REFUSED = (0, 0)
SIZE = (40, 56)  # of the pictures that are damaged
_EOI = b"\xff\xd9"


@dataclass(frozen=True)
class Hostile:
    """A file: its kind, its name as a visitor gives it, its bytes, and what must come of it."""

    kind: str
    name: str
    data: bytes
    shows: tuple[int, int] | None = None


def hostile() -> list[Hostile]:
    """Every file, in an order that is always the same."""
    makers = (damaged, misnamed, enormous, oddly_coloured, oddly_shaped, annotated, arrays, named)
    return [each for maker in makers for each in maker()]


def one_of_each_kind() -> list[Hostile]:
    """The first file of every kind that must be refused, and the first that must open."""
    found: dict[tuple[str, bool], Hostile] = {}
    for each in hostile():
        if each.shows is not None:
            found.setdefault((each.kind, each.shows == REFUSED), each)
    return list(found.values())


def pixels(height: int = SIZE[0], width: int = SIZE[1], channels: int = 3) -> np.ndarray:
    """A picture of which no part is flat, so that what is missing of it is seen."""
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# -- Damage --------------------------------------------------------------------------------------


@cache
def whole() -> dict[str, bytes]:
    """A sound file of every kind that opens, by its name."""
    image = Image.fromarray(pixels())
    clear = Image.fromarray(pixels(channels=4))
    palette = image.quantize(64)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {
        "baseline.jpg": encode(image, "JPEG", quality=95, exif=exif),
        "progressive.jpg": encode(image, "JPEG", quality=95, progressive=True),
        "restarts.jpg": encode(image, "JPEG", quality=95, restart_marker_blocks=2),
        "print.jpg": encode(image.convert("CMYK"), "JPEG", quality=95),
        "several.mpo": encode(image, "MPO", save_all=True, append_images=[image]),
        "colours.png": encode(image, "PNG"),
        "clear.png": encode(clear, "PNG"),
        "palette.png": encode(palette, "PNG", transparency=3),
        "deep.png": encode(Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257), "PNG"),
        "animated.png": encode(image, "PNG", save_all=True, append_images=[image.rotate(180)]),
        "lossy.webp": encode(image, "WEBP"),
        "lossless.webp": encode(clear, "WEBP", lossless=True),
        "animated.webp": encode(image, "WEBP", save_all=True, append_images=[image.rotate(180)]),
        "still.gif": encode(palette, "GIF"),
        "animated.gif": encode(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        "colours.bmp": encode(image, "BMP"),
        "palette.bmp": encode(palette, "BMP"),
        "raw.tif": encode(image, "TIFF"),
        "lzw.tif": encode(image, "TIFF", compression="tiff_lzw"),
        "deflate.tif": encode(image, "TIFF", compression="tiff_deflate"),
        "jpeg.tif": encode(image, "TIFF", compression="jpeg"),
        "pages.tif": encode(image, "TIFF", save_all=True, append_images=[image]),
    }
    if features.check("avif"):
        found["photo.avif"] = encode(image, "AVIF", quality=90)
    # By pillow-heif: smooth colours, `quality=60`. Its reader is an extra, its writer not at hand.
    found["photo.heic"] = Path(__file__).with_name("photo.heic").read_bytes()
    planes = io.BytesIO()
    tifffile.imwrite(planes, pixels(channels=6), planarconfig="contig", metadata=None)
    return {**found, "channels.tif": planes.getvalue(), "colours.npy": npy(pixels())}


def opens(name: str) -> bool:
    """Whether what reads a sound file of that name is installed."""
    return not name.endswith(".heic") or find_spec("pillow_heif") is not None


def damaged() -> Iterator[Hostile]:
    """Sound files cut, flipped, filled and stretched at many places."""
    chance = random.Random(0)
    for name, data in whole().items():
        height, width = SIZE[::-1] if name == "baseline.jpg" else SIZE
        yield Hostile("sound", name, data, (height, width) if opens(name) else REFUSED)
        for share in (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98):
            yield Hostile("cut", name, data[: int(len(data) * share)])
        yield Hostile("cut and closed", name, data[: len(data) // 2] + _END.get(_suffix(name), b""))
        for count in (1, 1, 2, 8, 64):
            yield Hostile("flipped", name, _flipped(data, count, chance))
        for start in (0, len(data) // 3):
            yield Hostile("filled", name, data[:start] + bytes(64) + data[start + 64 :])
        yield Hostile("repeated", name, data + data)
        yield Hostile("followed", name, data + b"PK\3\4<script>" * 50)
        yield Hostile("doubled inside", name, data[: len(data) // 2] + data)


_END = {"jpg": _EOI, "png": b"\0\0\0\0IEND\xaeB`\x82", "gif": b"\0;", "mpo": _EOI}


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]


def _flipped(data: bytes, count: int, chance: random.Random) -> bytes:
    """The same bytes with so many of them changed, most near the beginning."""
    changed = bytearray(data)
    for _ in range(count):
        place = chance.randrange(min(len(data), chance.choice([64, 512, len(data)])))
        changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def misnamed() -> Iterator[Hostile]:
    """Files whose name says one thing and their bytes another, and files that are no picture."""
    sound = whole()
    for name in ("colours.png", "lossy.webp", "still.gif", "raw.tif", "colours.bmp"):
        yield Hostile("misnamed", f"{name}.jpg", sound[name], SIZE)
    for name in ("empty.png", "empty.jpg", "empty.npy"):
        yield Hostile("empty", name, b"", REFUSED)
    for name, data in {
        "text.png": b"no picture at all",
        "zeros.jpg": bytes(5000),
        "page.gif": b"<!doctype html><script>alert(1)</script>",
        "drawing.png": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "paper.jpg": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
        "archive.png": b"PK\3\4" + bytes(60),
        "program.jpg": b"\x7fELF" + bytes(60),
        "code.png": b"import os; os.system('true')\n",
        "film.jpg": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2avc1mp41",
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "jpeg2000.jpg": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "stream.jp2": b"\xff\x4f\xff\x51" + bytes(60),
        "photo.jxl": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60),
        "portable.png": b"P6 16 16 255\n" + bytes(768),
        "icon.png": b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0",
        "signature.png": b"\x89PNG\r\n\x1a\n",
        "signature.jpg": b"\xff\xd8\xff",
        "signature.gif": b"GIF89a",
        "signature.tif": b"II*\0\x08\0\0\0",
        "signature.webp": b"RIFF\x04\0\0\0WEBP",
        "signature.bmp": b"BM",
    }.items():
        yield Hostile("no picture", name, data, REFUSED)


# -- Sizes ---------------------------------------------------------------------------------------


def png(
    width: int, height: int, *more: tuple[bytes, bytes], depth: int = 8, color: int = 2,
    rows: bytes = b"", interlaced: int = 0,
) -> bytes:  # fmt: skip
    """A PNG whose header says what it likes. more: chunks before its data."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        check = struct.pack(">I", zlib.crc32(name + content))
        data += struct.pack(">I", len(content)) + name + content + check
    return data


def enormous() -> Iterator[Hostile]:
    """Bombs: a small file that is, or claims to be, a large picture."""
    for width, height in (
        (7100, 7100), (65_535, 65_535), (1 << 30, 1 << 30), (2**31 - 1, 1), (1, 2**31 - 1),
        (5_000_000, 8), (8, 5_000_000), (40_000, 1200), (0, 0), (0, 9), (9, 0),
    ):  # fmt: skip
        yield Hostile("bomb", f"{width}x{height}.png", png(width, height), REFUSED)
    for share in (0.0, 0.1, 0.6, 0.95):
        row = bytes([0]) + bytes(range(256)) * 3
        rows = row * int(256 * share)
        yield Hostile("data missing", f"{share}.png", png(256, 256, rows=rows), REFUSED)
        rows = rows * 2
        data = png(256, 256, rows=rows[: int(len(rows) * share)], interlaced=1)
        yield Hostile("data missing", f"{share} interlaced.png", data, REFUSED)
    large = encode(Image.new("RGB", (64, 64), "teal"), "JPEG")
    for width, height in ((8000, 5000), (65_500, 65_500), (9000, 9000), (0, 64)):
        data = _with_jpeg_size(large, width, height)
        yield Hostile("data missing", f"{width}x{height}.jpg", data, REFUSED)
        yield Hostile("data missing", f"{width}x{height} twice.jpg", data + data, REFUSED)
    for share in (0.2, 0.5, 0.8):
        for name in ("baseline.jpg", "restarts.jpg", "print.jpg"):
            data = whole()[name]
            cut = data[: int(len(data) * share)] + _EOI
            yield Hostile("data missing", f"{share} {name}", cut, REFUSED)
    frame = bytearray(whole()["still.gif"])
    place = frame.index(b",\0\0\0\0")
    frame[place + 5 : place + 9] = struct.pack("<HH", 60_000, 60_000)
    yield Hostile("bomb", "frame.gif", bytes(frame), REFUSED)
    text = zlib.compress(bytes(5_000_000))
    yield Hostile("bomb", "note.png", png(64, 64, (b"zTXt", b"note\0\0" + text)), REFUSED)
    profile = (b"iCCP", b"x\0\0" + zlib.compress(bytes(50_000_000)))
    yield Hostile("bomb", "profile.png", png(64, 64, profile), REFUSED)
    for width, height in ((-5, 40), (70_000, 70_000), (2**31 - 1, 2**31 - 1)):
        bitmap = bytearray(whole()["colours.bmp"])
        bitmap[18:26] = struct.pack("<ii", width, height)
        yield Hostile("bomb", f"{width}x{height}.bmp", bytes(bitmap), REFUSED)


def _with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    changed = bytearray(data)
    place = changed.index(b"\xff\xc0")
    changed[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(changed)


def oddly_shaped() -> Iterator[Hostile]:
    """Panoramas and strips."""
    for height, width in ((1, 30_000), (30_000, 1), (7, 30_000), (1, 1), (2, 2), (8, 7)):
        image = Image.new("RGB", (width, height), "olive")
        yield Hostile("too thin", f"{width}x{height}.png", encode(image, "PNG"), REFUSED)
    for height, width in ((8, 30_000), (30_000, 8), (8, 8), (9, 3000), (8, 32_767)):
        image = Image.new("RGB", (width, height), "olive")
        yield Hostile("strip", f"{width}x{height}.png", encode(image, "PNG"), (height, width))
    for height, width in ((8, 32_768), (32_768, 8), (8, 100_000)):
        image = Image.new("L", (width, height))
        yield Hostile("too long", f"{width}x{height}.png", encode(image, "PNG"), REFUSED)


# -- Colours -------------------------------------------------------------------------------------


def oddly_coloured() -> Iterator[Hostile]:
    """Bit depths and colour spaces."""
    image = Image.fromarray(pixels())
    height, width = SIZE
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        odd = image.convert("L").convert(mode) if mode.startswith("I") else image.convert(mode)
        yield Hostile("mode", f"{mode}.png".replace(";", "-"), encode(odd, "PNG"), SIZE)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"):
        source = image.convert("L") if mode[0] in "IF" else image
        lab = Image.frombytes("LAB", image.size, image.tobytes())
        odd = lab if mode == "LAB" else source.convert(mode)
        shows = None if mode == "YCbCr" else SIZE  # which PIL writes, and does not read itself
        yield Hostile("mode", f"{mode}.tif".replace(";", "-"), encode(odd, "TIFF"), shows)
    for depth in (1, 2, 4, 8, 16):
        row = bytes([0]) + bytes(i % 251 for i in range((width * depth + 7) // 8))
        data = png(width, height, depth=depth, color=0, rows=row * height)
        yield Hostile("bit depth", f"{depth} grey.png", data, SIZE)
        if depth <= 8:
            palette = (b"PLTE", bytes(range(3)) * 2**depth)
            clear = (b"tRNS", bytes(2**depth))
            for chunks in ((palette,), (palette, clear)):
                data = png(width, height, *chunks, depth=depth, color=3, rows=row * height)
                yield Hostile("bit depth", f"{depth} of {len(chunks)}.png", data, SIZE)
    for color, channels in ((2, 3), (4, 2), (6, 4)):
        row = bytes([0]) + bytes(i % 251 for i in range(width * channels * 2))
        data = png(width, height, depth=16, color=color, rows=row * height)
        yield Hostile("bit depth", f"16 colour {color}.png", data, SIZE)
    for depth, color in ((3, 0), (16, 3), (1, 2), (8, 5), (0, 0), (255, 255)):
        data = png(width, height, depth=depth, color=color, rows=bytes(9999))
        yield Hostile("no bit depth", f"{depth} {color}.png", data, REFUSED)
    yield Hostile("palette", "without.png", png(width, height, color=3, rows=bytes(9999)))
    values = np.linspace(0, 1, height * width, dtype=np.float32).reshape(SIZE)
    for name, value in (("nan", np.nan), ("infinite", np.inf), ("minus", -np.inf)):
        bad = values.copy()
        bad[3, 5] = value
        yield Hostile("no number", f"{name}.tif", encode(Image.fromarray(bad), "TIFF"), REFUSED)
    for name, odd in (("small", values * 1e-30), ("large", values * 3e38), ("flat", values * 0)):
        odd = odd.astype(np.float32)
        yield Hostile("numbers", f"{name}.tif", encode(Image.fromarray(odd), "TIFF"), SIZE)


# -- Metadata ------------------------------------------------------------------------------------


def annotated() -> Iterator[Hostile]:
    """Orientation out of range, broken and circular directories, profiles that are none."""
    image = Image.fromarray(pixels())
    for value in (0, 1, 9, 255, 65_535):
        exif = Image.Exif()
        exif[0x0112] = value
        yield Hostile("orientation", f"{value}.jpg", encode(image, "JPEG", exif=exif), SIZE)
    for value in range(5, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        yield Hostile("orientation", f"{value}.png", encode(image, "PNG", exif=exif), SIZE[::-1])
    head = b"Exif\0\0MM\0*\0\0\0\x08"
    entry = struct.pack(">HHII", 0x8769, 4, 1, 8)  # the directory of Exif is this very one
    for name, block in {
        "circular": head + b"\0\1" + entry + struct.pack(">I", 8),
        "next is itself": head + b"\0\0" + struct.pack(">I", 8),
        "far away": head + b"\0\1" + struct.pack(">HHII", 0x0112, 3, 1, 2**31) + bytes(4),
        "many": head + b"\xff\xff" + entry * 40,
        "huge text": head + b"\0\1" + struct.pack(">HHII", 0x010E, 2, 2**31, 8) + bytes(4),
        "text orientation": head
        + b"\0\1"
        + struct.pack(">HHI4s", 0x0112, 2, 4, b"six\0")
        + bytes(4),
        "cut": head[:9],
        "junk": b"Exif\0\0" + bytes(range(200)),
    }.items():
        yield Hostile("exif", f"{name}.jpg", encode(image, "JPEG", exif=block), SIZE)
        yield Hostile("exif", f"{name}.png", encode(image, "PNG", exif=block), SIZE)
        yield Hostile("exif", f"{name}.webp", encode(image, "WEBP", exif=block), SIZE)
    sound = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in {
        "sound": sound, "cut": sound[:40], "junk": bytes(range(256)), "empty": b" ",
        "long": sound + bytes(200_000),
    }.items():  # fmt: skip
        for kind, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")):
            data = encode(image, kind, icc_profile=profile)
            yield Hostile("profile", f"{name}.{suffix}", data, SIZE)
    yield Hostile("directory", "circular.tif", _circular_tiff())
    for tag, name in ((256, "width"), (257, "height"), (273, "offsets"), (279, "counts")):
        for value in (0, 7, 2**31 - 1, 2**32 - 1):
            data = _with_tiff_tag(whole()["raw.tif"], tag, value)
            yield Hostile("directory", f"{name} {value}.tif", data)


def _circular_tiff() -> bytes:
    """A TIFF whose only directory is followed by itself."""
    data = bytearray(whole()["raw.tif"])
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    return bytes(data)


def _with_tiff_tag(data: bytes, tag: int, value: int) -> bytes:
    """A TIFF with another value of one tag."""
    changed = bytearray(data)
    (start,) = struct.unpack_from("<I", changed, 4)
    (count,) = struct.unpack_from("<H", changed, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", changed, place)[0] == tag:
            struct.pack_into("<HII", changed, place + 2, 4, 1, value)
    return bytes(changed)


# -- Arrays --------------------------------------------------------------------------------------


UNPICKLED: list[str] = []  # grows with each `Marker` that is unpickled


class Marker:
    """An object that says so when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return note_unpickling, ("here",)


def note_unpickling(place: str) -> None:
    UNPICKLED.append(place)


def npy(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy_header(text: str, data: bytes = b"") -> bytes:
    """A .npy file whose header says what it likes."""
    header = text.encode("latin1") + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


def arrays() -> Iterator[Hostile]:
    """Files of numpy: pickled, of absurd shapes, of other things than bytes."""
    sound = pixels()
    yield Hostile("array", "colours.npy", npy(sound), SIZE)
    yield Hostile("array", "grey.npy", npy(sound[..., 0]), SIZE)
    yield Hostile("array", "fortran.npy", npy(np.asfortranarray(sound)), SIZE)
    yield Hostile("array", "channels.npy", npy(pixels(channels=6)), SIZE)
    objects = np.array([Marker(), None], dtype=object)
    for name, array in {
        "objects": objects, "floats": sound / 255.0, "nan": np.full(SIZE, np.nan),
        "texts": np.full(SIZE, "a"), "complex": np.zeros(SIZE, complex), "bools": sound > 9,
        "dates": np.zeros(SIZE, "datetime64[s]"), "zero": np.zeros((0, 0, 3), np.uint8),
        "none": np.zeros((9, 9, 0), np.uint8), "point": np.uint8(3), "line": sound.ravel(),
        "video": sound[None], "thick": np.zeros((9, 9, 999), np.uint8),
        "record": np.zeros(SIZE, [("a", "u1"), ("b", "u1")]), "thin": sound[:3],
    }.items():  # fmt: skip
        yield Hostile("no array", f"{name}.npy", npy(np.asarray(array)), REFUSED)
    form = "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }"
    for shape in (
        "(99999999, 99999999, 3)", "(-4, 9, 3)", "(1e9,)", "((9,),)", "None", "(40, 56, 3", "()",
        "(100000, 100000)", "(9223372036854775807, 2)", "('40', 56)", "(True, 56, 3)",
    ):  # fmt: skip
        yield Hostile("array header", f"{shape}.npy", npy_header(form % shape, bytes(99)), REFUSED)
    for text in (
        "", "{}", "[]", "__import__('os').getcwd()", "{'descr': '|O', 'fortran_order': 0}",
        "{'descr': 'x', 'fortran_order': False, 'shape': (9, 9)}", "(" * 5000, "9" * 20_000,
        "{'descr': '|V9999999999', 'fortran_order': False, 'shape': (9, 9)}",
    ):  # fmt: skip
        yield Hostile("array header", "header.npy", npy_header(text, bytes(99)), REFUSED)
    data = npy(sound)
    for share in (0.005, 0.01, 0.5, 0.99):
        cut = data[: int(len(data) * share)]
        yield Hostile("array cut", f"{share}.npy", cut, REFUSED)
    yield Hostile("array cut", "version.npy", b"\x93NUMPY\x09\0" + data[8:], REFUSED)


# -- Names ---------------------------------------------------------------------------------------

SCRIPT = "<img src=x onerror=alert(1)>"
NAMES = (
    f"{SCRIPT}.png", "<script>alert('x')</script>.png", '" autofocus onfocus="alert(1).png',
    "'; DROP TABLE pictures; --.png", "{{7*7}}{% raw %}.png", "${7*7}`id`$(id).png",
    "../../../etc/passwd.png", "..\\..\\windows\\system32.png", "/etc/passwd", "C:\\boot.ini",
    "\u202egnp.exe", "a\u200bb\u2066c\u2069.png", "line\nbreak\tand\rreturn.png", "null\0byte.png",
    "\x1b[31mred\x1b[0m.png", "x" * 250 + ".png", "\U0001f40f" * 60 + ".png", "e\u0301.png",
    "CON", "nul.png", "aux.", "trailing dot.", " spaces .png ", "-rf", "--help", "~root", ".hidden",
    "%2e%2e%2fetc.png", "a:b|c?d*e.png", "Grüße, ﬁne – ۱۲۳ 图片.png", ".", "..", "",
)  # fmt: skip


def named() -> Iterator[Hostile]:
    """A sound picture under names that are none."""
    for name in NAMES:
        yield Hostile("name", name, whole()["colours.png"], SIZE)
