"""What only a machine with a GPU can tell about this package, in one command: see docs/gpu.md.

    python benchmarks/gpu_check                          # on the first CUDA GPU, in under ten minutes
    python benchmarks/gpu_check --device cpu --quick     # the same code in seconds, to see that it runs

It needs Python 3.11, torch, numpy, tqdm and safetensors; nothing is installed or downloaded. Each part runs in a
process of its own. The end is one table, a list of what failed, and status 1 if anything failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks"), str(ROOT)]


def main() -> int:
    """Run the parts; return the exit status."""
    began = time.monotonic()
    from gpu_check import agreement, cuda_tests, graphs, machine, memory, resumption, rows, sharing, speed, waits, ways
    from gpu_check.parts import Part, Settings, run_all

    loading = time.monotonic() - began
    parts = [
        Part("machine", machine.check, 4, vital=True),
        Part("cuda tests", cuda_tests.check, 8),
        Part("cpu and gpu", agreement.check, 14),
        Part("graphs", graphs.check, 10),
        Part("speed", speed.check, 52),
        Part("weights per image", ways.check, 14),
        Part("jobs per gpu", sharing.check, 14),
        Part("resumption", resumption.check, 6),
        Part("out of memory", memory.check, 4),
        Part("waits", waits.check, 5),
        Part("step times", rows.check, 26),
    ]
    names = [part.name for part in parts]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller problems: only to see that it runs")
    parser.add_argument(
        "--minutes", type=float, default=9.0, help="what does not fit is skipped, and the table says so"
    )
    parser.add_argument("--out", type=Path, default=Path("results/gpu-check"), help="folder of the numbers")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="PART", help=", ".join(names))
    options = parser.parse_args()
    settings = Settings(options.device, options.quick, options.out, ROOT, loading)
    return run_all([part for part in parts if part.name in options.only], settings, 60 * options.minutes)


if __name__ == "__main__":
    sys.exit(main())
