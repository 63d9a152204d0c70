"""camviz from a shell: `camviz explain | maps | export | serve | models | ...`.

Exit status 0, or 2 with one line on standard error for what the person can mend. `--help` loads
neither torch nor gradio: commands import what they need when they run.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from camviz.arguments import read_fraction
from camviz.cli_benchmark import add_benchmark
from camviz.cli_export import add_export
from camviz.cli_maps import add_maps
from camviz.cli_space import add_space
from camviz.cli_teach import add_teach
from camviz.defaults import FUSED, REFINED, REFINED_THRESHOLD, THRESHOLD
from camviz.engine.option import Option, option_table
from camviz.engine.options import Options
from camviz.environment import environment, variable_table
from camviz.errors import CamvizError
from camviz.files import output_file, output_folder, user_path
from camviz.network.settings import Settings
from camviz.terminal import clear_line, progress_line, set_threads, silenced_libraries

DRAWN_BACKBONE = "scenes-resnet"  # the plainest of those that were trained on scenes

if TYPE_CHECKING:
    from camviz.engine.explanation import Explanation
    from camviz.network.backbone import Weights
    from camviz.prototypes.bank import PrototypeBank
    from camviz.scenes import Scene

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = build_parser().parse_args(words)
    try:
        return int(arguments.run(arguments))
    except CamvizError as error:
        print(f"camviz: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `camviz models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser(options: type[Options] = Options) -> argparse.ArgumentParser:
    """The parser of the command line; options: those that `explain` takes."""
    parser = argparse.ArgumentParser(
        prog="camviz",
        description="See why an image classifier decided what it decided.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_explain(commands, options)
    add_maps(commands)
    _add_serve(commands)
    _add_models(commands)
    _add_prototypes(commands)
    add_teach(commands)
    add_export(commands)
    add_benchmark(commands)
    add_space(commands)
    return parser


def _add_explain(commands: Commands, options: type[Options]) -> None:
    explain = commands.add_parser(
        "explain", help="explain one picture: overlays, boxes, maps.npz and manifest.json"
    )
    source = explain.add_mutually_exclusive_group(required=True)
    source.add_argument("picture", nargs="?", help="JPEG, PNG, WebP, GIF, BMP, TIFF or NPY")
    source.add_argument(
        "--scene",
        metavar="SEED[:INDEX]",
        type=_scene,
        help="a drawn scene instead of a picture, and how well the maps find what is in it",
    )
    explain.add_argument(
        "--backbone",
        metavar="NAME",
        help="a bundled name, a timm architecture or tag, local-dir:PATH or hf-hub:ORG/NAME; "
        "default: the best at hand",
    )
    explain.add_argument(
        "--weights",
        default="auto",
        metavar="FILE",
        help="a checkpoint, 'auto' (default) or 'random' (untrained: for trying out only)",
    )
    explain.add_argument(
        "--head",
        metavar="FILE",
        help="a classifier of `camviz teach` in the place of the network's own",
    )
    explain.add_argument("--target", metavar="CLASS", help="label or index; default: the top one")
    for row in option_table(options).values():
        _add_option(explain, row)
    _add_settings(explain)
    explain.add_argument(
        "--threshold",
        type=read_fraction,
        help=f"boxes at this share of the maximum ({THRESHOLD}, as in CAM's paper; "
        f"{REFINED_THRESHOLD} of the refined map)",
    )
    explain.add_argument(
        "--boxes-of",
        choices=(FUSED, REFINED),
        default=FUSED,
        help="the map that boxes are printed of (fused)",
    )
    explain.add_argument("--out", metavar="DIR", help="write the result here")
    explain.add_argument(
        "--size",
        choices=("screen", "original"),
        default="screen",
        help="how large overlays are written: at most 1600 pixels a side (default), or as the "
        "picture is",
    )
    explain.add_argument("--json", action="store_true", help="print the result as JSON")
    explain.set_defaults(run=partial(_explain, options))


def _add_option(parser: argparse.ArgumentParser, row: Option) -> None:
    """Give a command an option of the table, under its old name too."""
    names = [row.name, *([row.old_name] if row.old_name else [])]
    default = "" if row.default is None else f" (default: {row.write(row.default)})"
    listed = "; a wrong name lists all" if callable(row.choices) else ""
    papers = f"; {row.own_settings}" if row.papers else ""
    parser.add_argument(
        *(f"--{name.replace('_', '-')}" for name in names),
        dest=row.name,
        type=_reader(row),
        default=row.default,
        # Tables of methods and fusions load torch; `Options` checks their names.
        choices=None if row.choices is None or callable(row.choices) else tuple(row.choices),
        metavar=row.metavar,
        help=(row.help + listed + papers + default).replace("%", "%%"),
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Give a command the settings of a network; `Settings` checks them."""
    settings = parser.add_argument_group("where the network's own configuration is wrong or silent")
    for name, metavar, text in (
        ("labels", "FILE", "a name on each line, JSON, or A,B,C: in the order of the logits"),
        ("output", "KIND", "what the head gives: softmax, sigmoid, value or features"),
        ("input-size", "H,W", "of the picture that the network is shown"),
        ("mean", "R,G,B", "subtracted from the pixels, which go from 0 to 1"),
        ("std", "R,G,B", "by which the pixels are divided then"),
        ("interpolation", "NAME", "by which the picture is scaled"),
        ("crop-pct", "SHARE", "of the scaled picture that is shown with --fit crop"),
    ):
        settings.add_argument(f"--{name}", metavar=metavar, help=text)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {each.name: getattr(arguments, each.name) for each in fields(Settings)}


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser("serve", help="open the page in a browser")
    serve.add_argument("--host", metavar="ADDRESS", help="default: GRADIO_SERVER_NAME, 127.0.0.1")
    serve.add_argument("--port", type=int, help="default: GRADIO_SERVER_PORT, 7860 or the next")
    serve.add_argument(
        "--public",
        action="store_true",
        help="for visitors whom nobody knows: the safe defaults of docs/operating.md",
    )
    serve.add_argument(
        "--memory-budget",
        metavar="MB",
        help="memory for networks, traces of pictures and one pass; larger networks are refused; "
        "default: CAMVIZ_MEMORY_BUDGET, else 3072 and nothing is refused",
    )
    serve.add_argument(
        "--run",
        dest="runs",
        action="append",
        default=[],
        metavar="DIR",
        help="a run of `camviz maps` that visitors may look through in Collection; may be repeated",
    )
    serve.set_defaults(run=_serve)


