"""The pictures of a run: where their files are, and all rows that are of one picture.

file = picture_file(run, row)           # None: it is not on this machine
for rows in by_picture(run): ...        # one row, or one for each class that was explained
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from camviz.bulk.run import Run
from camviz.bulk.schema import restored
from camviz.files import user_path


def picture_file(run: Run, row: Mapping[str, Any]) -> Path | None:
    """The file of a row's picture; None if there is none.

    A path that is not absolute is looked for beside the run, in the source that the run was made
    of, beside that source if it is a file, and in the current folder.
    """
    source = user_path(str(run.configuration.get("source") or "."))
    for path in dict.fromkeys((row["path"], restored(row["path"]))):
        for folder in (run.path, source, source.parent, Path()):
            if (file := folder / path).is_file():  # an absolute path is that path in any folder
                return file
    return None


def by_picture(run: Run, columns: Sequence[str] | None = None) -> Iterator[list[dict[str, Any]]]:
    """The rows of every picture together, in the order in which the pictures are complete.

    A picture has a row for each of its classes that was explained. Rows are held until the last
    one of their picture has come: few, where those of a picture were written one after the other.
    """
    missing = Counter(run.table(["path"])["path"].to_pylist())
    held: dict[str, list[dict[str, Any]]] = {}
    for row in run.rows(columns):
        path = row["path"]
        held.setdefault(path, []).append(row)
        missing[path] -= 1
        if not missing[path]:
            yield held.pop(path)
