"""Networks give way to work of other threads (`camviz.turns`).

    with give_way_between_modules():  # once a process, that of a server
        ...
    with step(), Interruptible():     # a step of many operations
        timm.create_model("vit_base_patch16_224")

A pass of a network is one step. Python runs one thread at a time and changes to another at every
operation of torch, so that quick work beside a forward pass takes several times as long. A backward
pass is one operation, which holds nobody up. A large network is made in nearly a second, one weight
after the other: others have their steps meanwhile.
"""

from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from camviz.turns import give_way, interrupt


def give_way_between_modules() -> RemovableHandle:
    """Let quick work pass before each module of every network in this process.

    Ends with the block, or when `remove` is called.
    """
    return nn.modules.module.register_module_forward_pre_hook(_before_module)


def _before_module(module: nn.Module, inputs: Any) -> None:
    give_way()


class Interruptible(TorchFunctionMode):
    """Within the block, others have their steps between two operations of this thread.

    Raises what ends the work of this thread, between two operations as well.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        interrupt()
        return func(*args, **(kwargs or {}))
