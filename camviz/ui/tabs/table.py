"""The tabs of the page, in their order. The first one is open when the page opens."""

from camviz.ui.tabs import compare, methods, models, pictures, prototypes
from camviz.ui.tabs.base import Tab

TABS: tuple[Tab, ...] = (compare, pictures, methods, models, prototypes)
