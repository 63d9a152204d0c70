"""Work-arounds for Gradio, each with the link of its upstream issue or the words "not reported"."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder


class Page(gr.Blocks):  # type: ignore[misc]
    """A page whose answers cannot be lost.

    Gradio tells a browser how each value that a generator yields differs from the one before, and
    the browser changes the one before accordingly: the very object, which it has not shown yet if
    several arrive at once, as they do when an answer overtakes the receipt of its request. The
    value before would be gone. Here every new value is sent whole. Not reported.
    """

    def handle_streaming_diffs(
        self,
        block_fn: Any,
        data: list[Any],
        session_hash: str | None,
        run: str | None,
        final: bool,
        simple_format: bool = False,
    ) -> list[Any]:
        later = run in self.pending_diff_streams.get(session_hash, {})
        whole = list(data)
        edits = super().handle_streaming_diffs(
            block_fn, data, session_hash, run, final, simple_format
        )
        if not later or final or simple_format:
            return edits
        return [edit and [["replace", [], new]] for edit, new in zip(edits, whole, strict=True)]


def served_path(path: str | None) -> str | None:
    """A path that Gradio serves: of a copy among the uploads, unless it lies there already.

    Gradio refuses files outside of the working directory, the temporary directory and
    `allowed_paths`, and an installed package may lie anywhere. By design:
    https://github.com/gradio-app/gradio/pull/9122
    """
    if path is None or Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        return path
    return str(save_file_to_cache(path, get_upload_folder()))


# Where events come while one is under way, Gradio's "always_last" sends the data of the running
# event once more in place of the last one's. "multiple" sends each with its own. What "always_last"
# was made for: https://github.com/gradio-app/gradio/issues/3627; that it does not do it for event
# data: not reported.
WITH_DATA = "multiple"
# Events that bring values of components are read when they are sent, so that one behind the
# running event is enough.
OF_VALUES = "always_last"

# A download button forgets its file unless the last update of an event has it. Not reported.
REPEATED_LAST = ("file",)


def resolve_addresses(page: gr.Blocks, resolve: Callable[[str], str]) -> None:
    """Let `resolve` turn every address that is sent in place of a file into a path, or refuse it.

    Gradio would fetch the address, in the name of whoever runs the server, and has no option for
    it: the method that fetches is wrapped in every component. Not reported.
    """

    def wrap(block: Any) -> None:
        move = block.async_move_resource_to_block_cache

        async def move_path(file: Any) -> Any:
            return await move(resolve(file) if isinstance(file, str) and "://" in file else file)

        block.async_move_resource_to_block_cache = move_path

    for block in page.blocks.values():
        wrap(block)
