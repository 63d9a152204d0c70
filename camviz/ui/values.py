"""Values on their way between components of gradio and plain Python."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import gradio as gr

from camviz.ui.gradio_compat import served_path
from camviz.ui.state import Enabled, Menu
from camviz.ui.uploads import upload_path


def plain(values: Sequence[Any]) -> Any:
    """Values of inputs as actions take them: files as paths; one value by itself."""
    found = [_plain(value) for value in values]
    return None if not found else found[0] if len(found) == 1 else found


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and "path" in value:
        return upload_path(value)
    if isinstance(value, list) and any(isinstance(v, dict) and "path" in v for v in value):
        return [upload_path(file) for file in value]
    return value


def component_value(name: str, value: Any) -> Any:
    """A plain value as a component takes it."""
    if isinstance(value, Menu):
        given = {"value": value.value, "choices": value.choices, "visible": value.visible}
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
