"""`camviz benchmark`: how well maps locate things, and rank the parts of a thing."""

import argparse
import csv
import json
import sys
from typing import TYPE_CHECKING, TypeAlias

from camviz.arguments import read_names
from camviz.errors import CamvizError, DataError
from camviz.files import output_folder, user_path
from camviz.terminal import clear_line, progress_line, set_threads

if TYPE_CHECKING:
    from camviz.benchmark.runner import Failure, Run
    from camviz.engine.engine import Engine
    from camviz.network.backbone import Backbone

_MOST_TOLD = 10  # pictures that could not be measured; all of them stand in failures.csv

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_DESCRIPTION = """\
How well maps find what is known to be there, as tables (CSV, Markdown) and plots (SVG).

data:
  scenes             drawn scenes, exact masks, whatever the number of pictures
  parts              the same, drawn without each part: does the heat rank the parts of a thing
                     as the network needs them?
  voc:FOLDER         PASCAL VOC: JPEGImages, Annotations, SegmentationClass, ImageSets
  imagenet-s:FOLDER  ImageNet-S: validation and validation-segmentation
  boxes:FILE         a CSV file with the columns file, class, x0, y0, x1, y1

A run that was stopped goes on when the same command is given again.

With --run nothing is computed anew: the maps are those that `camviz maps` made, and the table is
the IoU of their seeds, class by class.
"""


def add_benchmark(commands: Commands) -> None:
    benchmark = commands.add_parser(
        "benchmark",
        help="measure how well maps find what is known to be there, on many pictures",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = benchmark.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", metavar="DATA", help="scenes, parts, or one of the above")
    what.add_argument(
        "--claims",
        action="store_true",
        help="answer four questions about maps, on drawn scenes, with intervals",
    )
    benchmark.add_argument("--out", required=True, metavar="DIR", help="results go here")
    benchmark.add_argument(
        "--run",
        dest="run_folder",
        metavar="RUN",
        help="a run of `camviz maps` on the pictures of the data: the mIoU of its seeds",
    )
    benchmark.add_argument(
        "--backbone",
        nargs="+",
        metavar="NAME",
        help="one or several; default: those trained on scenes, or the best at hand",
    )
    benchmark.add_argument("--weights", default="auto", metavar="FILE", help="of one backbone")
    benchmark.add_argument(
        "--methods",
        type=read_names,
        metavar="A,B",
        help="default: those of one pass; for parts all of them",
    )
    benchmark.add_argument(
        "--options",
        nargs="*",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="options of `camviz explain` for all methods; given again: a further set of options",
    )
    benchmark.add_argument(
        "--count", type=int, metavar="N", help="pictures (100 scenes; of a folder all)"
    )
    benchmark.add_argument("--seed", type=int, metavar="N", help="of scenes, or of the choice of N")
    benchmark.add_argument(
        "--classes",
        metavar="FILE",
        help="a CSV file with lines `name in the data,class of the network`, where they differ",
    )
    benchmark.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="processes that measure maps (2)"
    )
    benchmark.set_defaults(run=_benchmark)


def _benchmark(arguments: argparse.Namespace) -> int:
    from camviz.engine.engine import Engine

    set_threads()
    output_folder(arguments.out)  # found out before the work
    if arguments.jobs < 0:
        raise CamvizError(f"jobs is a whole number from 0, not {arguments.jobs}")
    if arguments.run_folder:
        return _score_seeds(arguments)
    engine = Engine()
    if arguments.claims:
        return _test_claims(engine, arguments)
    run = _make_run(engine, arguments)
    try:
        run.go(progress_line(), _tell)
    except KeyboardInterrupt:
        raise CamvizError("stopped; the same command goes on from here") from None
    finally:
        clear_line()
    return _report(run)


