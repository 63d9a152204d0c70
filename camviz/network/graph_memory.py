"""What a graph of operations keeps in memory for a backward pass."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

from camviz.network.state import tensors_of
from camviz.network.taps import Address


def storages_in_graph(
    output: Tensor, model: nn.Module, stored: Mapping[Address, Tensor]
) -> dict[int, int]:
    """Address and bytes of every storage that a graph keeps alive, except those of the network.

    What each node saved for its backward pass is read off its attributes.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in tensors_of(model)}
    found: dict[int, int] = {}

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            address = storage.data_ptr()
            if address not in own:
                found[address] = storage.nbytes()
        elif isinstance(value, (list, tuple)) and value and not isinstance(value[0], int):
            for each in value:  # shapes and strides, most of what is saved, were left out
                add(each)

    add([output, *stored.values()])
    nodes, visited = [output.grad_fn], set()
    while nodes:
        node: Any = nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        nodes += [following for following, _ in node.next_functions]
        kind: Any = type(node)
        for name in _saved_names(kind):
            add(getattr(node, name, None))
    return found


@lru_cache(maxsize=512)
def _saved_names(kind: type) -> tuple[str, ...]:
    """The attributes of a kind of graph node that hold tensors."""
    names = [name for name in dir(kind) if name.startswith("_saved_")]
    return (*names, "saved_tensors") if hasattr(kind, "saved_tensors") else tuple(names)