def _add_models(commands: Commands) -> None:
    models = commands.add_parser("models", help="list backbones, or check that they can be traced")
    models.add_argument("pattern", nargs="?", default="*", help="part of a name, or a pattern")
    models.add_argument(
        "--check",
        action="store_true",
        help="build each architecture untrained, find its stages and trace it once",
    )
    models.add_argument(
        "--families", action="store_true", help="only the smallest architecture of each family"
    )
    models.add_argument("--json", action="store_true", help="print the list as JSON")
    models.set_defaults(run=_models)


def _add_prototypes(commands: Commands) -> None:
    prototypes = commands.add_parser(
        "prototypes", help="learn what a class looks like, place by place, for --method lpcam"
    )
    actions = prototypes.add_subparsers(required=True, metavar="build|show")
    build = actions.add_parser("build", help="from 1 to 64 pictures of the class")
    build.add_argument("pictures", nargs="+", metavar="PICTURE")
    build.add_argument("--target", required=True, metavar="CLASS", help="label or index")
    build.add_argument("--out", required=True, metavar="FILE", help="a .safetensors file")
    build.add_argument("--backbone", metavar="NAME", help="default: the best at hand")
    build.add_argument("--weights", default="auto", metavar="FILE")
    build.add_argument("--clusters", type=int, default=12, help="of a kind, at most (12)")
    build.add_argument(
        "--tau",
        type=float,
        default=0.25,
        help="foreground is where the CAM reaches this share of its maximum (0.25; the paper: 0.1)",
    )
    build.add_argument("--mu-f", type=float, default=0.9, help="least score of foreground (0.9)")
    build.add_argument("--mu-b", type=float, default=0.9, help="bound of context's score (0.9)")
    build.add_argument("--seed", type=int, default=0)
    table = option_table(Options)
    for name in ("stages", "tap", "fit"):
        _add_option(build, table[name])
    _add_settings(build)
    build.set_defaults(run=_build_prototypes)
    show = actions.add_parser("show", help="what a file holds")
    show.add_argument("file", metavar="FILE")
    show.add_argument("--json", action="store_true", help="print it as JSON")
    show.set_defaults(run=_show_prototypes)


def _reader(row: Option) -> Callable[[str], Any]:
    """The value of an option from its text, in argparse's terms."""

    def read(text: str) -> Any:
        try:
            return row.parse(text)
        except ValueError:
            kind = "whole number" if row.kind is int else "number"
            raise argparse.ArgumentTypeError(f"'{text}' is not a {kind}") from None

    return read


