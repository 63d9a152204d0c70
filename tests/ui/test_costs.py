"""What a 12-megapixel photograph costs: memory, seconds and bytes, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.memory import HAS_PEAKS

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPH = 36  # MB of its pixels

# MB beyond what is held before, by what is done; a dozen photographs would be 430.
MOST_MB = {
    "compress": 4 * PHOTOGRAPH,
    "open": 4 * PHOTOGRAPH,
    "explain": 5 * PHOTOGRAPH,
    "report": 4 * PHOTOGRAPH,
    "zip of screen": 4 * PHOTOGRAPH,
    "zip of original": 8 * PHOTOGRAPH,
    "zip with contours": 8 * PHOTOGRAPH,  # boxes of two maps may be looked for at once
    "cover with blur": 6 * PHOTOGRAPH,
    "cover with mean": 6 * PHOTOGRAPH,
    "cover with neighbours": 9 * PHOTOGRAPH,
    "cover with background": 7 * PHOTOGRAPH,
    "save": 9 * PHOTOGRAPH,  # how many are written at once depends on what else runs
    "notebook": 2 * PHOTOGRAPH,
    "preview": 3 * PHOTOGRAPH,
    "tile": 2 * PHOTOGRAPH,
    "endpoint, 60 layers": 6 * PHOTOGRAPH,
    "endpoint, long strip": 2 * PHOTOGRAPH,
}
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """By what is done: {MB, seconds, bytes}."""
    if not HAS_PEAKS:
        pytest.skip("peaks of memory are read from /proc")
    folder = tmp_path_factory.mktemp("costs")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.costs", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", MOST_MB)
def test_memory_is_that_of_a_few_photographs(costs, name):
    assert set(costs) == set(MOST_MB)
    assert costs[name]["MB"] < MOST_MB[name]


@pytest.mark.parametrize("size", ["screen", "original"])
def test_a_zip_is_small_and_quickly_made(costs, size):
    """At most as long as opening and compressing the photograph 80 times: 5 s of two cores.

    Seconds alone would tell machines apart, not versions of this project.
    """
    assert 1e6 < costs[f"zip of {size}"]["bytes"] <= 15e6
    assert costs[f"zip of {size}"]["seconds"] <= 20 * costs["compress"]["seconds"]


def test_many_layers_of_a_photograph_cost_what_their_overlays_do(costs):
    assert costs["endpoint, 60 layers"]["seconds"] <= 20 * costs["compress"]["seconds"]
    assert costs["endpoint, 60 layers"]["bytes"] <= 15e6
