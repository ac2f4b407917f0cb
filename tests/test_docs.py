"""What the documents say: links lead somewhere, named targets and files exist, and the examples work."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reprior.machine.files import load_arrays
from reprior.methods.base import Problem
from reprior.operators.identity import Identity
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
FENCE = re.compile(
    r"^(?:<!-- (?P<role>file: \S+|run) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block; its role is `file: <path>` or `run`, where a comment before it says so."""

    role: str
    language: str
    body: str


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[Block]:
    return [Block(found["role"] or "", found["language"], found["body"]) for found in FENCE.finditer(text_of(document))]


def anchors(document: str) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_lead_somewhere(document: str) -> None:
    links = [link for link in LINK.findall(FENCE.sub("", text_of(document))) if "://" not in link]
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        found = target.is_file() and (not anchor or anchor in anchors(os.path.relpath(target, ROOT)))
        broken += [] if found else [link]
    assert not broken


def test_the_readme_links_to_every_document() -> None:
    assert set(DOCUMENTS) - {"README.md"} <= set(LINK.findall(text_of("README.md")))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_exists(document: str) -> None:
    text = text_of(document)
    code = CODE.findall(FENCE.sub("", text)) + [line for block in blocks(document) for line in block.body.splitlines()]
    named = {match[1] for line in code if (match := re.match(r"make ([a-z]+)\b", line))}
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    assert named <= targets
    assert {"demo", "test"} <= targets


def made(plan: Plan) -> set[str]:
    """Every file that a run makes under results/."""
    files = {plan.folder / "metrics.csv", plan.folder / "report/index.html"}
    for study in plan.studies.values():
        files.add(study.folder / "metrics.csv")
        for name, artifact in study.artifacts.items():
            files |= {study.folder / f"{name}{suffix}" for suffix in (".json", *artifact.suffixes)}
    for case, cell in plan.cells():
        folder = case.folder / cell.method
        log = plan.folder / "logs/reconstruct" / case.study / case.name / cell.method
        for batch in case.images.batches:
            files |= {folder / f"{batch}{end}" for end in (".safetensors", ".json", ".csv")} | {log / f"{batch}.log"}
    return {file.as_posix() for file in files}


def expanded(path: str) -> list[str]:
    """A path with {a,b} written out, as the shell does."""
    braces = re.search(r"\{([^}]*)\}", path)
    if not braces:
        return [path]
    return [one for choice in braces[1].split(",") for one in expanded(path.replace(braces[0], choice, 1))]


def test_every_path_in_the_readme_exists_or_is_made_by_the_demo() -> None:
    text = text_of("README.md")
    code = CODE.findall(FENCE.sub("", text)) + [word for block in blocks("README.md") for word in block.body.split()]
    tops = ("results/", "src/", "studies/", "scales/", "docs/", "envs/", "workflow/", "profiles/default", "config.yaml")
    paths = {path for word in code if word.startswith(tops) for path in expanded(word)}
    files = made(make_plan(ROOT, {"scale": "demo", "studies": ["iagan", "hybrid"]}))
    missing = [
        path
        for path in paths
        if not (ROOT / path).exists() and not any(Path(file).match(path) or file.startswith(path) for file in files)
    ]
    assert any(path in files for path in paths), "no file of results/ was found in the README"
    assert not missing


def test_every_example_is_tested() -> None:
    found = [block for block in blocks("docs/extending.md") if block.language in ("python", "yaml", "csv")]
    assert found
    assert all(block.role for block in found)


# The examples of docs/extending.md, run as a reader would, in a copy of the project.


@dataclass(frozen=True)
class Copy:
    """A copy of the project's code and rules, without its results."""

    folder: Path

    def run(self, command: str) -> str:
        """Run a shell command here with the copy's own package; its whole output."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def run_jobs(self, command: str) -> None:
        """Do what a Snakemake command would: each command that it prints, all in one Python, which is faster."""
        printed = re.findall(r"^Shell command: (.+) > \S+\.log 2>&1$", self.run(f"{command} --dry-run"), re.MULTILINE)
        jobs = [shlex.split(job) for job in printed]
        assert jobs
        assert all(job[:3] == ["python", "-m", "reprior"] for job in jobs)
        (self.folder / "jobs.json").write_text(json.dumps([job[3:] for job in jobs]))
        self.run(
            "python -c 'import json, reprior.cli as cli; [cli.main(job) for job in json.load(open(\"jobs.json\"))]'"
        )


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy with every file of the examples, after their commands were run in order."""
    copy = Copy(tmp_path_factory.mktemp("docs") / "project")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "workflow", "scales", "studies", "profiles", "envs"):
        shutil.copytree(ROOT / name, copy.folder / name, ignore=unwanted)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, copy.folder)
    write_photos(copy.folder / "data/raw/photos.zip")
    for block in blocks("docs/extending.md"):
        if block.role.startswith("file: "):
            path = copy.folder / block.role.removeprefix("file: ")
            assert not path.exists(), f"the example would overwrite {path.name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.role == "run":
            for command in re.findall(r"^\$ (.+)$", block.body, re.MULTILINE):
                (copy.run_jobs if command.startswith("snakemake ") else copy.run)(command)
    return copy


