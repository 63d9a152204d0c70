"""A file that a visitor saves, as a link that holds it: nothing of it stays on the server."""

import base64
import tempfile
from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup

from camviz.files import file_name
from camviz.ui import html


def tensor_file_link(name: str, save: Callable[[Path], Path]) -> Markup:
    """A link to what `save` writes to the path that it is given. name: of the file, in words."""
    with tempfile.TemporaryDirectory(prefix="camviz-") as folder:
        file = save(Path(folder) / f"{file_name(name.replace(' ', '-'))}.safetensors")
        return html.render(
            "file-link.html",
            name=file.name,
            unique=Path(folder).name,  # so that the same file can be saved once more
            data=base64.b64encode(file.read_bytes()).decode(),
        )
