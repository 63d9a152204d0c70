"""What one picture costs, each way in which it is shown or written: run by tests/ui/test_costs.py.

python -m tests.support.costs FOLDER     # one JSON object: name -> {MB, seconds, bytes}

Seconds are of processors, all threads together; "compress" is the unit of the machine.
"""

import asyncio
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

os.environ["GRADIO_TEMP_DIR"] = sys.argv[1]  # before gradio: uploads lie there

import numpy as np
from PIL import Image

from camviz.engine.encoding import encode
from camviz.images import open_picture
from camviz.terminal import set_threads
from camviz.ui import api, covering, service
from camviz.ui.downloads.bundle import make_zip
from camviz.ui.downloads.report import report_html
from camviz.ui.state import BackboneChoice, Controls, Covering, Task
from camviz.ui.tabs import pictures
from tests.support.memory import measured_peak

BACKBONE = "scenes-resnet"


def photograph(height, width):
    """Smooth colours with grain, as a camera gives them."""
    rng = np.random.default_rng(0)
    colors = Image.fromarray(rng.integers(40, 216, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(colors.resize((width, height), Image.Resampling.BICUBIC))
    return smooth + rng.integers(0, 9, (height, width, 1), dtype=np.uint8)


def measure(found, name, work):
    started = time.process_time()
    with measured_peak() as peak:
        result = work()
    seconds = time.process_time() - started
    size = Path(result).stat().st_size if isinstance(result, Path) else 0
    found[name] = {"MB": peak.grown, "seconds": seconds, "bytes": size}
    return result


def compress(pixels):
    """Write the picture as JPEG four times, two at a time as overlays are written."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: encode(pixels, ".jpg"), range(4)))


def quiet(*_):
    """Progress that nobody follows."""


def modules():
    """The names of the modules of the network that can be explained."""
    backbone = service.load(BackboneChoice(BACKBONE))
    names = [name for name, _ in backbone.model.named_modules()]
    return [name for name in names if name.startswith("layer")][:60]


def explain(file, **given):
    _, packed = asyncio.run(api.explain(image={"path": str(file)}, backbone=BACKBONE, **given))
    return Path(packed["path"])


def main():
    set_threads()
    folder = Path(sys.argv[1])
    small, photo, strip = (folder / name for name in ("small.png", "photo.jpg", "strip.png"))
    Image.fromarray(photograph(60, 80)).save(small)
    Image.fromarray(photograph(3000, 4000)).save(photo, quality=90)
    Image.fromarray(np.zeros((8, 32_767), np.uint8)).save(strip)
    controls = Controls(str(small), BackboneChoice(BACKBONE), cover=Covering("blur", hottest=20))
    make_zip(controls)  # what is loaded once is loaded now
    explain(small, fit="crop")
    found = {}
    controls = Controls(str(photo), BackboneChoice(BACKBONE))
    measure(found, "compress", lambda: compress(np.asarray(Image.open(photo))))
    measure(found, "open", lambda: open_picture(photo))
    rows = measure(found, "explain", lambda: service.rows(controls))
    measure(found, "report", lambda: report_html(rows))
    measure(found, "zip of screen", lambda: make_zip(controls))
    measure(found, "zip of original", lambda: make_zip(controls, "", Task(), "original"))
    look = "?contours=1&boxes=all&threshold=0.4&signed=1"
    measure(found, "zip with contours", lambda: make_zip(controls, look))
    for kind in ("blur", "mean", "neighbours", "background"):
        cover = replace(controls, cover=Covering(kind, hottest=20))
        measure(found, f"cover with {kind}", lambda: covering.covered(cover, rows["layercam"]))  # noqa: B023
    measure(found, "save", lambda: rows["layercam"].save(folder / "saved", size="original"))
    measure(found, "notebook", lambda: rows["layercam"]._repr_html_())
    measure(found, "preview", lambda: rows["layercam"]._repr_png_())
    measure(found, "tile", lambda: pictures._make_tile(controls, "layercam", "fused", quiet))
    measure(found, "endpoint, 60 layers", lambda: explain(photo, stages=modules()))
    measure(found, "endpoint, long strip", lambda: explain(strip))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
