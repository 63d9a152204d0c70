"""Functions whose parameters come from a table: for endpoints that describe themselves.

Gradio reads names, types, defaults and meanings of an endpoint off its signature and docstring.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from camviz.engine.options import Option
from camviz.errors import MethodError


@dataclass(frozen=True)
class Argument:
    """A parameter: its name, type, what it means, and what it is if it is left out."""

    name: str
    type: Any
    help: str
    default: Any = Parameter.empty


def option_argument(row: Option) -> Argument:
    """The parameter of an option. None, which programs need not be able to write, is empty."""
    text = row.help[:1].upper() + row.help[1:]
    if values := list(row.values or ()):
        text += f": {', '.join(values[:-1])} or {values[-1]}"
    if row.many:
        return Argument(row.name, list[str] | None, f"{text}.", row.default)
    default = row.kind() if row.default is None else row.default
    kind = row.kind if row.word is None else row.kind | str
    return Argument(row.name, kind, f"{text}.", default)


def option_value(row: Option, given: Any) -> Any:
    """The value of an option that a program sent for its parameter; `Options` checks it."""
    if row.word is not None and given == row.word:
        return given
    if row.kind in (int, float) and not row.many:
        return row.kind(number(row.name, given))
    if row.default is None and not given:
        return None
    return given


def number(name: str, value: Any) -> float:
    """A number that a program sent. Raises `MethodError` if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise MethodError(f"{name} is a number, not '{value}'") from None


def with_signature(
    function: Callable[[dict[str, Any]], Any],
    name: str,
    description: str,
    arguments: Sequence[Argument],
    returns: Any,
) -> Callable[..., Any]:
    """A function of these arguments, which gives them to another one by their names."""
    signature = Signature(
        [
            Parameter(
                one.name,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=one.default,
                annotation=one.type,
            )
            for one in arguments
        ],
        return_annotation=returns,
    )

    def call(*values: Any, **named: Any) -> Any:
        bound = signature.bind(*values, **named)
        bound.apply_defaults()
        return function(dict(bound.arguments))

    lines = "\n".join(f"    {one.name}: {one.help}" for one in arguments)
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{description}\n\nArgs:\n{lines}\n"
    call.__annotations__ = {one.name: one.type for one in arguments} | {"return": returns}
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call
