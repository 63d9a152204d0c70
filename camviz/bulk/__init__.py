"""Maps of many pictures: a run, which is a folder of Parquet files, and what is made of it.

Needs the extra `bulk` (pip install "camviz[bulk]"), which brings pyarrow.
"""

from importlib.util import find_spec

from camviz.errors import CamvizError


def require(package: str = "pyarrow", extra: str = "bulk") -> None:
    """Raise `CamvizError` for a package of an extra that is not installed.

    Whatever reads or writes runs needs pyarrow.
    """
    if find_spec(package) is None:
        raise CamvizError(
            f'runs need {package}, which is not installed: pip install "camviz[{extra}]"'
        )
