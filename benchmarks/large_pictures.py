"""Time, memory and bytes that it takes to save an explanation of a large photograph.

    python -m benchmarks.large_pictures 7668 5112 --size original --kind save
    python -m benchmarks.large_pictures 7668 5112 --size screen --kind http

Each run is a process of its own, because the peak of its memory is that of the process. "http": the
page's server, and its endpoint /explain from the upload to the last byte of the answer.
"""

import argparse
import io
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from camviz import Engine, open_picture
from camviz.engine.export import SIZES


def photograph(width: int, height: int) -> bytes:
    """A JPEG of smooth colours, detail and grain, as large files of cameras are."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(
        rng.integers(0, 256, (height // 64 + 1, width // 64 + 1, 3), dtype=np.uint8),
        (width, height),
        interpolation=cv2.INTER_CUBIC,
    )
    detail = cv2.resize(
        rng.integers(0, 50, (height // 6, width // 6, 3), dtype=np.uint8), (width, height)
    )
    grain = rng.integers(0, 12, picture.shape, dtype=np.uint8)
    picture = cv2.add(cv2.add(picture, detail), grain)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return file.getvalue()


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_of(process: int) -> float:
    """The most memory that another process has had since its peak was set back, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def over_http(file: Path, size: str) -> None:
    """Time, bytes and memory of /explain for a picture, by a server that is warm."""
    from gradio_client import Client, handle_file

    root = Path(__file__).parents[1]
    place = Path(tempfile.mkdtemp())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {
        "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(place), "HF_HUB_OFFLINE": "1", "TMPDIR": str(place),
        "PYTHONPATH": str(root),
    }  # fmt: skip
    with (place / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, str(root / "app.py")], cwd=place, env=os.environ | own,
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        client = None
        while client is None:
            with suppress(Exception):
                client = Client(f"http://127.0.0.1:{port}", verbose=False, download_files=place)
            time.sleep(0.2)
        small = place / "small.png"
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(small)
        options = {"backbone": "photos-resnet", "api_name": "/explain"}
        client.predict(image=handle_file(str(small)), **options)
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # sets the peak back
        before, started = peak_of(server.pid), time.perf_counter()
        found, answer = client.predict(image=handle_file(str(file)), size=size, **options)
        seconds = time.perf_counter() - started
        height, width = found["picture"]["size"]
        print(
            f"{width} x {height}, http, {size}: {seconds:.1f} s, "
            f"{Path(answer).stat().st_size / 1e6:.1f} MB; peak {peak_of(server.pid):.0f} MB "
            f"({before:.0f} MB before)"
        )
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(place)


def save(x, folder: Path, kind: str, size: str) -> int:
    """The bytes of a folder, or of the zip of three rows."""
    if kind == "save":
        x.save(folder, size=size)
        return sum(file.stat().st_size for file in folder.iterdir())
    from camviz.ui.downloads.bundle import pack, write_rows

    rows = {"layercam": x[0], "denoised": x[1], "prototypes": x[2]}
    return pack(write_rows(rows, folder, size=size)).stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("width", type=int)
    parser.add_argument("height", type=int)
    parser.add_argument("--size", choices=SIZES, default="screen")
    parser.add_argument("--kind", choices=("save", "zip", "http"), default="save")
    parser.add_argument("--file", type=Path, help="made by an earlier run, or made now")
    arguments = parser.parse_args()
    if arguments.file is None or not arguments.file.is_file():
        arguments.file = arguments.file or Path(tempfile.gettempdir()) / "large.jpg"
        arguments.file.write_bytes(photograph(arguments.width, arguments.height))
        print("written", arguments.file, "- run again with --file")
        return
    if arguments.kind == "http":
        over_http(arguments.file, arguments.size)
        return
    if arguments.kind == "zip":
        import camviz.ui.downloads.bundle  # noqa: F401  loads gradio, which is not counted
    engine = Engine("cpu")
    backbone = engine.backbone("photos-resnet")
    small = np.zeros((64, 64, 3), np.uint8)
    options = ({}, {"truncation": 0.9}, {"method": "hires_cam"})
    for option in options:
        engine.explain(small, backbone, target=0, **option)
    started, before = time.perf_counter(), peak()
    picture = open_picture(arguments.file)
    opened = time.perf_counter()
    x = [engine.explain(picture, backbone, target=0, **option) for option in options]
    explained, worked = time.perf_counter(), time.process_time()
    place = Path(tempfile.mkdtemp())
    written = save(
        x[0] if arguments.kind == "save" else x, place / "x", arguments.kind, arguments.size
    )
    done, worked = time.perf_counter(), time.process_time() - worked
    shutil.rmtree(place)
    print(
        f"{picture.width} x {picture.height}, {arguments.kind}, {arguments.size}: "
        f"open {opened - started:.1f} s, explain {explained - opened:.1f} s, "
        f"write {done - explained:.1f} s ({worked:.1f} s of CPU), {written / 1e6:.1f} MB; "
        f"peak {peak():.0f} MB ({before:.0f} MB before)"
    )


if __name__ == "__main__":
    main()
