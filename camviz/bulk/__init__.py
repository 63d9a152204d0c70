"""Maps of many pictures: a run, which is a folder of Parquet files, and what is made of it.

Needs the extra `bulk` (pip install "camviz[bulk]"), which brings pyarrow.
"""

from importlib.util import find_spec

from camviz.errors import CamvizError


def require_pyarrow() -> None:
    """Raise `CamvizError` where the extra is not installed; everything else of `bulk` needs it."""
    if find_spec("pyarrow") is None:
        raise CamvizError('runs need pyarrow, which is not installed: pip install "camviz[bulk]"')
