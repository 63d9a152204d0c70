"""Files that come from a browser or a program: by upload only, and no larger than allowed.

No path on this machine and no address elsewhere is ever opened.
"""

import binascii
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio.processing_utils import save_base64_to_cache
from gradio.utils import get_upload_folder

from camviz.errors import ImageError, quote
from camviz.images import MAX_BYTES
from camviz.space.spacefile import spacefile
from camviz.ui.gradio_compat import resolve_addresses


def upload_path(file: Any) -> str:
    """The path of an upload. Raises `ImageError` for anything else that a program may send.

    file: what gradio makes of an upload, its path, a data URL, or an address at which this server
    gave out a file. Agents send lists of files in the last two ways: gradio reads those of single
    files only.
    """
    if isinstance(file, str) and file.startswith("data:"):
        path: Any = _save_data_url(file)
    elif isinstance(file, str):
        path = _served_path(file) or file
    else:
        path = file.get("path") if isinstance(file, dict) else getattr(file, "path", None)
    if not isinstance(path, str) or not Path(path).is_absolute() or not is_upload(path):
        raise ImageError("a file must be uploaded; with gradio_client, give handle_file(PATH)")
    if not _is_file(path):
        raise ImageError(f"{quote(Path(path).name)} is not here any more; please upload it again")
    return path


def is_upload(path: str) -> bool:
    """Whether a path lies among the uploads, wherever its links and dots lead."""
    try:
        return Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    except (OSError, ValueError):  # no path at all: too long, or with a null character
        return False


def upload_limit() -> int:
    """Bytes that an uploaded file may have."""
    return min(MAX_BYTES, int(spacefile().limits.upload_mb * 1e6))


def uploads_only(page: gr.Blocks) -> None:
    """Refuse addresses; one at which this server itself gave out a file stands for that file."""

    def resolve(address: str) -> str:
        path = _served_path(address)
        if path is None:
            sentence = "files come by upload only, not by address"
            raise gr.Error(sentence, print_exception=False)
        return path

    resolve_addresses(page, resolve)


def _served_path(address: str) -> str | None:
    """The path of a file that this server gave out at an address; nothing is fetched from it."""
    path = unquote(address.partition("/gradio_api/file=")[2])
    return path if path and is_upload(path) and _is_file(path) else None


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a name too long
        return False


def _save_data_url(data: str) -> str:
    """Write what a data URL holds to a file among the uploads; returns its path."""
    if len(data) * 3 / 4 > upload_limit():
        raise ImageError(f"a picture may have {upload_limit() / 1e6:.0f} MB at most")
    try:
        return save_base64_to_cache(data, get_upload_folder())
    except (ValueError, binascii.Error):
        raise ImageError("a data URL could not be read; its data are base64") from None
