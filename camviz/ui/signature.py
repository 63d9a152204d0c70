"""Functions whose parameters come from a table: for endpoints that describe themselves.

Gradio reads names, types, defaults and meanings of an endpoint off its signature and docstring. It
hands on whatever a program sends, so every argument has a reader that checks it first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature
from typing import Any, TypeAlias

from camviz.engine.option import Option
from camviz.ui.given import read_names, read_number, read_switch, read_text

# From an argument's name and what was sent for it to a value of its kind, or a `RequestError`.
Reader: TypeAlias = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Argument:
    """A parameter: its name, type, what it means, and what it is if it is left out.

    read: what makes a value of what was sent, None of what needs no check.
    """

    name: str
    type: Any
    help: str
    default: Any = Parameter.empty
    read: Reader | None = None

    def value(self, given: Any) -> Any:
        """The value of what was sent; nothing at all (null) stands for the default."""
        if given is None and self.default is not Parameter.empty:
            given = self.default
            if given is None:
                return None
        return given if self.read is None else self.read(self.name, given)


def option_argument(row: Option) -> Argument:
    """The parameter of an option. None, which programs need not be able to write, is empty."""
    text = row.help[:1].upper() + row.help[1:]
    if values := list(row.values or ()):
        text += f": {', '.join(values[:-1])} or {values[-1]}"
    if row.papers:
        text += f"; {row.own_settings}"
    read = partial(_read_option, row)
    if row.many:
        return Argument(row.name, list[str] | None, f"{text}.", row.default, read)
    default = row.kind() if row.default is None else row.default
    kind = row.kind if row.word is None else row.kind | str
    return Argument(row.name, kind, f"{text}.", default, read)


def _read_option(row: Option, name: str, given: Any) -> Any:
    return option_value(row, given)


def option_value(row: Option, given: Any) -> Any:
    """The value of an option that a program sent for its parameter.

    Raises `RequestError` for what is of another kind; `Options` checks the rest.
    """
    if row.word is not None and isinstance(given, str) and given == row.word:
        return given
    if row.many or (row.several and isinstance(given, (list, tuple))):
        return read_names(row.name, given) or None
    if row.kind in (int, float):
        return row.kind(read_number(row.name, given, whole=row.kind is int))
    if row.kind is bool:
        return read_switch(row.name, given)
    return read_text(row.name, given) or (None if row.default is None else "")


def with_signature(
    function: Callable[[Any, dict[str, Any]], Any],
    name: str,
    description: str,
    arguments: Sequence[Argument],
    returns: Any,
) -> Callable[..., Any]:
    """A function of these arguments, which reads them and gives them to another one by name.

    Before them stands the call itself, which is passed on as it is.
    """
    signature = Signature(
        [
            Parameter("call", Parameter.POSITIONAL_ONLY),
            *(
                Parameter(
                    one.name,
                    Parameter.POSITIONAL_OR_KEYWORD,
                    default=one.default,
                    annotation=one.type,
                )
                for one in arguments
            ),
        ],
        return_annotation=returns,
    )

    def call(*values: Any, **named: Any) -> Any:
        bound = signature.bind(*values, **named)
        bound.apply_defaults()
        given = {one.name: one.value(bound.arguments[one.name]) for one in arguments}
        return function(bound.arguments["call"], given)

    lines = "\n".join(f"    {one.name}: {one.help}" for one in arguments)
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{description}\n\nArgs:\n{lines}\n"
    call.__annotations__ = {one.name: one.type for one in arguments} | {"return": returns}
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call
