"""`camviz space check | render | plan | publish | run`: this checkout as a Hugging Face Space."""

import argparse
import sys
from typing import TypeAlias

from camviz.errors import CamvizError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_space(commands: Commands) -> None:
    space = commands.add_parser(
        "space", help="check, render and publish what this folder is on Hugging Face Spaces"
    )
    actions = space.add_subparsers(required=True, metavar="check|render|plan|publish|run")
    check = actions.add_parser("check", help="prove that Spacefile, README, files and code agree")
    check.set_defaults(run=_check_space)
    render = actions.add_parser("render", help="write the head of README.md from the Spacefile")
    render.add_argument("--check", action="store_true", help="write nothing: 2 if it is stale")
    render.set_defaults(run=_render_space)
    plan = actions.add_parser("plan", help="what would be sent: files, sizes, calls")
    publish = actions.add_parser("publish", help="make the Space, or bring it up to date")
    publish.add_argument("name", metavar="OWNER/NAME")
    publish.add_argument("--private", action="store_true", help="for nobody else to see")
    publish.add_argument("--dry-run", action="store_true", help="the plan, and nothing is sent")
    run = actions.add_parser("run", help="serve here exactly what the Space would")
    run.add_argument("--port", type=int, default=7860)
    for command, function in ((plan, _plan_space), (publish, _publish_space), (run, _run_space)):
        command.add_argument("--profile", metavar="NAME", help="default: the Spacefile's first")
        command.set_defaults(run=function)


def _check_space(arguments: argparse.Namespace, report: bool = True) -> int:
    from camviz.space.rules import check
    from camviz.space.spacefile import checkout

    wrong = check(checkout())
    for sentence in wrong:
        print(f"camviz: {sentence}", file=sys.stderr)
    if report and not wrong:
        print("the Spacefile is in order")
    return 2 if wrong else 0


def _render_space(arguments: argparse.Namespace) -> int:
    from camviz.space.files import render
    from camviz.space.spacefile import README, checkout

    found = checkout()
    file = found.root / README
    readme = file.read_text(encoding="utf-8")
    rendered = render(readme, found)
    if rendered == readme:
        print(f"the head of {README} is what the Spacefile says")
        return 0
    if arguments.check:
        raise CamvizError(
            f"the head of {README} is stale; `python -m camviz space render` writes it"
        )
    file.write_text(rendered, encoding="utf-8")
    print(f"the head of {README} written")
    return 0


def _plan_space(arguments: argparse.Namespace) -> int:
    from camviz.space.files import bundle, size
    from camviz.space.publish import publish_steps
    from camviz.space.spacefile import checkout

    found = checkout()
    for name, content in bundle(found, arguments.profile).items():
        made = "  made from the Spacefile" if isinstance(content, bytes) else ""
        print(f"{size(content):>12,}  {name}{made}")
    for number, call in enumerate(publish_steps(found, arguments.profile), 1):
        print(f"{number}. {call}")
    return 0


def _publish_space(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _check_space(arguments, report=False) or _plan_space(arguments)
    from camviz.space.publish import publish
    from camviz.space.spacefile import checkout

    address = publish(
        checkout(), arguments.name, arguments.profile, private=arguments.private, report=print
    )
    print(f"it is being built: {address}")
    return 0


def _run_space(arguments: argparse.Namespace) -> int:
    from camviz.space.publish import serve
    from camviz.space.spacefile import checkout

    return serve(checkout(), arguments.profile, arguments.port)
