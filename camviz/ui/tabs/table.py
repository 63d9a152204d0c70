"""The views of the page, in their order. The first one is open when the page opens.

Views of one `GROUP` stand side by side under one entry, which is there as soon as one of them is.
*Collection* needs pyarrow, an extra: without it there is no such view.
"""

from importlib.util import find_spec

from camviz.ui.tabs import (
    attention,
    classes,
    compare,
    cover,
    faithfulness,
    guess,
    limits_of_maps,
    methods,
    models,
    pictures,
    prototypes,
    sanity,
    steps,
    teach,
)
from camviz.ui.tabs.base import Tab

if find_spec("pyarrow") is None:
    _OF_RUNS: tuple[Tab, ...] = ()
else:
    from camviz.ui.tabs import collection

    _OF_RUNS = (collection,)

TABS: tuple[Tab, ...] = (
    compare, classes, methods, models, pictures, *_OF_RUNS, prototypes, attention, cover,
    faithfulness, sanity, steps, guess, teach, limits_of_maps,
)  # fmt: skip
