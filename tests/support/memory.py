"""The memory of a process as its system counts it: arrays, tensors and decoders alike."""

from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
HAS_PEAKS = STATUS.exists() and "VmHWM" in STATUS.read_text()


class Peak:
    """grown: MB that a process had more at its peak within a block than when it began."""

    grown = 0.0


@contextmanager
def measured_peak():
    """with measured_peak() as peak: the work; then peak.grown."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
    before, found = _peak(), Peak()
    yield found
    found.grown = _peak() - before


def _peak():
    return int(STATUS.read_text().split("VmHWM:")[1].split()[0]) / 1024
