"""Figures of single cases in a file, so that a long measurement that was stopped goes on.

kept = Kept(Path("refinement.jsonl"))
figures = kept.get(("scenes-vit", "scenes", 6001, 12), lambda: measure(...))
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

Figures = dict[str, list[float]]  # by row of a table


class Kept:
    """Figures by key, a line of JSON each, appended as soon as they are known.

    file: None for figures that are not kept. A line that was cut off when a measurement was stopped
    is measured again.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, Figures] = {}
        if file is not None and file.exists():
            for line in file.read_text().splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    continue
                self._known[row["key"]] = row["figures"]

    def get(self, key: Sequence[str | int], measure: Callable[[], Figures]) -> Figures:
        """The figures of a key, measured if they are not known."""
        text = " | ".join(map(str, key))
        if text not in self._known:
            self._known[text] = measure()
            if self._file is not None:
                with self._file.open("a") as lines:
                    lines.write(json.dumps({"key": text, "figures": self._known[text]}) + "\n")
        return self._known[text]
