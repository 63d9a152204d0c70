"""Four claims about maps, tested on drawn scenes; writes the answers where people find them.

    OMP_NUM_THREADS=1 python -m benchmarks.claims [NAME ...] [--count 60] [--seed 6002] [--write]

Prints what `camviz benchmark --claims` does; `--write` puts it into docs/figures.md, between the
lines that say so, and into assets/claims.json, which ships with the package.
"""

import argparse
import json
import re
from pathlib import Path

import torch

from camviz import Engine
from camviz.benchmark.claims import CLAIM_SCENES, answer_claims, claims_markdown, claims_table
from camviz.benchmark.datasets import SEED
from camviz.network.bundled import bundled_names
from camviz.resources import ASSETS

FIGURES = Path(__file__).parent.parent / "docs" / "figures.md"
START, END = "<!-- claims: python -m benchmarks.claims --write -->\n", "<!-- end of claims -->\n"


def write(text: str, table: dict[str, object]) -> None:
    """Put the answers into the documentation and among the assets."""
    document = FIGURES.read_text(encoding="utf-8")
    pattern = re.escape(START) + ".*" + re.escape(END)
    found = re.sub(pattern, lambda _: f"{START}\n{text}\n{END}", document, flags=re.DOTALL)
    assert found != document or text in document, f"{FIGURES} has no place for claims"
    FIGURES.write_text(found, encoding="utf-8")
    json_text = json.dumps(table, indent=2, ensure_ascii=False)
    (ASSETS / "claims.json").write_text(json_text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=CLAIM_SCENES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine = Engine()
    names = arguments.names or [name for name in bundled_names() if name.startswith("scenes")]
    backbones = [engine.backbone(name) for name in names]
    answers = answer_claims(engine, backbones, arguments.count, arguments.seed)
    text = claims_markdown(answers, level="###")
    print(text)
    if arguments.write:
        about = {"pictures": arguments.count, "seed": arguments.seed}
        write(text, {**about, **claims_table(answers)})
