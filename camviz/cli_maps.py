"""`camviz maps`: the maps of many pictures, as a run: a folder of Parquet files."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

from camviz.arguments import read_names
from camviz.engine.option import option_table
from camviz.engine.options import AUTO, Options
from camviz.errors import CamvizError
from camviz.files import output_folder
from camviz.network.settings import Settings
from camviz.terminal import clear_line, set_threads

if TYPE_CHECKING:
    from camviz.bulk.job import Job
    from camviz.bulk.work import Progress, Tell

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

STOPPED = 130  # the status of a shell's command that Ctrl-C ended
_DESCRIPTION = """\
Maps of many pictures, as a run: a folder of Parquet files, which `camviz export` turns into other
formats.

source:
  FOLDER                  every picture below it; the subfolder is the label
  FILE.csv, FILE.parquet  with a column of paths, which are relative to the file
  "NAME-{0000..0099}.tar" tar shards in the layout of webdataset
  hf:ORG/NAME:SPLIT       a data set of the Hugging Face hub, streamed; hf:FOLDER:SPLIT too

A run that was stopped goes on when the same command is given again.
"""


def add_maps(commands: Commands) -> None:
    maps = commands.add_parser(
        "maps",
        help="the maps of many pictures: a folder, a table, tar shards or a Hugging Face data set",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    maps.add_argument("source", metavar="SRC", help="one of the above")
    maps.add_argument("--out", required=True, metavar="RUN", help="the folder of the run")
    maps.add_argument("--backbone", metavar="NAME", help="as of explain; default: the best at hand")
    maps.add_argument("--weights", default="auto", metavar="FILE", help="as of explain")
    maps.add_argument(
        "--method",
        type=read_names,
        default=(),
        metavar="A,B",
        help="how a layer becomes a map, as of explain; several share the passes of the network, "
        "and each has a run of its own: RUN/A, RUN/B",
    )
    maps.add_argument(
        "--target",
        default="top",
        metavar="top|label|COLUMN",
        help="the class of each picture: its top prediction (default), its label in the source, or "
        "what a column says",
    )
    maps.add_argument(
        "--options",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="further options of explain, and settings of the network, such as views=flip",
    )
    maps.add_argument("--batch", type=_count, default=32, metavar="N", help="pictures a pass (32)")
    maps.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="processes (1), or actors of Ray (one for each GPU, or 1)",
    )
    maps.add_argument(
        "--engine",
        choices=("here", "ray"),
        default="here",
        help="where: on this machine (default), or on a Ray cluster, a local one if none is given",
    )
    maps.add_argument(
        "--threads",
        type=_count,
        default=2,
        metavar="N",
        help="of a worker that open pictures, and as many each that resize them and make maps (2)",
    )
    maps.add_argument("--limit", type=_count, metavar="N", help="only the first N of the source")
    maps.set_defaults(run=_maps)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


def _maps(arguments: argparse.Namespace) -> int:
    job = _job(arguments)
    output_folder(arguments.out)  # found out before the work
    set_threads()
    try:
        done = _run(job, arguments)
    except KeyboardInterrupt:
        clear_line()
        print("camviz: stopped; the same command goes on from here", file=sys.stderr)
        return STOPPED
    finally:
        clear_line()
    print(_sentence(done, arguments.out, job.methods))
    return 0


def _run(job: "Job", arguments: argparse.Namespace) -> "Progress":
    if arguments.engine == "ray":
        from camviz.bulk import require

        require("ray", "ray")
        from camviz.bulk.on_ray import run_on_ray

        return run_on_ray(job, arguments.out, workers=arguments.workers)
    from camviz.bulk.work import run_job

    return run_job(job, arguments.out, workers=arguments.workers or 1, tell=_progress_line())


def _job(arguments: argparse.Namespace) -> "Job":
    values = dict(_pair(text) for text in arguments.options)
    several = arguments.method if len(arguments.method) > 1 else ()
    if several and "method" in values:
        raise CamvizError(
            f"the method is given twice: --method {','.join(several)} and --options "
            f"method={values['method']}; leave out one of them"
        )
    if arguments.method and not several:
        values = {"method": arguments.method[0]} | values
    table = option_table(Options)
    names = {each.name for each in fields(Settings)}
    settings = {name: value for name, value in values.items() if name in names}
    options: dict[str, Any] = {}
    for name, text in values.items():
        if name in table:
            options[name] = _parsed(name, text)
        elif name not in names:
            options[name] = text  # `Options` says what is like it
    for method in several or (options.get("method", AUTO),):
        Options.from_mapping({**options, "method": method})
    from camviz.bulk import require

    require()
    from camviz.bulk.job import Job

    return Job(
        source=arguments.source,
        backbone=arguments.backbone,
        weights=arguments.weights,
        target=arguments.target,
        options=options,
        settings=settings,
        methods=several,
        batch=arguments.batch,
        limit=arguments.limit,
        threads=arguments.threads,
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CamvizError(f"'{text}' is no option; give NAME=VALUE, such as views=flip")
    return name.strip().replace("-", "_"), value.strip()


def _parsed(name: str, text: str) -> Any:
    row = option_table(Options)[name]
    try:
        return row.parse(text)
    except ValueError:
        kind = "whole number" if row.kind is int else "number"
        raise CamvizError(f"{name} is a {kind}, not '{text}'") from None


def _progress_line() -> "Tell":
    """Shows on one line of a terminal how far the work is, a few times a second."""
    last = 0.0

    def show(progress: "Progress") -> None:
        nonlocal last
        if not sys.stderr.isatty() or time.monotonic() - last < 0.2:
            return
        last = time.monotonic()
        print(f"\r{line_of(progress)}\033[K", end="", file=sys.stderr, flush=True)

    return show


def line_of(progress: "Progress") -> str:
    """How far the work is, its rate, and the time that is left."""
    there = progress.before + progress.done
    of = "" if progress.count is None else f"/{progress.count}"
    failed = f", {progress.failed} failed" if progress.failed else ""
    left = "" if progress.left is None else f", {_duration(progress.left)} left"
    return f"{there}{of} pictures, {progress.rate:.1f} a second{left}{failed}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes}:{rest:02}"


def _sentence(done: "Progress", out: str, methods: Sequence[str]) -> str:
    maps = done.done - done.failed
    before = f", {done.before} were there" if done.before else ""
    failed = f", {done.failed} failed (errors.parquet says why)" if done.failed else ""
    where = f", a run in each of {', '.join(methods)}" if methods else ""
    return (
        f"{maps} pictures explained in {_duration(done.seconds)} ({done.rate:.1f} a second)"
        f"{before}{failed}; written to {out}{where}"
    )
