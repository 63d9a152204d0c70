"""What an engine holds is what it counts, and networks that are gone take their memory along."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["vit_small_patch16_224", "deit_small_patch16_224", "vit_small_patch32_224"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("given", [False, True])
def test_memory_is_what_is_counted(given):
    """In a process of its own, within 10 % and what Python itself takes."""
    code = (
        "import json; from benchmarks.memory import explain_in_turn; "
        f"print(json.dumps(list(explain_in_turn({NAMES}, 100 * 2**20, given={given}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout)
    for size, grown, networks, traces in rows:
        assert 80 < size < 100
        assert networks < (1 if given else 100), "one network at most is held"
        assert grown <= 1.1 * (networks + traces) + 25
    assert (rows[-1][3] < 1) == given, "what belongs to a network that is gone is gone"
