"""Writes the table of settings in docs/operating.md from camviz.environment; --check: 1 if stale.

python -m scripts.settings [--check]
"""

import sys
from pathlib import Path
from typing import Any

from camviz.environment import Variable, variable_table

FILE = Path(__file__).resolve().parent.parent / "docs" / "operating.md"
BEGIN, END = "<!-- settings: python -m scripts.settings -->\n", "<!-- end of settings -->\n"
HEAD = "| variable | default | public | meaning |\n| --- | --- | --- | --- |\n"


def table() -> str:
    """Every variable as a row: its name, its defaults at home and in public, its meaning."""
    return HEAD + "".join(_row(each) for each in variable_table().values())


def _row(each: Variable) -> str:
    default, public = _cell(each.default), _cell(each.public)
    shown = "" if public == default else public or "none"
    return f"| `{each.name}` | {default} | {shown} | {each.help} |\n"


def _cell(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}"
    return f"`{value}`" if " " in str(value) else str(value)


def written(text: str) -> str:
    """A text with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


def main() -> int:
    text = FILE.read_text(encoding="utf-8")
    if written(text) == text:
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{FILE.name} is stale; `python -m scripts.settings` writes it", file=sys.stderr)
        return 1
    FILE.write_text(written(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
