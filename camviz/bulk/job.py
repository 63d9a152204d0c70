"""What is asked of many pictures: their source, the network, the options, and whose maps.

    job = Job("photos/", "resnet50")
    backbone = job.load(engine)
    for rows in job.rows(engine, backbone, open_source(job.source).items()): ...

The same job gives the same rows in one process, in several and on a cluster.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import tee
from typing import Any

import numpy as np

from camviz.bulk.item import Item
from camviz.bulk.run import Geometry
from camviz.bulk.schema import VERSION, id_of, row_of
from camviz.engine.ahead import ahead
from camviz.engine.banks import given_bank
from camviz.engine.engine import Engine
from camviz.engine.explanation import Explanation
from camviz.engine.many import decided
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.errors import CamvizError, TargetError
from camviz.images import Picture, open_picture
from camviz.network.backbone import Backbone
from camviz.network.settings import Settings
from camviz.preprocessing import outputs_of, preprocessing_of

THREADS = 2  # that open pictures, and as many each that resize them, make maps, and pack rows


@dataclass(frozen=True)
class Failure:
    """A picture of which there are no maps, and why."""

    id: str
    path: str
    error: str


# Of one picture: a row in each run of the job; or why there are no maps.
Rows = tuple[dict[str, Any], ...] | Failure


@dataclass(frozen=True)
class Job:
    """Maps of all pictures of a source by one network.

    source: as `open_source` takes it. target: "top", "label" or a column of the source. options:
    those of `explain`; settings: those of the network. methods: several, made of the same passes,
    each a run of its own (`runs`); empty: the one of the options. limit: so many pictures of the
    source at most, the first. batch, limit and threads change no row, and are no part of the
    configuration.
    """

    source: str
    backbone: str | None = None
    weights: str = "auto"
    target: str = "top"
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    batch: int = 32
    limit: int | None = None
    threads: int = THREADS

    @property
    def runs(self) -> dict[str, "Job"]:
        """The job of each run, by its place below the folder that is named; ".": that one.

        Each would be the same if it were done alone.
        """
        if not self.methods:
            return {".": self}
        return {
            method: replace(self, options={**self.options, "method": method}, methods=())
            for method in self.methods
        }

    def load(self, engine: Engine) -> Backbone:
        """The network. Raises a `CamvizError` as `load_backbone` does."""
        settings = Settings(**self.settings)
        return engine.backbone(self.backbone, self.weights, **settings.given)

    def configuration(self, backbone: Backbone) -> dict[str, Any]:
        """What the run is named by, in plain values, without a path of this machine but the source.

        Of a network its public name, the digest of its weights, how pictures reach it, and what its
        outputs are; of options every one, as
        decided for the network; of prototypes that were given their digest.
        """
        chosen = decided(backbone, Options.from_mapping(self.options))
        options = {name: getattr(chosen, name) for name in option_table(Options)}
        bank = given_bank(chosen, backbone, None)
        if bank is not None:
            options["prototypes"] = f"bank:{bank.id}"
        return {
            "version": VERSION,
            "source": self.source,
            "backbone": backbone.display_name,
            "weights": backbone.weights_digest,
            "settings": backbone.settings.given,
            "preprocessing": preprocessing_of(backbone),
            "outputs": outputs_of(backbone),
            "target": self.target,
            "options": options,
        }

    def geometry(self, engine: Engine, backbone: Backbone) -> Geometry:
        """Where the maps of the run look: that of a grey picture, explained as all will be."""
        channels, *_ = backbone.input_size
        grey = np.full((64, 64, 3 if channels == 1 else channels), 128, np.uint8)
        targets = range(len(backbone.labels)) if backbone.has_classes else ()
        refused: TargetError | None = None
        for target in (None, *targets):  # it may be one that is compared with
            try:
                return Geometry.of(engine.explain(grey, backbone, target=target, **self.options))
            except TargetError as error:
                refused = error
        assert refused is not None
        raise refused

    def rows(
        self, engine: Engine, backbone: Backbone, items: Iterable[Item]
    ) -> Generator[Rows, None, None]:
        """The rows of each picture, one in each of `runs`, or why there are none, in order.

        Pictures are read, opened and resized in threads ahead of the network, and rows are made in
        threads behind it; about three batches of pictures are in memory.
        """
        under_way: deque[Item] = deque()

        def taken() -> Iterator[Item]:
            for item in items:
                under_way.append(item)
                yield item

        waiting = 2 * self.threads
        asked = ahead(self._ask, taken(), threads=self.threads, waiting=waiting)
        first, second = tee(asked)
        found = engine.explain_many(
            (image for image, _ in first),
            backbone,
            targets=(target for _, target in second),
            batch=self.batch,
            rows=[run.options for run in self.runs.values()],
            threads=self.threads,
        )
        pairs = ((under_way.popleft(), each) for each in found)
        return ahead(_rows, pairs, threads=self.threads, waiting=waiting)

    def _ask(self, item: Item) -> tuple[Picture | CamvizError, int | str | None]:
        """A picture and its target; or why there is none."""
        try:
            return open_picture(item.read(), name=item.path), item.target(self.target)
        except CamvizError as error:
            return error, None


def _rows(pair: tuple[Item, tuple[Explanation, ...] | CamvizError]) -> Rows:
    item, found = pair
    if isinstance(found, CamvizError):
        return Failure(id_of(item.key), item.path, str(found))
    return tuple(row_of(x, item.key, item.path, item.label) for x in found)
