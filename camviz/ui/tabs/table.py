"""The views of the page, in their order. The first one is open when the page opens.

Views of one `GROUP` stand side by side under one entry, which is there as soon as one of them is.
"""

from camviz.ui.tabs import compare, methods, models, pictures, prototypes
from camviz.ui.tabs.base import Tab

TABS: tuple[Tab, ...] = (compare, pictures, methods, models, prototypes)
