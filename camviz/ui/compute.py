"""The engine of this process, and where it computes: here, or on ZeroGPU.

On a ZeroGPU Space a GPU is lent to single calls of a decorated function, and each runs in a
process forked from this one. So models stay here, on the CPU, and tasks go out and come back as
plain values. Nothing is differentiated in this process: torch's autograd engine asks CUDA for its
devices once, when it is first used, and a process forked later would go on believing that there
are none. Small networks are differentiated in forked processes of our own, on the CPU, and cost
no visitor's quota; so is what the GPU could not do, for want of quota or for any other reason.
"""

import logging
import multiprocessing
import os
from functools import lru_cache
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import gradio as gr

from camviz.engine.engine import Engine
from camviz.engine.remote import RemoteRunner, RemoteTask
from camviz.environment import environment
from camviz.errors import CamvizError
from camviz.space.spacefile import spacefile
from camviz.turns import check_stopped

try:
    import spaces
except ImportError:  # anywhere but on a Space
    spaces = SimpleNamespace(GPU=lambda **options: lambda function: function)
log = logging.getLogger(__name__)
_LOOK = 0.05  # seconds between two checks of whether a process is to be given up
# The value of a task, or an error that the visitor can mend.
Answer = tuple[Any, CamvizError | None]


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine of this process; its networks and traces serve every visitor."""
    budget = environment().memory_budget
    memory = None if budget is None else budget * 2**20
    if on_zero():
        return Engine("cpu", runner=RemoteRunner(send), memory=memory)
    return Engine(memory=memory)


def on_zero() -> bool:
    """Whether this is a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def send(task: RemoteTask) -> Any:
    """Have a task done where it is best done. Raises the `CamvizError` that the work raised."""
    value, error = None, None
    if task.parameters < spacefile().limits.gpu_from * 1e6:
        value, error = in_child(task)
    else:
        try:
            value, error = on_gpu(task)
        except gr.Error as refused:  # no quota, no GPU at hand, or it took too long
            log.warning("no GPU for %s: %s", task, refused)
            value, error = in_child(task)
    if error is not None:
        raise error
    return value


def seconds(task: RemoteTask) -> int:
    """How long a GPU is requested for: less is granted sooner."""
    limit = spacefile().limits.gpu_seconds
    return limit * 3 if task.work.slow else limit


@spaces.GPU(duration=seconds)  # type: ignore[untyped-decorator]
def on_gpu(task: RemoteTask) -> Answer:
    """Do a task on the GPU that is there for this call alone."""
    return attempt(task, "cuda")


def attempt(task: RemoteTask, device: str) -> Answer:
    """Do a task in this process. Errors that are answers are returned: they must arrive whole."""
    try:
        return engine().run(task, device), None
    except CamvizError as error:
        return None, error


def in_child(task: RemoteTask) -> Answer:
    """Do a task in a process forked for it, on the CPU; it ends with who asked for it.

    Raises `RuntimeError` if the process dies.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(sender, task), daemon=True)
    child.start()
    sender.close()
    try:
        while not receiver.poll(_LOOK):
            check_stopped()
        answer: Answer = receiver.recv()
    except EOFError:
        child.join()
        raise RuntimeError(
            f"the process for {task} ended without an answer, with exit status {child.exitcode}"
        ) from None
    except BaseException:
        child.terminate()  # nobody waits for it any more
        child.join()
        raise
    finally:
        receiver.close()
    child.join()
    return answer


def _answer(sender: Connection, task: RemoteTask) -> None:
    sender.send(attempt(task, "cpu"))
    sender.close()
