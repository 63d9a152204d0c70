"""Count parameters and classes of every timm architecture into assets/architectures.json.

    python -m benchmarks.count_architectures

Networks are built without memory (on the meta device), a tenth of a second each. Run it after an
update of timm; the catalogue shows the figures without building anything.
"""

import json

from camviz.resources import ASSETS

# isort: split
import timm
import torch


def count(name: str) -> tuple[int, int]:
    """(parameters, classes) of an architecture."""
    with torch.device("meta"):
        model = timm.create_model(name)
    return sum(parameter.numel() for parameter in model.parameters()), model.num_classes


if __name__ == "__main__":
    counts = {name: count(name) for name in sorted(timm.list_models())}
    (ASSETS / "architectures.json").write_text(json.dumps(counts, separators=(",", ":")) + "\n")
    print(f"{len(counts)} architectures")
