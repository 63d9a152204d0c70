"""What clicks on the tab Prototypes do: they change the bank, which is held for the whole page.

Keeping, dropping and naming run no network: prototypes and the features of the picture are at
hand, and the rest is arithmetic. Every row of prototypes on the page follows the bank. Nothing
here imports gradio.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from camviz.engine.explanation import Explanation
from camviz.errors import PrototypeError
from camviz.prototypes.bank import CLUSTERS, PrototypeBank, with_thumbnails
from camviz.prototypes.build import filter_by_score
from camviz.ui import html, service
from camviz.ui.compute import engine
from camviz.ui.file_link import tensor_file_link
from camviz.ui.state import TOP, Controls, Selection, Session, Task, Update
from camviz.ui.tabs.prototype_cards import patches_of

ID = "prototypes"
LONGEST_NAME = 40


def similarity_to_bank(controls: Controls, aggregate: str = "mean") -> Explanation:
    """Where the picture is similar to the prototypes in use.

    Raises `PrototypeError` for a network without classes.
    """
    target = service.classify(controls).target
    if target is None:
        raise PrototypeError(service.NO_PROTOTYPES)
    return service.prototype_map(controls, target, aggregate=aggregate)


def stage_shown(x: Explanation, stage: str | None) -> str:
    """The stage that was chosen; else the deepest, where the classifier can judge prototypes."""
    return stage if stage in x.stages else x.stages[-1]


# -- Keep, drop, name ----------------------------------------------------------------------------


def edit(session: Session, selection: Selection) -> None:
    """A prototype was kept, dropped or named on its card: "keep", or "name:TEXT", and its index."""
    kind, _, text = str(selection.value).partition(":")
    index = int(selection.index)

    def change(bank: PrototypeBank, stage: str) -> PrototypeBank:
        if kind == "name":
            return bank.rename(stage, index, " ".join(text.split())[:LONGEST_NAME])
        return bank.keep(stage, index, bool(selection.selected))

    _change_bank(session, change)


def reset(session: Session, _: Any = None) -> None:
    """Keep what the scores say, and not what was kept or dropped by hand; names stay."""
    _change_bank(session, lambda bank, stage: automatic_choice(bank))


def _change_bank(session: Session, change: Callable[[PrototypeBank, str], PrototypeBank]) -> None:
    """Replace the bank in use by change(bank, stage shown), and nothing that is set meanwhile."""
    while True:
        controls = session.controls
        x = similarity_to_bank(controls)
        assert x.bank is not None
        bank = change(x.bank, stage_shown(x, session.get(ID, "stage")))
        with session.lock:
            if session.controls == controls:
                session.change(replace(controls, bank=bank))
                return


def automatic_choice(bank: PrototypeBank) -> PrototypeBank:
    """The bank as it was built: kept is what the scores say, by the paper's bounds."""
    stages = {}
    for name, stage in bank.stages.items():
        scores: dict[str, list[float | None]] = {"foreground": [], "context": []}
        for prototype in stage.prototypes:
            scored = stage.scoring == "head"
            scores[prototype.kind].append(prototype.score if scored else None)
        keep_f, keep_b, _ = filter_by_score(
            scores["foreground"], scores["context"], bank.mu_f, bank.mu_b
        )
        kept = {"foreground": iter(keep_f), "context": iter(keep_b)}
        prototypes = tuple(replace(p, kept=next(kept[p.kind])) for p in stage.prototypes)
        stages[name] = replace(stage, prototypes=prototypes)
    return replace(bank, stages=stages)


def is_edited(bank: PrototypeBank) -> bool:
    """Whether anything was kept or dropped by hand."""
    automatic = automatic_choice(bank).stages
    return any(s.prototypes != automatic[name].prototypes for name, s in bank.stages.items())


# -- Files and galleries -------------------------------------------------------------------------


def save(session: Session, _: Any, task: Task) -> Iterator[Update]:
    """The bank in use, as a link to one file that `PrototypeBank.load` reads."""
    x = similarity_to_bank(session.controls)
    assert x.bank is not None
    backbone = x.backbone.display_name
    bank = replace(x.bank, backbone=backbone)  # a file from elsewhere may call it otherwise
    if bank.source == "picture":
        bank = with_thumbnails(bank, patches_of(x.picture))
    yield Update(tab={"file": tensor_file_link(f"{bank.label}-{backbone}", bank.save)}, of=ID)


def load(session: Session, path: str | None, task: Task) -> Iterator[Update]:
    """Use a bank from a file; the class that it is of becomes the one explained."""
    if path is None:
        raise PrototypeError("no file was given; choose a .safetensors file saved here")
    bank = PrototypeBank.load(path)
    controls = session.controls
    bank.check(service.load(controls.backbone))
    if bank.tap != controls.options.tap:
        raise PrototypeError(
            f"these prototypes were built with layers read by '{bank.tap}', and "
            f"'{controls.options.tap}' is chosen under More settings; choose the same"
        )
    if bank.source != "gallery":  # those at hand are made for a picture, these hold for any
        bank = replace(bank, source="gallery")
    counts = ", ".join(f"{len(s.prototypes)} at {name}" for name, s in bank.stages.items())
    with session.lock:
        session.change(replace(session.controls, bank=bank, target=bank.label))
        session.notify(html.message(f"Loaded prototypes of “{bank.label}”: {counts}."))
    yield from ()


def learn(session: Session, values: Sequence[Any], task: Task) -> Iterator[Update]:
    """Build a bank of the class that is explained from (pictures of it, how many clusters)."""
    (files, clusters), controls = values, session.controls
    bank = build_bank(controls, files or [], int(clusters or CLUSTERS), task)
    pictures = html.plural(len(bank.pictures), "picture")
    text = f"Learned what “{bank.label}” looks like from {pictures}."
    if bank.skipped:
        skipped = "; ".join(f"{name}: {reason}" for name, reason in bank.skipped)
        text += f" Left out: {skipped}."
    with session.lock:
        if session.controls.backbone != controls.backbone:
            raise PrototypeError("the backbone was changed meanwhile; learn them again")
        session.change(replace(session.controls, bank=bank))
        session.notify(html.message(text))
    yield from ()


def build_bank(
    controls: Controls, files: Sequence[str], clusters: int, task: Task
) -> PrototypeBank:
    """Prototypes of the class that is explained, from pictures of it.

    files: their paths. The task reports before every picture, and ends the work if it is
    cancelled. Raises `PrototypeError` where there is nothing to build them from.
    """
    if not service.load(controls.backbone).has_classes:
        raise PrototypeError(service.NO_PROTOTYPES)
    if not files:
        raise PrototypeError("no pictures were given; add some of the class that is explained")
    target: int | str | None = controls.target
    if controls.target == TOP:
        if controls.picture is None:
            raise PrototypeError("no class is chosen; choose the one that the pictures show")
        target = service.classify(controls, versus=None).target

    def report(done: int, total: int, *_: Any) -> None:
        task.label = f"Learning from picture {min(done + 1, total)} of {total} …"
        task.report(done, total)

    return engine().build_prototypes(
        list(files),
        service.load(controls.backbone),
        target,
        clusters,
        tap=controls.options.tap,
        fit=controls.options.fit,
        stages=controls.options.stages,
        progress=report,
    )


def forget(session: Session, _: Any = None) -> None:
    """Use the prototypes at hand again, instead of the visitor's own."""
    with session.lock:
        session.change(replace(session.controls, bank=None))
