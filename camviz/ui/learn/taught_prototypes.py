"""Prototypes of kinds that were taught, from the very photographs that they were taught from.

Nothing here imports gradio.
"""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from camviz.defaults import FUSED
from camviz.engine.explanation import Explanation
from camviz.engine.teaching import Taught
from camviz.errors import CamvizError
from camviz.prototypes.bank import PrototypeBank
from camviz.ui import html, service
from camviz.ui.compute import engine
from camviz.ui.learn.teaching import Kind, best_kinds, explain_by, row_of
from camviz.ui.state import Controls, Task, Unavailable
from camviz.ui.viewer import MapRow

PROTOTYPES = "prototypes"
METHOD = "lpcam"

# The banks of each taught network, by the number of the kind; they go with the network.
_banks: WeakKeyDictionary[Taught, dict[int, PrototypeBank]] = WeakKeyDictionary()


def prototype_row(
    taught: Taught, controls: Controls, kinds: Sequence[Kind], task: Task
) -> MapRow | Unavailable:
    """The open picture by prototypes of each kind that is shown, a column a kind.

    kinds: those with photographs, in the order of the head. Where a kind has no prototypes, the
    reason stands in place of its map. Prototypes are learned once, with a pass for each photograph;
    the task reports before each, and ends the work if it is cancelled.
    """
    found = dict[int, Explanation | Unavailable]()
    for number in best_kinds(taught, controls):
        try:
            bank = _bank(taught, controls, kinds[number], number, task)
            found[number] = explain_by(taught, controls, number, METHOD, prototypes=bank)
        except CamvizError as error:
            found[number] = Unavailable(html.sentence(error))
    reasons = [each for each in found.values() if isinstance(each, Unavailable)]
    if len(reasons) == len(found):
        return reasons[0]
    return row_of("Prototypes of your photographs, all layers together", found, FUSED)


def _bank(taught: Taught, controls: Controls, kind: Kind, number: int, task: Task) -> PrototypeBank:
    banks = _banks.setdefault(taught, {})
    if number not in banks:
        name = taught.head.kinds[number]

        def report(done: int, total: int, *_: object) -> None:
            task.label = f"Prototypes of {name}: photograph {min(done + 1, total)} of {total} …"
            task.report(done, total)

        banks[number] = engine().build_prototypes(
            [service.picture_at(path) for path in kind.pictures],
            taught.backbone,
            number,
            fit=controls.options.fit,
            progress=report,
        )
    return banks[number]
