"""How long Snakemake takes to plan, and to find nothing to do, by number of jobs: docs/benchmarks.md.

    python benchmarks/plan_growth.py 20 8 4 2 1

The arguments are images per job, for the IAGAN study at full scale: fewer images make more jobs. It computes nothing
and leaves the project unchanged: it plans in a temporary folder, with empty files as results. Times are CPU seconds,
which depend less on other load than wall-clock time.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images_per_job", type=int, nargs="+")
    parser.add_argument("--dry", action="store_true", help="only plan: the other time needs a minute for 1,000 jobs")
    options = parser.parse_args()
    print("| jobs | plan [s] | nothing to do [s] |\n|---|---|---|")
    for images in options.images_per_job:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "studies").symlink_to(ROOT / "studies")
            jobs, seconds = planned(Path(folder), images)
            idle = "" if options.dry else f"{nothing_to_do(Path(folder), images):.1f}"
            print(f"| {jobs:,} | {seconds:.1f} | {idle} |", flush=True)


def planned(folder: Path, images_per_job: int) -> tuple[int, float]:
    """Number of jobs and CPU seconds of a dry run without any results."""
    output, seconds = snakemake(folder, images_per_job, "-n", "--quiet", "rules")
    return int(re.findall(r"^total +(\d+)$", output, re.MULTILINE)[0]), seconds


def nothing_to_do(folder: Path, images_per_job: int) -> float:
    """CPU seconds of a run when everything has been made and recorded."""
    output, _ = snakemake(folder, images_per_job, "-n")
    for line in re.findall(r"^    output: (.*)$", output, re.MULTILINE):
        for name in line.split(", "):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    snakemake(folder, images_per_job, "--touch", "--quiet", "all")
    output, seconds = snakemake(folder, images_per_job)
    if "Nothing to be done" not in output:
        raise RuntimeError(f"there was something to do:\n{output[-2000:]}")
    return seconds


def snakemake(folder: Path, images_per_job: int, *arguments: str) -> tuple[str, float]:
    """Snakemake's output and CPU seconds."""
    config = ["--config", "scale=full", "studies=iagan", f"images_per_job={images_per_job}"]
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, *arguments, *config], cwd=folder, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, spent


if __name__ == "__main__":
    main()
