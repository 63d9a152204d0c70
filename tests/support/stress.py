"""The page's tests again and again with every core kept busy by other processes.

    python -m tests.support.stress [--runs 10] [PYTEST ARGUMENT ...]

Prints one line a run, as pytest sums it up. Exits with 1 if any run failed.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time


def burn():
    """Keep a core busy."""
    while True:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    arguments, rest = parser.parse_known_args()
    burners = [multiprocessing.Process(target=burn, daemon=True) for _ in range(os.cpu_count())]
    for burner in burners:
        burner.start()
    failed = 0
    for number in range(1, arguments.runs + 1):
        start = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "--no-header",
            *(rest or ["tests/browser"]),
        ]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        lines = run.stdout.splitlines()
        failed += run.returncode != 0
        print(f"run {number}: {lines[-1].strip('= ')}, load {os.getloadavg()[0]:.1f}", flush=True)
        for line in lines:
            if line.startswith(("FAILED", "ERROR")):
                print(f"    {line}", flush=True)
        print(f"    {time.monotonic() - start:.0f} s", flush=True)
    for burner in burners:
        burner.terminate()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
