"""One option: what it is called, may be and means; and the table of all of them.

    truncation: float = option(0.0, "cut the largest gradients", kind=float)  # a field of a class
    option_table(Options)["truncation"].parse("0.9")  # 0.9

Command line, HTTP endpoint, links and menus read an option's row instead of knowing it. Importing
this module loads no torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

from camviz.errors import MethodError, quote

Choices: TypeAlias = Callable[[], Mapping[str, str]] | Mapping[str, str]


@dataclass(frozen=True)
class Option:
    """A row of the table: what an option is called, may be and means.

    `label` is its name in a sentence ("truncation mode"). `choices`: value -> what it is called
    for people, None where any value of `kind` will do. `many`: a sequence of names, written
    "A,B" in a shell and in a link. `several`: one value or a list of them; a text with commas stays
    one, because a name may hold a comma, and is taken apart where the names are known. `page`: the
    page has a control for it, the HTTP endpoint a parameter and links a key. `word` is a value of
    its own, in place of one of `kind`. `metavar` stands for its value in a shell's help. `old_name`
    and `old_values` (old -> new) are accepted too: requests, files and links of former versions.
    `papers`: the values that a method's own paper sets where the default is another, and whose that
    is; value -> method.
    """

    name: str
    label: str
    kind: type
    default: Any
    help: str
    choices: Choices | None = None
    many: bool = False
    several: bool = False
    page: bool = False
    word: str | None = None
    metavar: str | None = None
    old_name: str | None = None
    old_values: Mapping[str, str] = field(default_factory=dict)
    papers: Mapping[Any, str] = field(default_factory=dict)

    @property
    def marked(self) -> Mapping[str, str]:
        """value -> label of each choice, a paper's own setting marked so."""
        return {value: label + self._mark(value) for value, label in (self.values or {}).items()}

    @property
    def own_settings(self) -> str:
        """The settings of papers in words; "" where none is another than the default."""
        settings = [f"{self.write(value)}{self._mark(value)}" for value in self.papers]
        return ", ".join(settings)

    def _mark(self, value: Any) -> str:
        return f" (paper: {self.papers[value]})" if value in self.papers else ""

    @property
    def values(self) -> Mapping[str, str] | None:
        """value -> label of each choice; None where there are no choices."""
        return self.choices() if callable(self.choices) else self.choices

    def normalize(self, value: Any) -> Any:
        """The value as `Options` holds it: names as a tuple, an old spelling as the new one.

        Raises `MethodError` for a value that is none of the choices, or none at all.
        """
        if isinstance(value, str):
            value = self.old_values.get(value, value)
        values = self.values
        if values is not None:
            if not (isinstance(value, str) and value in values):
                raise MethodError(
                    f"unknown {self.label} {quote(value)}; choices: {', '.join(values)}"
                )
            return value
        try:
            if self.many and value is not None:
                value = (value,) if isinstance(value, str) else tuple(value)
            if self.several and isinstance(value, (list, tuple)):
                value = tuple(value) if len(value) != 1 else value[0]
            hash(value)
        except TypeError:
            number = self.kind in (int, float)
            wanted = "a list of names" if self.many else "a number" if number else "a name"
            wanted += " or a list of names" if self.several else ""
            raise MethodError(f"{self.label} takes {wanted}, not {quote(value)}") from None
        return value

    def parse(self, text: str) -> Any:
        """The value that a text stands for, from a shell, a form or a link.

        Raises `ValueError` if it stands for none.
        """
        if self.many:
            return tuple(part.strip() for part in text.split(",") if part.strip()) or None
        if self.word is not None and text == self.word:
            return text
        return self.kind(self.old_values.get(text, text))

    def write(self, value: Any) -> str:
        """The text that `parse` reads as this value."""
        if self.many or isinstance(value, tuple):
            return ",".join(map(str, value or ()))
        return f"{value:g}" if isinstance(value, float) else str(value)


def option(
    default: Any,
    help: str,
    *,
    kind: type = str,
    label: str | None = None,
    choices: Choices | None = None,
    many: bool = False,
    several: bool = False,
    page: bool = False,
    word: str | None = None,
    metavar: str | None = None,
    old_name: str | None = None,
    old_values: Mapping[str, str] | None = None,
    papers: Mapping[Any, str] | None = None,
) -> Any:
    """A field of `Options` with everything that stands in its row of `option_table`."""
    row = {
        "help": help, "kind": kind, "label": label, "choices": choices, "many": many,
        "several": several, "page": page, "word": word, "metavar": metavar, "old_name": old_name,
        "old_values": old_values or {}, "papers": papers or {},
    }  # fmt: skip
    return field(default=default, metadata={"option": row})


def option_table(options: type) -> Mapping[str, Option]:
    """The options of a dataclass by name, in their order; a parent's come first."""
    return _option_table(options)


@lru_cache(maxsize=64)
def _option_table(options: type) -> Mapping[str, Option]:
    table = {}
    for each in fields(options):
        if "option" in each.metadata:
            row = dict(each.metadata["option"])
            row["label"] = row["label"] or each.name.replace("_", " ")
            assert each.default is not MISSING
            table[each.name] = Option(name=each.name, default=each.default, **row)
    return MappingProxyType(table)