def write_photos(path: Path) -> None:
    """Three smooth colour pictures of different sizes, upright, wide and square, in folders of a zip."""
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, (height, width) in {
            "a/upright.png": (90, 70),
            "a/wide.JPG": (66, 120),
            "square.png": (80, 80),
        }.items():
            y, x = np.mgrid[0:height, 0:width]
            pixels = np.stack([200 * x / width, 200 * y / height, 60 + 0 * x], axis=2).astype(np.uint8)
            content = BytesIO()
            Image.fromarray(pixels).save(content, "PNG")
            archive.writestr(name, content.getvalue())
        archive.writestr("a/notes.txt", "no picture")


@dataclass(frozen=True)
class Numbers:
    """The table of numbers of the study of the examples."""

    rows: list[dict[str, str]]

    def of(self, case: str, method: str, metric: str) -> list[float]:
        """One number an image."""
        wanted = {"study": "mine", "case": case, "method": method, "metric": metric}
        return [float(row["value"]) for row in self.rows if wanted.items() <= row.items()]


@pytest.fixture(scope="module")
def numbers(extended: Copy) -> Numbers:
    with (extended.folder / "results/demo/metrics.csv").open(newline="", encoding="utf-8") as file:
        return Numbers(list(csv.DictReader(file)))


@pytest.mark.slow
def test_the_example_study_computes_every_number(numbers: Numbers) -> None:
    counts = {("faces-grey", method): 2 for method in ("pseudo-inverse", "tv", "csgm")}
    counts |= {("photos-sr-x2", method): 3 for method in ("pseudo-inverse", "tv")}
    for (case, method), images in counts.items():
        for metric in ("psnr", "mae", "seconds"):
            values = numbers.of(case, method, metric)
            assert len(values) == images
            assert all(math.isfinite(value) and value > 0 for value in values)
    assert not numbers.of("photos-sr-x2", "csgm", "psnr")


@pytest.mark.slow
def test_the_example_prior_brings_colour(numbers: Numbers) -> None:
    guessed, grey = (numbers.of("faces-grey", method, "psnr") for method in ("csgm", "pseudo-inverse"))
    assert all(a > b for a, b in zip(guessed, grey, strict=True))


@pytest.mark.slow
def test_the_example_data_set_holds_the_photographs(extended: Copy) -> None:
    images, meta = load_arrays(extended.folder / "data/images/demo/mine/photos/0000-0002.safetensors")
    assert meta["ids"] == ["a/upright.png", "a/wide.JPG", "square.png"]
    assert images["images"].shape == (3, 3, 64, 64)
    red, green, blue = images["images"].mean(0)
    assert np.all(np.diff(red[5:-5, 5:-5], axis=1) > 0), "red grows to the right"
    assert np.all(np.diff(green[5:-5, 5:-5], axis=0) > 0), "green grows downwards"
    assert np.allclose(blue, 60 / 255, atol=0.01)


@pytest.mark.slow
def test_the_example_artifacts_and_the_report_are_written(extended: Copy) -> None:
    folder = extended.folder / "results/demo"
    table = (folder / "mine/table.md").read_text(encoding="utf-8")
    assert "Total variation" in table
    assert "MAE" in table
    for name in ("pictures", "spread"):
        assert (folder / f"mine/{name}.png").stat().st_size > 1000
    assert "Each image by itself" in (folder / "report/index.html").read_text(encoding="utf-8")


def example(file: str, name: str) -> Any:
    """What an example's file defines under `name`."""
    (block,) = (block for block in blocks("docs/extending.md") if block.role == f"file: src/reprior/{file}")
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.body, file, "exec"), namespace)
    return namespace[name]


@pytest.mark.parametrize("weights", ["mean", "luma"])
def test_the_example_operator_keeps_the_promises(weights: str) -> None:
    operator = example("operators/grey.py", "Grey")((3, 5, 7), torch.Generator(), weights=weights)
    operator.to("cpu", torch.float64)
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    y = torch.rand(2, 1, 5, 7, dtype=torch.float64)
    assert operator.A(x).shape[1:] == operator.measurement_shape
    torch.testing.assert_close((operator.A(x) * y).sum(), (x * operator.A_adjoint(y)).sum())
    torch.testing.assert_close(operator.A(operator.A_dagger(y)), y)
    torch.testing.assert_close(operator.A(torch.ones_like(x)), torch.ones_like(y), atol=1e-6, rtol=0)


def test_the_example_method_removes_noise_from_each_image_by_itself() -> None:
    total_variation = example("methods/total_variation.py", "total_variation")
    rng = torch.Generator().manual_seed(0)
    truth = torch.zeros(2, 3, 16, 16).index_fill_(3, torch.arange(8, 16), 0.8)
    y = truth + 0.1 * torch.randn(truth.shape, generator=rng)
    problem = Problem(y, Identity((3, 16, 16), rng), "study", "case", ("a", "b"))
    found = total_variation(problem, weight=0.2)
    assert ((found.images - truth).square().mean((1, 2, 3)) < 0.3 * (y - truth).square().mean((1, 2, 3))).all()
    assert (found.trace[:, -1] < found.trace[:, 0]).all()
    torch.testing.assert_close(total_variation(problem[1:2], weight=0.2).images, found.images[1:2])
    torch.testing.assert_close(total_variation(problem, weight=0.0).images, y)


def test_the_example_metric_is_the_mean_absolute_error() -> None:
    estimate, truth = np.zeros((2, 3, 4, 4), np.float32), np.full((2, 3, 4, 4), 0.5, np.float32)
    truth[1] = 0.25
    assert example("metrics/mae.py", "mae")(estimate, truth) == pytest.approx([0.5, 0.25])
