"""A run as a page of its own: all pictures with their maps, opened without a server.

    write_sheet(Cut(run), folder)      # folder/index.html, folder/tiles/00000.js, ...

The contact sheet is the page's own element. Tiles lie in scripts of `TILES` each, read as they come
to be seen, so that thousands of pictures open at once; they hold small pictures, no originals.
"""

import json
from pathlib import Path

from markupsafe import Markup

from camviz.bulk.collection import open_collection
from camviz.bulk.cut import Cut
from camviz.bulk.groups import GROUPS, LEAST, MOST_GROUPS
from camviz.ui import collection, html
from camviz.ui.hosting.policy import script_hash
from camviz.ui.viewer.run_collection import collection_style
from camviz.ui.viewer.source import configuration, inline

TILES = 48  # of one script


def write_sheet(cut: Cut, folder: Path) -> None:
    """Fill an empty folder. The maps are the fused ones; a threshold is nothing to them."""
    found = open_collection(cut.run)
    classes = [label for label in dict.fromkeys(found.labels) if found.labels.count(label) >= LEAST]
    plain = collection.run_value(found, opens=False)
    place = {name: number for number, name in enumerate(plain.names)}
    grouped = {
        f"{place[label]}:{count}": collection.groups(found, label, count)
        for label in classes
        for count in range(2, MOST_GROUPS + 1)
    }
    value = collection.run_value(found, grouped=grouped, opens=False)
    (folder / "tiles").mkdir()
    for number, first in enumerate(range(0, len(found), TILES)):
        tiles = collection.tiles(found, range(first, min(first + TILES, len(found))))
        text = f"camvizTiles({number}, {json.dumps(tiles)});\n"
        (folder / "tiles" / f"{number:05d}.js").write_text(text, encoding="utf-8")
    script = inline("collection/static.js")
    page = html.render(
        "run-sheet.html",
        name=cut.run.path.resolve().name,
        count=len(found),
        configuration=cut.run.configuration,
        groups=GROUPS,
        style=Markup(f"{html.script('collection/static.css')}main {{\n{collection_style()}}}"),
        collection=Markup(html.script("collection/run-collection.html")),
        data={
            "configuration": configuration().to_json(),
            "value": value.to_json(),
            "tiles": TILES,
        },
        script=Markup(script),
        script_hash=script_hash(script.encode()),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
