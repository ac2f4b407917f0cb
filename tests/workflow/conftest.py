"""A small project in its own folder, run with the real Snakemake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from reprior.loading import load
from reprior.machine.files import save_tensors
from tests.workflow.runner import run

GENERATOR = {"name": "began", "size": 64, "channels": 4, "latent": 8}
STUDY = {
    "title": "A tiny study",
    "images": {"faces": {"dataset": {"name": "faces-drawn"}, "count": 2}},
    "generators": {"tiny": {**GENERATOR, "weights": "tiny.safetensors"}},
    "methods": {
        "up": {"name": "bicubic", "label": "Bicubic"},
        "csgm": {"name": "csgm", "label": "CSGM", "steps": 5},
        "csgm-bp": {"name": "back-projection", "label": "CSGM-BP", "start": "csgm"},
        "iagan": {"name": "iagan", "label": "IAGAN", "start": "csgm", "steps": 4},
    },
    "metrics": [{"name": "mse"}, {"name": "psnr"}],
    "cases": {
        "sr": {
            "label": "SR x4",
            "images": "faces",
            "generator": "tiny",
            "operator": {"name": "bicubic", "scale": 4},
            "methods": {"up": None, "csgm": None, "csgm-bp": None, "iagan": None},
        }
    },
    "artifacts": {
        "table": {
            "kind": "table",
            "title": "Everything",
            "cases": ["sr"],
            "methods": ["up", "csgm", "csgm-bp", "iagan"],
            "metrics": ["psnr"],
        },
        "baseline": {"kind": "table", "title": "Baseline", "cases": ["sr"], "methods": ["up"], "metrics": ["psnr"]},
    },
}


@dataclass(frozen=True)
class Project:
    """A folder with the project's Snakefile and rules, and a tiny study."""

    folder: Path

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Run Snakemake here; return its whole output."""
        options = ("--cores", "2", "--scheduler", "greedy")
        status, said = run([*options, *arguments], self.folder, environment())
        assert status == 0 or not check, said
        return said

    def planned(self, *arguments: str) -> Counter[tuple[str, str]]:
        """The jobs that Snakemake would run: (rule, method or artifact) -> number."""
        jobs = re.split(r"\n(?=(?:local)?rule )", self.snakemake("-n", *arguments))
        found: Counter[tuple[str, str]] = Counter()
        for job in jobs:
            rule = re.match(r"(?:local)?rule (\w+):", job)
            if rule:
                what = re.search(r"wildcards: .*?(?:method|artifact)=([\w-]+)", job)
                found[rule[1], what[1] if what else ""] += 1
        return found

    def reconstruct(self, out: Path, method: dict, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a reconstruct job by hand, on the first image."""
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "reprior", "reconstruct"),
                "results/tiny/mine/sr/observation/0000-0000.safetensors",
                *("--label", "by-hand", "--method", json.dumps(method)),
                *("--generator", json.dumps(self.study()["generators"]["tiny"])),
                *("--checkpoint-seconds", "0.3", "--device", "cpu", "--out", str(out)),
            ],
            cwd=self.folder,
            env=env or environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def study(self) -> dict:
        """The study file's content."""
        return yaml.safe_load((self.folder / "studies/mine/study.yaml").read_text())

    def write_study(self, content: dict) -> None:
        """Replace the study file."""
        (self.folder / "studies/mine/study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def environment() -> dict[str, str]:
    """The environment of a run, with this interpreter first on PATH, as in an activated environment."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }


def make_project(root: Path, folder: Path) -> Project:
    """Make a folder with the project's Snakefile and rules, and the tiny study."""
    shutil.copy(root / "Snakefile", folder)
    shutil.copytree(root / "workflow", folder / "workflow")
    (folder / "studies/mine").mkdir(parents=True)
    (folder / "scales").mkdir()
    (folder / "envs").mkdir()
    shutil.copy(root / "envs/reprior.yaml", folder / "envs")  # every rule names it, so its metadata is recorded
    (folder / "config.yaml").write_text("scale: tiny\nstudies: [mine]\nimages_per_job: 1\n")
    (folder / "scales/tiny.yaml").write_text('title: Tiny\nnote: "a test: not comparable"\n')
    (folder / "studies/mine/reported.csv").write_text(
        "artifact,case,method,metric,value,note\ntable,sr,csgm,psnr,20.5,\n"
    )
    settings = {key: value for key, value in GENERATOR.items() if key != "name"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_tensors(folder / "tiny.safetensors", load("generator", "began")(**settings).state_dict())
    project = Project(folder)
    project.write_study(STUDY)
    return project


@pytest.fixture(scope="session")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has been run once."""
    project = make_project(root, tmp_path_factory.mktemp("finished"))
    project.snakemake()
    return project


@pytest.fixture
def again(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, which tests may change."""
    folder = tmp_path / "again"
    shutil.copytree(finished.folder, folder, copy_function=shutil.copy2)
    return Project(folder)


@pytest.fixture(scope="session")
def house(root: Path) -> Project:
    """The real project, only to look at its plan."""
    return Project(root)
