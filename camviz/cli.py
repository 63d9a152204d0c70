"""camviz from a shell: `python -m camviz explain | models | prototypes | space`.

Exit status 0, or 2 with one line on standard error for what the person can mend. `--help` loads
neither torch nor gradio: commands import what they need when they run.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from camviz.errors import CamvizError

DRAWN_BACKBONE = "scenes-resnet"  # the plainest of those that know scenes

if TYPE_CHECKING:
    from camviz.engine.explanation import Explanation
    from camviz.prototypes.bank import PrototypeBank
    from camviz.scenes import Scene


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except CamvizError as error:
        print(f"camviz: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `camviz models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="camviz",
        description="See why an image classifier decided what it decided.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    explain = commands.add_parser(
        "explain", help="explain one picture: overlays, boxes, maps.npz and manifest.json"
    )
    what = explain.add_mutually_exclusive_group(required=True)
    what.add_argument("picture", nargs="?", help="JPEG, PNG, WebP, GIF, BMP or TIFF")
    what.add_argument(
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
    explain.add_argument("--target", metavar="CLASS", help="label or index; default: the top one")
    explain.add_argument("--versus", metavar="CLASS", help="explain the target against this class")
    explain.add_argument(
        "--score",
        default="logit",
        choices=("logit", "log_probability", "probability"),
        help="the number that is explained (default: logit)",
    )
    explain.add_argument("--method", default="layer_cam", metavar="NAME", help="see METHODS")
    explain.add_argument("--stages", metavar="A,B", help="stages or modules; default: one a size")
    explain.add_argument("--fuse", default="product", metavar="NAME", help="see FUSIONS")
    explain.add_argument("--tap", default="activation", choices=("activation", "output"))
    explain.add_argument("--placement", default="plain", choices=("plain", "true"))
    explain.add_argument("--fit", default="stretch", choices=("stretch", "crop"))
    explain.add_argument("--grid", default="auto", choices=("auto", "smooth", "raw"))
    explain.add_argument(
        "--truncation",
        type=float,
        default=0.0,
        metavar="Q",
        help="denoise shallow stages: truncate their positive gradient at this quantile of the "
        "noise, 0.9 is usual (default: 0, off)",
    )
    explain.add_argument(
        "--truncated", metavar="A,B", help="stages to truncate; default: all but the deepest"
    )
    explain.add_argument("--truncation-mode", default="threshold", metavar="NAME")
    explain.add_argument("--calibration", default="mirror", metavar="NAME")
    explain.add_argument(
        "--prototypes",
        metavar="FILE",
        help="for --method lpcam: a file of `prototypes build`, 'shipped' or 'self'",
    )
    explain.add_argument("--aggregate", default="mean", choices=("mean", "max"))
    explain.add_argument(
        "--threshold", type=_fraction, default=0.2, help="boxes at this share of the maximum (0.2)"
    )
    explain.add_argument("--out", metavar="DIR", help="write the result here")
    explain.add_argument("--json", action="store_true", help="print the result as JSON")
    explain.set_defaults(run=_explain)

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

    prototypes = commands.add_parser(
        "prototypes", help="learn what a class looks like, place by place, for --method lpcam"
    )
    doing = prototypes.add_subparsers(required=True, metavar="build|show")
    build = doing.add_parser("build", help="from 1 to 64 pictures of the class")
    build.add_argument("pictures", nargs="+", metavar="PICTURE")
    build.add_argument("--target", required=True, metavar="CLASS", help="label or index")
    build.add_argument("--out", required=True, metavar="FILE", help="a .safetensors file")
    build.add_argument("--backbone", metavar="NAME", help="default: the best at hand")
    build.add_argument("--weights", default="auto", metavar="FILE")
    build.add_argument("--stages", metavar="A,B", help="default: one a resolution")
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
    build.add_argument("--tap", default="activation", choices=("activation", "output"))
    build.add_argument("--fit", default="stretch", choices=("stretch", "crop"))
    build.set_defaults(run=_build_prototypes)
    show = doing.add_parser("show", help="what a file holds")
    show.add_argument("file", metavar="FILE")
    show.add_argument("--json", action="store_true", help="print it as JSON")
    show.set_defaults(run=_show_prototypes)

    space = commands.add_parser(
        "space", help="check, render and publish what this folder is on Hugging Face Spaces"
    )
    doing = space.add_subparsers(required=True, metavar="check|render|plan|publish|run")
    check = doing.add_parser("check", help="prove that Spacefile, README, files and code agree")
    check.set_defaults(run=_check_space)
    rendering = doing.add_parser("render", help="write the head of README.md from the Spacefile")
    rendering.add_argument("--check", action="store_true", help="write nothing: 2 if it is stale")
    rendering.set_defaults(run=_render_space)
    plan = doing.add_parser("plan", help="what would be sent: files, sizes, calls")
    publish = doing.add_parser("publish", help="make the Space, or bring it up to date")
    publish.add_argument("name", metavar="OWNER/NAME")
    publish.add_argument("--private", action="store_true", help="for nobody else to see")
    publish.add_argument("--dry-run", action="store_true", help="the plan, and nothing is sent")
    serve = doing.add_parser("run", help="serve here exactly what the Space would")
    serve.add_argument("--port", type=int, default=7860)
    for command, run in ((plan, _plan_space), (publish, _publish_space), (serve, _run_space)):
        command.add_argument("--profile", metavar="NAME", help="default: the Spacefile's first")
        command.set_defaults(run=run)
    return parser


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return value


def _scene(text: str) -> tuple[int, int]:
    seed, _, index = text.partition(":")
    if not (seed.isdecimal() and (index or "0").isdecimal()):
        raise argparse.ArgumentTypeError(
            f"'{text}' names no scene; give SEED or SEED:INDEX, whole numbers from 0"
        )
    return int(seed), int(index or 0)


def _explain(options: argparse.Namespace) -> int:
    from camviz.engine.engine import Engine

    _set_threads()
    scene = None
    if options.scene is not None:
        from camviz.scenes import HELD_OUT_BACKGROUNDS, draw_scene

        # Before a background that no bundled network was trained on.
        scene = draw_scene(*options.scene, backgrounds=HELD_OUT_BACKGROUNDS)
        if options.backbone is None:  # one that knows what is drawn
            options.backbone = DRAWN_BACKBONE
            options.target = options.target or scene.objects[0].label
    x = Engine().explain(
        options.picture if scene is None else scene.image,
        options.backbone,
        options.weights,
        options.target,
        options.method,
        options.stages.split(",") if options.stages else None,
        options.fuse,
        options.tap,
        options.placement,
        options.fit,
        options.score,
        options.versus,
        options.grid,
        options.truncation,
        options.truncated.split(",") if options.truncated else None,
        options.truncation_mode,
        options.calibration,
        options.prototypes,
        options.aggregate,
    )
    figures = {} if scene is None else _against_truth(x, scene, options.threshold)
    folder = x.save(options.out, threshold=options.threshold) if options.out else None
    if options.json:
        manifest = x.manifest(options.threshold)
        if figures:
            manifest["truth"] = figures
        print(json.dumps(manifest, indent=2, ensure_ascii=False))
        return 0
    print(f"{x.backbone.name}, {_origin(x.backbone.weights)}")
    if not x.is_confident:
        print("not sure: this may be none of the things it knows")
    top = x.predictions[:5]
    for index, label, probability in top + [p for p in x.predictions[5:] if p[0] == x.target]:
        mark = "*" if index == x.target else " "
        print(f"{mark} {probability:6.1%}  {label} ({index})")
    for name, notes in x.notes.items():
        print(f"  {name}: {notes}")
    for box in x.boxes(options.threshold, multi=True):
        print(f"  box {box.xyxy}, {box.area_fraction:.0%} of the picture")
    for label, rows in figures.items():
        print(f"  against the drawn {label}:")
        for name, row in rows.items():
            said = "  ".join(f"{figure} {value:.3f}" for figure, value in row.items())
            print(f"    {name:16} {said}")
    if folder is not None:
        print(f"written to {folder}")
    else:
        print("nothing written; --out DIR keeps overlays, maps and manifest")
    return 0


def _against_truth(
    x: "Explanation", scene: "Scene", threshold: float
) -> dict[str, dict[str, dict[str, float]]]:
    """For everything drawn in a scene: how well each map finds it, and its parts."""
    return {
        thing.label: x.measure(thing.mask, parts=thing.parts, threshold=threshold)
        for thing in scene.objects
    }


def _origin(weights: "object") -> str:
    source, origin = weights.source, weights.origin  # type: ignore[attr-defined]
    if source == "random":
        return "untrained weights: its maps mean nothing"
    return f"weights {source}: {origin}"


def _models(options: argparse.Namespace) -> int:
    from camviz.network.catalogue import catalogue

    if options.check:
        return _check_models(options)
    entries = catalogue(options.pattern)
    if not entries:
        raise CamvizError(f"no backbone is called like '{options.pattern}'")
    if options.json:
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


def _check_models(options: argparse.Namespace) -> int:
    import fnmatch

    from camviz.network.catalogue import catalogue
    from camviz.network.check import check, smallest_of_each_family

    _set_threads()
    if options.families:
        entries = [
            e for e in smallest_of_each_family() if fnmatch.fnmatch(e.architecture, options.pattern)
        ]
    else:
        found = {entry.architecture: entry for entry in catalogue(options.pattern)}
        entries = list(found.values())
    if not entries:
        raise CamvizError(f"no architecture is called like '{options.pattern}'")
    good = 0
    for report in check(entries):
        print(report.line(), flush=True)
        good += report.ok
    print(f"{good} of {len(entries)} can be traced")
    return 0 if good == len(entries) else 2


def _build_prototypes(options: argparse.Namespace) -> int:
    from camviz.engine.engine import Engine

    _set_threads()

    def progress(done: int, of: int, name: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{done}/{of} {name:.60}\033[K", end="", file=sys.stderr)

    bank = Engine().build_prototypes(
        options.pictures,
        options.backbone,
        options.target,
        options.clusters,
        options.tau,
        options.mu_f,
        options.mu_b,
        options.seed,
        options.stages.split(",") if options.stages else None,
        weights=options.weights,
        tap=options.tap,
        fit=options.fit,
        progress=progress,
    )
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    file = bank.save(options.out)
    _print_bank(bank)
    print(f"written to {file}")
    return 0


def _show_prototypes(options: argparse.Namespace) -> int:
    from camviz.prototypes.bank import PrototypeBank

    bank = PrototypeBank.load(options.file)
    if options.json:
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


def _check_space(options: argparse.Namespace, aloud: bool = True) -> int:
    from camviz.space.rules import check
    from camviz.space.spacefile import spacefile

    wrong = check(spacefile())
    for sentence in wrong:
        print(f"camviz: {sentence}", file=sys.stderr)
    if aloud and not wrong:
        print("the Spacefile is in order")
    return 2 if wrong else 0


def _render_space(options: argparse.Namespace) -> int:
    from camviz.space.files import render
    from camviz.space.spacefile import README, ROOT, spacefile

    file = ROOT / README
    readme = file.read_text(encoding="utf-8")
    rendered = render(readme, spacefile())
    if rendered == readme:
        print(f"the head of {README} is what the Spacefile says")
        return 0
    if options.check:
        raise CamvizError(
            f"the head of {README} is stale; `python -m camviz space render` writes it"
        )
    file.write_text(rendered, encoding="utf-8")
    print(f"the head of {README} written")
    return 0


def _plan_space(options: argparse.Namespace) -> int:
    from camviz.space.files import bundle, size
    from camviz.space.publish import calls
    from camviz.space.spacefile import spacefile

    found = spacefile()
    for name, content in bundle(found, options.profile).items():
        made = "  made from the Spacefile" if isinstance(content, bytes) else ""
        print(f"{size(content):>12,}  {name}{made}")
    for number, call in enumerate(calls(found, options.profile), 1):
        print(f"{number}. {call}")
    return 0


def _publish_space(options: argparse.Namespace) -> int:
    if options.dry_run:
        return _check_space(options, aloud=False) or _plan_space(options)
    from camviz.space.publish import publish
    from camviz.space.spacefile import spacefile

    address = publish(
        spacefile(), options.name, options.profile, private=options.private, say=print
    )
    print(f"it is being built: {address}")
    return 0


def _run_space(options: argparse.Namespace) -> int:
    from camviz.space.publish import serve
    from camviz.space.spacefile import spacefile

    return serve(spacefile(), options.profile, options.port)


def _set_threads() -> None:
    """One thread unless told otherwise: on shared cores two can be ten times slower."""
    import torch

    torch.set_num_threads(int(os.environ.get("CAMVIZ_THREADS", "1")))