def _scene(text: str) -> tuple[int, int]:
    seed, _, index = text.partition(":")
    if not (seed.isdecimal() and (index or "0").isdecimal()):
        raise argparse.ArgumentTypeError(
            f"'{text}' names no scene; give SEED or SEED:INDEX, whole numbers from 0"
        )
    return int(seed), int(index or 0)


def _explain(options: type[Options], arguments: argparse.Namespace) -> int:
    from camviz.engine.engine import Engine
    from camviz.images import open_picture

    set_threads()
    if arguments.out:
        output_folder(arguments.out)  # found out before the work
    if arguments.boxes_of == REFINED and arguments.refine == "none":
        raise CamvizError("there is no refined map to take boxes of: leave out --refine none")
    picture, backbone, target = arguments.picture, arguments.backbone, arguments.target
    scene = None
    if arguments.scene is not None:
        from camviz.scenes import HELD_OUT_BACKGROUNDS, draw_scene

        # Before a background that no bundled network was trained on.
        scene = draw_scene(*arguments.scene, backgrounds=HELD_OUT_BACKGROUNDS)
        picture = scene.image
        if backbone is None and not arguments.head:  # one that was trained on what is drawn
            backbone, target = DRAWN_BACKBONE, target or scene.objects[0].label
    else:
        with silenced_libraries():
            picture = open_picture(picture)
    engine = Engine(options=options)
    network = {"weights": arguments.weights, **_settings(arguments)}
    if arguments.head:  # the network is loaded with its settings, and is given from then on
        backbone = engine.use_head(user_path(arguments.head), backbone, **network).backbone
        network = {}
    x = engine.explain(
        picture,
        backbone,
        target=target,
        **{name: getattr(arguments, name) for name in option_table(options)},
        **network,
    )
    figures = {} if scene is None else _against_truth(x, scene, arguments.threshold)
    folder = None
    if arguments.out:
        folder = x.save(arguments.out, threshold=arguments.threshold, size=arguments.size)
    if arguments.json:
        manifest = x.manifest(arguments.threshold)
        if figures:
            manifest["truth"] = figures
        print(json.dumps(manifest, indent=2, ensure_ascii=False))
        return 0
    _print_explanation(x, arguments.threshold, figures, arguments.boxes_of)
    nothing = "nothing written; --out DIR keeps overlays, maps and manifest"
    print(nothing if folder is None else f"written to {folder}")
    return 0


Figures = dict[str, dict[str, dict[str, float]]]


def _print_explanation(
    x: "Explanation", threshold: float | None, figures: Figures, boxes_of: str
) -> None:
    print(f"{x.backbone.display_name}, {_origin(x.backbone.weights)}")
    if not x.backbone.has_classes:
        print("it knows no classes: these are maps of its features")
    if not x.is_confident:
        print("not sure: this may be none of the things it knows")
    top = x.predictions[:5]
    for index, label, figure in top + [p for p in x.predictions[5:] if p[0] == x.target]:
        mark = "*" if index == x.target else " "
        text = f"{figure:7.4g}" if x.backbone.output == "value" else f"{figure:6.1%}"
        print(f"{mark} {text}  {label} ({index})")
    for name, notes in x.notes.items():
        print(f"  {name}: {notes}")
    for box in x.boxes(threshold, of=boxes_of, multi=True):
        print(f"  box {box.xyxy}, {box.area_fraction:.0%} of the picture")
    for label, rows in figures.items():
        print(f"  against the drawn {label}:")
        for name, row in rows.items():
            values = "  ".join(f"{figure} {value:.3f}" for figure, value in row.items())
            print(f"    {name:16} {values}")


def _against_truth(x: "Explanation", scene: "Scene", threshold: float | None) -> Figures:
    """For everything drawn in a scene: how well each map finds it, and its parts."""
    return {
        thing.label: x.measure(thing.mask, parts=thing.parts, threshold=threshold)
        for thing in scene.objects
    }


def _origin(weights: "Weights") -> str:
    if not weights.trained:
        return "untrained weights: its maps mean nothing"
    return f"weights {weights.source}: {weights.origin}"


