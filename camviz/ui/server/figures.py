"""/metrics: figures of this server for Prometheus; they name nobody and nothing of visitors."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from camviz.engine.lookups import lookups
from camviz.ui.gradio_compat import running, waiting
from camviz.ui.hosting.records import REGISTRY


class ServerFigures(Collector):
    """What is so right now: queue, caches, disk. app: gradio's application."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def collect(self) -> Iterable[Metric]:
        queue = GaugeMetricFamily(
            "camviz_queue_events", "Events that wait for their turn, or run.", labels=["state"]
        )
        queue.add_metric(["waiting"], waiting(self._app))
        queue.add_metric(["running"], running(self._app))
        yield queue
        found = CounterMetricFamily(
            "camviz_cache_lookups", "What was looked for in a cache.", labels=["cache", "result"]
        )
        counts = lookups()
        for cache in ("backbones", "traces"):
            for result, held in (("hit", True), ("miss", False)):
                found.add_metric([cache, result], counts[cache, held])
        yield found
        yield GaugeMetricFamily(
            "camviz_upload_bytes",
            "Disk that uploads and results take.",
            sum(_sizes(Path(get_upload_folder()))),
        )


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield path.stat().st_size
        except OSError:  # deleted meanwhile
            continue


class Exposition:
    """All figures as the text that Prometheus reads."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, app: Any) -> None:
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)  # resident memory, CPU seconds, open files
        self._own.register(ServerFigures(app))

    def text(self) -> bytes:
        return generate_latest(REGISTRY) + generate_latest(self._own)