def _score_seeds(arguments: argparse.Namespace) -> int:
    from camviz.bulk import require

    require()
    from camviz.benchmark.datasets import SEED, open_dataset
    from camviz.benchmark.seeds import score_seeds, write_seeds
    from camviz.bulk.run import Run

    if arguments.data in (None, "parts") or arguments.backbone or arguments.methods:
        raise CamvizError(
            "--run brings the maps: it goes with --data, of pictures with masks, and without "
            "--claims, --backbone and --methods"
        )
    seed = SEED if arguments.seed is None else arguments.seed
    data = open_dataset(arguments.data, arguments.count, seed)
    run = Run.open(arguments.run_folder)
    try:
        scored = score_seeds(run, data, _read_classes(arguments.classes), progress_line())
    finally:
        clear_line()
    written = write_seeds(scored, arguments.out)
    print(written.read_text(encoding="utf-8"))
    for name, reason in list(scored.failures.items())[:_MOST_TOLD]:
        print(f"camviz: {name}: {reason}", file=sys.stderr)
    print(f"{scored.pictures} of {len(data.names)} measured; written to {written.parent}")
    return 0


def _report(run: "Run") -> int:
    from camviz.benchmark.report import write_report

    written = write_report(run)
    print(written[0].read_text(encoding="utf-8"))
    pictures = len(run.data.names) * len(run.backbones)
    measured = sum(run.count(each) for each in run.backbones)
    print(f"{measured} of {pictures} measured; written to {run.folder.path}")
    return 0


def _make_run(engine: "Engine", arguments: argparse.Namespace) -> "Run":
    from camviz.benchmark.datasets import SCENES, SEED, open_dataset
    from camviz.benchmark.location import Location
    from camviz.benchmark.parts import Parts, PartScenes
    from camviz.benchmark.rows import read_settings
    from camviz.benchmark.runner import Measure, Run
    from camviz.methods import METHODS

    drawn = arguments.data in ("scenes", "parts")
    seed = SEED if arguments.seed is None else arguments.seed
    measure: Measure
    methods = arguments.methods
    if arguments.data == "parts":
        count = SCENES if arguments.count is None else arguments.count
        measure = Parts(PartScenes(count, seed))
        methods = methods or tuple(METHODS)
    else:
        data = open_dataset(arguments.data, arguments.count, seed)
        measure = Location(data, _read_classes(arguments.classes))
    settings = read_settings(methods, arguments.options)
    names = arguments.backbone or _usual_backbones(drawn)
    backbones = _load(engine, names, arguments.weights)
    return Run(engine, backbones, settings, measure, arguments.out, arguments.jobs)


def _load(engine: "Engine", names: list[str], weights: str) -> "list[Backbone]":
    if weights != "auto" and len(names) > 1:
        raise CamvizError(f"weights belong to one backbone, and {len(names)} were given")
    return [engine.backbone(name, weights) for name in names]


def _usual_backbones(drawn: bool) -> list[str]:
    from camviz.network.bundled import bundled_names
    from camviz.network.weights import default_backbone

    scenes = [name for name in bundled_names() if name.startswith("scenes")]
    return scenes if drawn else [default_backbone()]


def _read_classes(file: str | None) -> dict[str, str]:
    if file is None:
        return {}
    path = user_path(file)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read '{path}': {error}") from None
    for row in rows:
        if len(row) != 2:
            raise DataError(f"'{path.name}': '{','.join(row)}' is not a name, a comma and a class")
    return {name.strip(): wanted.strip() for name, wanted in rows}


def _test_claims(engine: "Engine", arguments: argparse.Namespace) -> int:
    from camviz.benchmark.claims import (
        CLAIM_SCENES,
        answer_claims,
        claims_markdown,
        claims_table,
    )
    from camviz.benchmark.datasets import SEED

    names = arguments.backbone or _usual_backbones(True)
    backbones = _load(engine, names, arguments.weights)
    seed = SEED if arguments.seed is None else arguments.seed
    count = CLAIM_SCENES if arguments.count is None else arguments.count
    answers = answer_claims(engine, backbones, count, seed, progress_line())
    clear_line()
    folder = output_folder(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    text = claims_markdown(answers)
    (folder / "claims.md").write_text(text, encoding="utf-8")
    table = json.dumps(claims_table(answers), indent=2, ensure_ascii=False) + "\n"
    (folder / "claims.json").write_text(table, encoding="utf-8")
    print(text)
    print(f"written to {folder}")
    return 0


def _tell(failure: "Failure") -> None:
    clear_line()
    print(f"camviz: {failure}", file=sys.stderr, flush=True)