def _serve(arguments: argparse.Namespace) -> int:
    if arguments.public:
        os.environ[variable_table()["public"].name] = "1"
    if arguments.memory_budget is not None:
        os.environ[variable_table()["memory_budget"].name] = arguments.memory_budget
    environment()  # a variable that cannot be read is named before anything is loaded
    if arguments.runs:
        _offer_runs(arguments.runs)
    from camviz.ui import build_app, launch_options, serve  # before torch, as ZeroGPU needs it

    return serve(build_app, launch_options, server_name=arguments.host, server_port=arguments.port)


def _offer_runs(folders: Sequence[str]) -> None:
    """Add runs to those that the environment names. Raises `DataError` for what is none."""
    from camviz.bulk import require

    require()
    from camviz.bulk.run import Run, runs_in

    held = [environment().runs] if environment().runs else []
    for folder in map(user_path, folders):
        for each in runs_in(folder):
            Run.open(each)
        held.append(str(folder.resolve()))
    os.environ[variable_table()["runs"].name] = os.pathsep.join(held)


def _models(arguments: argparse.Namespace) -> int:
    from camviz.network.catalogue import catalogue

    if arguments.check:
        return _check_models(arguments)
    entries = catalogue(arguments.pattern)
    if not entries:
        raise CamvizError(f"no backbone matches '{arguments.pattern}'")
    if arguments.json:
        print(json.dumps([vars(entry) for entry in entries], indent=2))
        return 0
    print(f"{'name':52} {'weights':10} {'million':>8} {'input':>6} {'classes':>8}  licence")
    for entry in entries:
        million = "" if entry.parameters is None else f"{entry.parameters / 1e6:.1f}"
        classes = entry.classes if entry.classifier else "features"
        print(
            f"{entry.name:52} {entry.source:10} {million:>8} {entry.input_size[1]:>6} "
            f"{classes:>8}  {entry.license or 'not stated'}"
        )
    return 0


def _check_models(arguments: argparse.Namespace) -> int:
    import fnmatch

    from camviz.network.catalogue import catalogue
    from camviz.network.check import check, smallest_of_each_family

    set_threads()
    if arguments.families:
        entries = [
            e
            for e in smallest_of_each_family()
            if fnmatch.fnmatch(e.architecture, arguments.pattern)
        ]
    else:
        found = {entry.architecture: entry for entry in catalogue(arguments.pattern)}
        entries = list(found.values())
    if not entries:
        raise CamvizError(f"no architecture matches '{arguments.pattern}'")
    good = 0
    for report in check(entries):
        print(report.line(), flush=True)
        good += report.ok
    print(f"{good} of {len(entries)} can be traced")
    return 0 if good == len(entries) else 2


def _build_prototypes(arguments: argparse.Namespace) -> int:
    from camviz.engine.engine import Engine

    set_threads()
    out = output_file(arguments.out)

    bank = Engine().build_prototypes(
        arguments.pictures,
        arguments.backbone,
        arguments.target,
        clusters=arguments.clusters,
        tau=arguments.tau,
        mu_f=arguments.mu_f,
        mu_b=arguments.mu_b,
        seed=arguments.seed,
        stages=arguments.stages,
        weights=arguments.weights,
        tap=arguments.tap,
        fit=arguments.fit,
        progress=progress_line(),
        **_settings(arguments),
    )
    clear_line()
    _print_bank(bank)
    print(f"written to {bank.save(out)}")
    return 0


def _show_prototypes(arguments: argparse.Namespace) -> int:
    from camviz.prototypes.bank import PrototypeBank

    bank = PrototypeBank.load(user_path(arguments.file))
    if arguments.json:
        print(json.dumps(bank.table, indent=2, ensure_ascii=False))
    else:
        _print_bank(bank)
    return 0


def _print_bank(bank: "PrototypeBank") -> None:
    print(f"prototypes of '{bank.label}' ({bank.target}) as {bank.backbone} sees it")
    print(f"from {len(bank.pictures)} pictures: {', '.join(bank.pictures[:8])}")
    for name, reason in bank.skipped:
        print(f"  skipped {name}: {reason}")
    for stage, held in bank.stages.items():
        print(f"  {stage}: {' '.join(bank.sentences(stage))}")
        for index, row in enumerate(held.prototypes):
            score = "" if row.score is None else f"z {row.score:.2f}"
            kept = "" if row.kept else "left out"
            where = ", ".join(bank.pictures[m.picture] for m in row.members[:2])
            print(
                f"    {index:3} {row.kind:10} {row.size:5} places  {score:6}  {kept:8}  "
                f"{row.name}{'  ' if row.name else ''}{where}"
            )
