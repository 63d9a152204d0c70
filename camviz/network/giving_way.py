"""Networks of a server give way to quick work of other threads (`camviz.turns`).

    with give_way_between_modules():  # once a process
        ...

A pass of a network is one step. Python runs one thread at a time and changes to another at every
operation of torch, so that quick work beside a forward pass takes several times as long. A backward
pass is one operation, which holds nobody up.
"""

from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from camviz.turns import give_way


def give_way_between_modules() -> RemovableHandle:
    """Let quick work pass before each module of every network in this process.

    Ends with the block, or when `remove` is called.
    """
    return nn.modules.module.register_module_forward_pre_hook(_before_module)


def _before_module(module: nn.Module, inputs: Any) -> None:
    give_way()
