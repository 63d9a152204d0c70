"""What stands around the tabs: predictions, menus, notes about the backbone, the strip of pictures.

Plain values by the names of `sidebar.Parts` and `page.Parts`; nothing here imports gradio.
"""

from collections.abc import Iterator
from typing import Any

from camviz.defaults import NEAREST
from camviz.engine.explanation import Explanation
from camviz.network.packaged import missing_sentence
from camviz.ui import choices, html, links, service, strip
from camviz.ui.layers import layer_choice
from camviz.ui.service import load, stages_of
from camviz.ui.state import (
    GUESS,
    NOBODY,
    ROUND,
    TOP,
    Controls,
    Menu,
    Session,
    Task,
    Update,
)

EXPLAINED = [("top prediction", TOP)]
NO_CLASS = [("no class", TOP)]
COMPARED = [("not compared", NOBODY), ("with the three nearest", NEAREST)]
BARS = 5
MENUS = ("backbone", "target", "versus", "stages", "modules")
# Controls of the page that hold an option of `Options` each, by its name.
OPTIONS = ("method", "fuse", "refine", "views", "fit", "tap", "placement")


def update(session: Session, controls: Controls, x: Explanation | None) -> Update:
    """Everything around the tabs that differs from what the browser shows."""
    shown: dict[str, Any] = {
        "bars": bars(x),
        "picture": controls.picture,
        "link": service.link_of(controls, x) | links.write_round(session.get(GUESS, ROUND)),
    }
    entries: dict[str, list[tuple[str, str]]] = {}
    choice = controls.backbone
    if choice.name is not None:
        shown |= {"backbone": choice.name, "untrained": choice.untrained}
        shown |= _menus(controls)
        listed = (choice, _several(controls))
        if session.differs("entries", listed):
            entries = _entries(controls)
    shown |= {name: getattr(controls.options, name) for name in OPTIONS}
    shown["gamma"] = controls.gamma
    found: dict[str, Any] = {}
    for name, value in shown.items():
        if name in entries or session.differs(name, value):
            found[name] = Menu(value, entries.get(name)) if name in MENUS else value
    mirror = {name: shown[name] for name in found}
    offered = service.methods_offered(controls) if x is not None else choices.method_entries()
    if session.differs("methods", offered):
        method, differs = controls.options.method, "method" in found
        found["method"] = Menu(method, offered, keeps=not differs)
        mirror["methods"] = offered
    views = service.views_offered(controls) if x is not None else choices.views_entries()
    if session.differs("prices of views", views):
        kind, differs = controls.options.views, "views" in found
        found["views"] = Menu(kind, views, keeps=not differs)
        mirror["prices of views"] = views
    if entries:
        mirror["entries"] = listed
        labels = {menu: [label for label, _ in entries[menu]] for menu in ("target", "modules")}
        found["entries"] = {**labels, "versus": [label for label, _ in COMPARED]}
        found["network"] = html.render(
            "network.html",
            choice=choices.lookup(choice.name),
            sources=choices.SOURCES,
            missing=missing_sentence(),
        )
    return Update(found, mirror=mirror)


def backbone_in_use(session: Session) -> Update:
    """The backbone that is in use, for its menu and its switch."""
    loaded = session.loaded
    if loaded.name is None:
        return Update()
    shown = {"backbone": loaded.name, "untrained": loaded.untrained}
    return Update({**shown, "backbone": Menu(loaded.name)}, mirror=shown)


def _menus(controls: Controls) -> dict[str, Any]:
    """What is chosen in the menus whose entries change with the backbone."""
    names = [stage.name for stage in load(controls.backbone).stages]
    chosen = stages_of(controls)
    return {
        "target": controls.target,
        "versus": controls.versus,
        "stages": [name for name in chosen if name in names],
        "modules": [name for name in chosen if name not in names],
    }


def _entries(controls: Controls) -> dict[str, list[tuple[str, str]]]:
    """The (label, value) pairs of those menus."""
    backbone = load(controls.backbone)
    names = [stage.name for stage in backbone.stages]
    classes = choices.class_entries(backbone)
    return {
        "target": [*(EXPLAINED if backbone.has_classes else NO_CLASS), *classes],
        "versus": [*(COMPARED if classes else COMPARED[:1]), *_several(controls), *classes],
        "stages": [(layer_choice(backbone, n), n) for n in reversed(names)],
        "modules": [(n, n) for n in choices.modules(backbone) if n not in names],
    }


def _several(controls: Controls) -> tuple[tuple[str, str], ...]:
    """The entry of several classes at once, which a link may name."""
    labels = load(controls.backbone).labels
    versus = controls.versus
    if versus in (NOBODY, NEAREST) or versus in labels:
        return ()
    return ((versus.replace(",", ", "), versus),)


def bars(x: Explanation | None) -> str:
    """The best classes as buttons, the explained one and its rival always among them."""
    if x is None:
        return html.render("bars.html", rows=[], most=BARS)
    if not x.backbone.has_classes:
        return html.render("bars-free.html", backbone=x.backbone.display_name)
    references = x.request.references
    wanted = {x.target, *references}
    ranked = list(enumerate(x.predictions, 1))
    shown = ranked[:BARS] + [row for row in ranked[BARS:] if row[1][0] in wanted]
    rows = [
        {
            "rank": rank,
            "index": index,
            "label": label,
            "share": share,
            "explained": index == x.target,
            "rival": index in references,
        }
        for rank, (index, label, share) in shown
    ]
    return html.render("bars.html", rows=rows, most=BARS, output=x.backbone.output)


def strip_updates(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The strip of thumbnails, unless it is the answer to these controls already."""
    key = (controls.pictures, controls.picture, controls.backbone, controls.options.fit)
    if session.answers.get("strip") != key:
        session.answers.pop("strip", None)
        yield from strip.show_strip(controls, task)
        session.answers["strip"] = key
