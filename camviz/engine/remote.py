"""Work in another process: a `RemoteRunner` here sends tasks, a `TaskWorker` there does them.

    engine = Engine("cpu", runner=RemoteRunner(send))     # send(task) -> what the worker returns
    engine.run(task, "cuda")                              # in the other process

Tasks and what comes back are plain values (names, numbers, arrays), fit to be pickled. The other
process is forked from the one that made the engine: networks that were loaded before are there.
"""

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from camviz.engine.backbones import BackboneCache, BackboneKey
from camviz.engine.traces import TraceCache
from camviz.engine.work import Device, FindStages, LocalRunner, Result, Traces, Work
from camviz.network.backbone import Backbone
from camviz.network.classifier import Classifier
from camviz.network.settings import Settings, split_settings
from camviz.network.stages import Discovery
from camviz.network.taught import with_head
from camviz.network.weights import load_backbone

_TRACE_BYTES = 2**30


@dataclass(frozen=True)
class RemoteTask:
    """A piece of work on a network, for another process.

    backbone, weights: what `load_backbone` makes the network from, in any process. parameters:
    its size, 0 before it is loaded. display_name: what errors call it. settings: as it was loaded.
    classifier: what takes the place of its own, of a network that was taught; discovery: its stages
    then.
    """

    backbone: str
    weights: str
    parameters: int
    work: Work[Any] = field(repr=False)
    display_name: str | None = None
    settings: Settings = field(default=Settings(), repr=False)
    classifier: Classifier | None = field(default=None, repr=False)
    discovery: Discovery | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{type(self.work).__name__} of {self.backbone}"


# Sends a task to a `TaskWorker` and returns what that returns.
Send = Callable[[RemoteTask], Any]


class RemoteRunner:
    """Has work done in another process: nothing is differentiated here, not even to load a network.

    A network that was given, loaded with timm's own arguments or changed since cannot be made again
    there; work on it is done here.
    """

    resizes = False

    def __init__(self, send: Send) -> None:
        self._send = send

    def load(
        self,
        name: str,
        weights: str | Path,
        device: Device,
        *,
        display_name: str | None = None,
        pass_limit: int | None = None,
        **arguments: Any,
    ) -> Backbone:
        discovery = None
        settings, timm_kwargs = split_settings(arguments)
        if not timm_kwargs:
            task = RemoteTask(name, str(weights), 0, FindStages(), display_name, settings)
            discovery = self._send(task)
        return load_backbone(
            name,
            weights,
            device,
            display_name=display_name,
            discovery=discovery,
            settings=settings,
            pass_limit=pass_limit,
            **timm_kwargs,
        )

    def run(self, backbone: Backbone, work: Work[Result], traces: Traces) -> Result:
        base = backbone.taught_on or backbone
        weights = base.reloads_with
        if weights is None:
            return work.do(backbone, traces)
        work = work.portable()
        task = RemoteTask(
            backbone=base.name,
            weights=weights,
            parameters=backbone.parameters,
            work=work,
            display_name=base.display_name,
            settings=base.settings,
            classifier=backbone.classifier,
            discovery=None if backbone is base else backbone.discovery,
        )
        return work.unpack(self._send(task))


class TaskWorker:
    """Does tasks in the process it is called in, which may be forked from the one that made it."""

    def __init__(self, backbones: BackboneCache) -> None:
        self._backbones = backbones
        self._process = os.getpid()

    def run(self, task: RemoteTask, device: Device) -> Any:
        """The result of a task, packed; nothing of it outlives the call.

        Raises what the work itself raises.
        """
        if os.getpid() != self._process:  # a lock is copied as it was, perhaps held
            self._process = os.getpid()
            self._backbones.unlock()
        key = BackboneKey.of(task.backbone, task.weights, task.settings.given)
        backbone = self._backbones.get(key)
        if backbone is None:
            backbone = load_backbone(
                task.backbone,
                task.weights,
                device,
                display_name=task.display_name,
                settings=task.settings,
            )
        else:
            where = backbone.device if device is None else torch.device(device)
            model = backbone.model
            if where.type != backbone.device.type:
                model = copy.deepcopy(model).to(where)
            backbone = replace(backbone, model=model, device=where)
        if task.classifier is not None:
            backbone = with_head(backbone, task.classifier, task.discovery)
        traces = TraceCache(LocalRunner(), _TRACE_BYTES)
        return task.work.pack(task.work.do(backbone, traces))
