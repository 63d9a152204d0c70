"""Values on their way between components of gradio and plain Python."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import gradio as gr

from camviz.errors import RequestError, quote
from camviz.ui.given import (
    MOST_NAMES,
    read_list,
    read_names,
    read_number,
    read_plain,
    read_switch,
    read_text,
    read_whole,
)
from camviz.ui.gradio_compat import served_path
from camviz.ui.hosting.uploads import upload_path
from camviz.ui.state import Enabled, Menu, Selection

LONGEST_LINK = 20_000  # characters of an address, the longest text that the page sends
MOST_CLICKED = 1_000_000
_FILES = (gr.Image, gr.File, gr.UploadButton)


def plain(values: Sequence[Any], controls: Sequence[Any] = ()) -> Any:
    """Values of inputs as actions take them: files as paths; one value by itself.

    controls: the components that they are of, which decide what a value may be. Raises a
    `CamvizError` for what no browser would send: anybody may post anything to an event.
    """
    of = controls or (None,) * len(values)
    found = [_plain(value, control) for value, control in zip(values, of, strict=True)]
    return None if not found else found[0] if len(found) == 1 else found


def _plain(value: Any, control: Any) -> Any:
    if isinstance(control, _FILES):
        return _paths(value)
    if control is not None and value is not None:
        return _read(control, value)
    if isinstance(value, dict) and "path" in value:
        return upload_path(value)
    if isinstance(value, list) and any(isinstance(v, dict) and "path" in v for v in value):
        return [upload_path(file) for file in value]
    return value


def _paths(value: Any) -> Any:
    if value in (None, []):
        return None
    if not isinstance(value, list):
        return upload_path(value)
    return [upload_path(file) for file in read_list("an upload", value, "files", MOST_NAMES)]


def _read(control: Any, value: Any) -> Any:
    """The value of a control that a visitor sets, of its kind and in its range."""
    name = control.label or control.elem_id or "a value"
    if isinstance(control, gr.Slider):
        return read_number(name, value, control.minimum, control.maximum)
    if isinstance(control, gr.Checkbox):
        return read_switch(name, value)
    if isinstance(control, gr.CheckboxGroup) or getattr(control, "multiselect", False):
        return list(read_names(name, value))
    return read_text(name, value, LONGEST_LINK)


def selection(data: Any) -> Selection:
    """What a browser sends of a click. Raises `RequestError` for anything else."""
    if not isinstance(data, dict):
        raise RequestError(f"a click comes with what was clicked, not with {quote(data)}")
    index = data.get("index")
    return Selection(
        read_plain("what was clicked", data.get("value")),
        read_whole("the number of what was clicked", index, 0, MOST_CLICKED) if index else 0,
        data.get("selected", True) is True,
    )


def component_value(name: str, value: Any) -> Any:
    """A plain value as a component takes it."""
    if isinstance(value, Menu):
        given = {"value": value.value, "choices": value.choices, "visible": value.visible}
        if value.keeps:
            del given["value"]
        return gr.update(**{k: v for k, v in given.items() if v is not None or k == "value"})
    if isinstance(value, Enabled):
        return gr.update(interactive=value.interactive)
    if hasattr(value, "to_json"):
        return value.to_json()
    if name.endswith("picture"):
        return served_path(value)
    return str(value) if isinstance(value, str) else value


def by_name(parts: Any) -> dict[str, Any]:
    """The components of a dataclass of parts, by the names of its fields."""
    return {each.name: getattr(parts, each.name) for each in fields(parts)}
