"""`camviz teach`: a classifier from a folder that has a folder of pictures for each kind."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from camviz.files import output_file, user_path
from camviz.terminal import clear_line, progress_line, set_threads

if TYPE_CHECKING:
    from camviz.engine.teaching import Taught


def add_teach(commands: Any) -> None:
    """Add the command to the parser of the command line."""
    teach = commands.add_parser(
        "teach", help="teach a network kinds of your own from a few pictures of each"
    )
    teach.add_argument(
        "folder", metavar="FOLDER", help="has a folder of pictures for each kind, called after it"
    )
    teach.add_argument("--backbone", metavar="NAME", help="default: the best at hand")
    teach.add_argument("--weights", default="auto", metavar="FILE")
    teach.add_argument("--out", required=True, metavar="FILE", help="a .safetensors file")
    teach.add_argument(
        "--penalty", type=float, default=0.1, help="lambda of the ridge regression (0.1)"
    )
    teach.add_argument(
        "--fit", choices=("stretch", "crop"), default="stretch",
        help="how pictures are brought to the network's size (stretch)",
    )  # fmt: skip
    teach.add_argument("--json", action="store_true", help="print the result as JSON")
    teach.set_defaults(run=_teach)


def _teach(arguments: argparse.Namespace) -> int:
    from camviz.engine.engine import Engine
    from camviz.engine.teaching import folders_of_kinds

    set_threads()
    out = output_file(arguments.out)  # found out before the work
    pictures = folders_of_kinds(user_path(arguments.folder))
    taught = Engine().teach(
        pictures,
        arguments.backbone,
        weights=arguments.weights,
        penalty=arguments.penalty,
        fit=arguments.fit,
        progress=progress_line(),
    )
    clear_line()
    path = taught.save(out)
    if arguments.json:
        mistaken = [{"picture": each.name, **_in_words(taught, each)} for each in taught.mistaken]
        print(json.dumps({**taught.head.table, "mistaken": mistaken}, ensure_ascii=False, indent=2))
        return 0
    _print(taught)
    print(f"written to {path}")
    return 0


def _in_words(taught: "Taught", answer: Any) -> dict[str, str]:
    kinds = taught.head.kinds
    return {"is": kinds[answer.kind], "predicted": kinds[answer.predicted]}


def _print(taught: "Taught") -> None:
    head = taught.head
    counts = ", ".join(f"{k} ({n})" for k, n in zip(head.kinds, head.counts, strict=True))
    print(f"taught {head.backbone}: {counts}")
    if head.accuracy is None:
        print("how good it is cannot be told: that takes two pictures of a kind or more")
        return
    print(f"each picture classified by all the others: {head.right} of {head.tried} rightly")
    for answer in taught.mistaken:
        words = _in_words(taught, answer)
        print(f"  {answer.name}: {words['is']}, taken for {words['predicted']}")
