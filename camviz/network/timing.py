"""How long a pass of a network takes, and what follows each of its tapped tensors."""

import time
from dataclasses import dataclass

import torch

from camviz.network.taps import Address


@dataclass(frozen=True)
class Timing:
    """How long one forward pass took, in seconds.

    `whole`: all of it. `after`: from when each tapped tensor was there to the end.
    """

    whole: float
    after: dict[Address, float]

    def quicker(self, other: "Timing") -> "Timing":
        """The least of both, part by part: what disturbs a pass makes it longer only."""
        both = self.after.keys() & other.after.keys()
        least = {tap: min(self.after[tap], other.after[tap]) for tap in both}
        return Timing(min(self.whole, other.whole), self.after | other.after | least)


class Stopwatch:
    """Times one pass: a GPU works on when it is asked for the next step, and is waited for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: dict[Address, float] = {}
        self._start = self._now()

    def mark(self, address: Address) -> None:
        self._marks[address] = self._now()

    def stop(self) -> Timing:
        end = self._now()
        after = {address: end - moment for address, moment in self._marks.items()}
        return Timing(end - self._start, after)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
