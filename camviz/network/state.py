"""The state of a network: which weights it holds now, and the lock under which it runs.

A network is a mutable thing. What was computed with it is found again by its fingerprint, which
changes whenever its weights do, and never by the object alone.
"""

import copy
import hashlib
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from camviz.errors import BackboneError
from camviz.turns import Fair

# Tensors up to this size are compared whole, of larger ones about so many numbers.
_WHOLE, _SAMPLES = 4096, 256
# Types whose numbers are compared, and the integers of the same bits, which compare NaN too.
_BITS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}

_locks: WeakKeyDictionary[nn.Module, Fair] = WeakKeyDictionary()
_guard = threading.Lock()
_held: "WeakKeyDictionary[nn.Module, _Held]" = WeakKeyDictionary()


def network_lock(model: nn.Module) -> Fair:
    """The lock of a network: one, however many Backbones are around it. Re-entrant and fair."""
    with _guard:
        return _locks.setdefault(model, Fair())


def _forget_locks() -> None:
    """In a forked process, the threads that held the locks do not exist."""
    global _guard
    _guard = threading.Lock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


def tensors_of(model: nn.Module) -> Iterator[Tensor]:
    """Every parameter and buffer of a network, persistent or not."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            yield from (tensor for tensor in held.values() if tensor is not None)


def fingerprint(model: nn.Module) -> str:
    """What tells the present weights of a network from those it had before, in hex.

    A hash over its modules and, for each parameter and buffer, its address, version, shape and some
    of its numbers, evenly spaced. An optimiser's step and `load_state_dict` change the
    version; what is written through `.data` changes numbers only, and in a large tensor a few of
    them may escape. Takes 0.3 ms for a ResNet-50 on the CPU whose weights are as before.
    """
    known = _held.get(model)
    if known is None or not known.has_same_tensors():
        known = _held[model] = _Held(model)
    return known.fingerprint()


class _Held:
    """What a network holds: its modules and tensors, and what their numbers were last."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = [weakref.ref(module) for module in model.modules()]
        self._ids = self._held_ids()
        self._tensors = list(tensors_of(model))
        self._versioned = [tensor for tensor in self._tensors if not tensor.is_inference()]
        self._addresses = self._tensor_addresses()
        with torch.inference_mode(False), torch.no_grad():
            self._samples = _samples(self._tensors)
        self._last: tuple[list[int], list[Tensor], str] = ([], [], "")

    def has_same_tensors(self) -> bool:
        """Whether modules and tensors are the same ones, at the same addresses."""
        return self._held_ids() == self._ids and self._tensor_addresses() == self._addresses

    def fingerprint(self) -> str:
        """The hash; computed anew only if a version or one of the sampled numbers changed."""
        versions = [tensor._version for tensor in self._versioned]
        with torch.inference_mode(False), torch.no_grad():
            numbers = [
                torch.cat(views).view(_BITS[views[0].dtype]).cpu() for views in self._samples
            ]
        last_versions, last_numbers, known = self._last
        if known and versions == last_versions and all(map(torch.equal, numbers, last_numbers)):
            return known
        shapes = [(tensor.dtype, tensor.shape) for tensor in self._tensors]
        identity = repr((self._ids, self._addresses, shapes, versions))
        digest = hashlib.blake2b(identity.encode(), digest_size=16)
        for each in numbers:
            digest.update(each.numpy().data)
        self._last = (versions, numbers, digest.hexdigest())
        return self._last[2]

    def _held_ids(self) -> list[int]:
        ids: list[int] = []
        for reference in self._modules:
            module = reference()
            if module is None:
                return []
            held = vars(module)
            for kind in ("_modules", "_parameters", "_buffers"):
                if held[kind]:
                    ids.extend(map(id, held[kind].values()))
        return ids

    def _tensor_addresses(self) -> list[int]:
        return [tensor.data_ptr() for tensor in self._tensors]


def _samples(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Views of some numbers of each tensor, (n,), those of one device and type together.

    Views with gaps stand in lists of their own: `torch.cat` copies those without gaps ten times as
    fast if there are no others.
    """
    groups: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        ordinary = tensor.layout == torch.strided and tensor.device.type != "meta"
        if not ordinary or tensor.dtype not in _BITS or not tensor.numel():
            continue
        strides = tensor.stride()
        order = sorted(range(tensor.ndim), key=lambda axis: -strides[axis])
        dense = tensor.detach().permute(order)  # channels last, for example
        while not dense.is_contiguous() and dense.ndim > 1:  # with gaps: its first numbers
            dense = dense.select(-1, 0)
        flat = dense.view(-1) if dense.is_contiguous() else dense
        view = flat[:: 1 if flat.numel() <= _WHOLE else flat.numel() // _SAMPLES]
        key = (tensor.device, tensor.dtype, view.is_contiguous())
        groups.setdefault(key, []).append(view)
    return list(groups.values())


class Copy:
    """A copy of a network in single precision, on a device of its own, that follows its weights.

    For a network that cannot be explained as it is and must stay as it is.
    """

    def __init__(self, original: nn.Module, device: torch.device) -> None:
        self.original = original
        with torch.inference_mode(False), torch.no_grad():
            self.model = copy.deepcopy(original).float().to(device)
        self.model.eval().requires_grad_(False)
        self._state = fingerprint(original)

    def update(self) -> None:
        """Bring the original's weights over if they changed since.

        Raises `BackboneError` if its layers did.
        """
        state = fingerprint(self.original)
        if state == self._state:
            return
        given, held = list(tensors_of(self.original)), list(tensors_of(self.model))
        if [tensor.shape for tensor in given] != [tensor.shape for tensor in held]:
            raise BackboneError(
                f"the layers of this {type(self.original).__name__} were changed after "
                "wrap_backbone(); wrap it again"
            )
        with torch.inference_mode(False), torch.no_grad():
            for mine, theirs in zip(held, given, strict=True):
                mine.copy_(theirs)
        self._state = state


def is_plain(model: nn.Module, device: torch.device) -> bool:
    """Whether a network can be explained as it is: in single precision, on that device."""
    return all(
        tensor.device == device
        and (tensor.dtype == torch.float32 or not tensor.is_floating_point())
        for tensor in tensors_of(model)
    )
