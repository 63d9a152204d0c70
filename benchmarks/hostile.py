"""What becomes of files that are damaged, odd, far too large or no picture, by kind.

    python -m benchmarks.hostile [--write]

Opens those that the tests make (tests/support/hostile.py) as an upload is opened, and counts those
that end in a picture and in a sentence; anything else ends this command. Milliseconds are those of
the slowest, of one processor. `--write` puts the table into docs/figures.md. What the extra `heic`
reads is refused where that is not installed.
"""

import argparse
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from camviz.errors import ImageError
from camviz.images import open_picture
from tests.support.hostile import Hostile, hostile

FIGURES = Path(__file__).parent.parent / "docs" / "figures.md"
START, END = "<!-- hostile: python -m benchmarks.hostile --write -->\n", "<!-- end of hostile -->\n"
HEAD = "| files | tried | a picture | a sentence | slowest, ms |\n| --- | --- | --- | --- | --- |\n"


@dataclass
class Outcomes:
    """How many files ended in what, and the most seconds that one took."""

    pictures: int = 0
    sentences: int = 0
    slowest: float = 0.0

    @property
    def tried(self) -> int:
        return self.pictures + self.sentences

    def __add__(self, other: "Outcomes") -> "Outcomes":
        return Outcomes(
            self.pictures + other.pictures,
            self.sentences + other.sentences,
            max(self.slowest, other.slowest),
        )

    def row(self, kind: str) -> str:
        milliseconds = f"{1000 * self.slowest:.0f}"
        return f"| {kind} | {self.tried} | {self.pictures} | {self.sentences} | {milliseconds} |\n"


def try_all(files: Iterable[Hostile]) -> dict[str, Outcomes]:
    """The outcomes of each kind of file, in the order of their first."""
    found: dict[str, Outcomes] = defaultdict(Outcomes)
    for each in files:
        begun = time.process_time()
        try:
            open_picture(each.data, name=each.name)
            outcome = Outcomes(pictures=1)
        except ImageError:
            outcome = Outcomes(sentences=1)
        outcome.slowest = time.process_time() - begun
        found[each.kind] += outcome
    return found


def table(found: dict[str, Outcomes]) -> str:
    """A row for each kind of file, and one for all."""
    rows = [outcomes.row(kind) for kind, outcomes in found.items()]
    return HEAD + "".join(rows) + sum(found.values(), Outcomes()).row("**all**")


def counts(document: str) -> dict[str, int]:
    """The files tried of each kind, as a document with the table has it."""
    _, _, rest = document.partition(START)
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \|", rest.partition(END)[0], re.M)
    return {kind: int(number) for kind, number in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/figures.md")
    arguments = parser.parse_args()
    text = table(try_all(hostile()))
    print(text, end="")
    if arguments.write:
        before, _, rest = FIGURES.read_text(encoding="utf-8").partition(START)
        after = rest.partition(END)[2]
        FIGURES.write_text(f"{before}{START}{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
