"""Networks as people bring them, changed and wrapped: how many are explained, and how they fail.

    python -m benchmarks.any_network --cases 400
    python -m benchmarks.any_network --cases 50 --pattern "resnet18" "convnext_atto"

Each case must be refused with a `CamvizError` that names the true cause, or explained with as many
labels as logits, probabilities of the right kind and maps equal to plain autograd's.
"""

import argparse
import time
import warnings
from collections import Counter

import camviz

import timm  # isort: skip  after camviz
import numpy as np  # isort: skip
import torch  # isort: skip

from tests.support.perturb import check_case, draw_case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    parser.add_argument("--pattern", nargs="+", default=["test_*"], help="architectures of timm")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    names = sorted({name for each in arguments.pattern for name in timm.list_models(each)})
    photo = np.random.default_rng(0).integers(0, 255, (60, 90, 3)).astype(np.uint8)
    results: Counter[str] = Counter()
    start = time.perf_counter()
    for seed in range(arguments.first, arguments.first + arguments.cases):
        case = draw_case(seed, names)
        try:
            results[check_case(case, photo)] += 1
        except Exception as error:  # counted and printed: the sweep goes on
            results["wrong"] += 1
            text = " ".join(str(error).split())[:200]
            print(f"WRONG  {case}: {type(error).__name__}: {text}", flush=True)
    seconds = time.perf_counter() - start
    print(f"camviz {camviz.__version__}, timm {timm.__version__}, torch {torch.__version__}")
    print(
        f"{len(names)} architectures, {arguments.cases} cases in {seconds:.0f} s: {dict(results)}"
    )
    return 1 if results["wrong"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
