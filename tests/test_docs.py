"""Documents: links resolve, named targets and files exist, and the examples run."""

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
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reprior.errors import UserError
from reprior.generators.base import build_generator, load_generator
from reprior.machine.files import load_arrays, load_tensors, read_json
from reprior.methods.base import Problem
from reprior.operators.bicubic import Bicubic
from reprior.operators.identity import Identity
from reprior.optimise.watch import Watch
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan
from reprior.provenance import read_record, sha256_of
from reprior.training.data import read_material
from reprior.training.fit import decibels
from reprior.training.run import read_recipe, train
from reprior.training.task import initialise

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
FENCE = re.compile(
    r"^(?:`(?P<file>[^`\s]+)`:\n|<!-- (?P<run>run) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block. `file` is the path on the line above it; `run` is true if that line is the comment `run`."""

    file: str
    run: bool
    language: str
    body: str


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[Block]:
    found = FENCE.finditer(text_of(document))
    return [Block(each["file"] or "", bool(each["run"]), each["language"], each["body"]) for each in found]


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
    named = {match[1] for line in code if (match := re.match(r"make ([a-z-]+)\b", line))}
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
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
    """A path with {a,b} expanded, as in the shell."""
    braces = re.search(r"\{([^}]*)\}", path)
    if not braces:
        return [path]
    return [one for choice in braces[1].split(",") for one in expanded(path.replace(braces[0], choice, 1))]


def test_every_path_in_the_readme_exists_or_is_made_by_the_demo() -> None:
    text = text_of("README.md")
    code = CODE.findall(FENCE.sub("", text)) + [word for block in blocks("README.md") for word in block.body.split()]
    tops = ("results/", "src/", "studies/", "scales/", "docs/", "envs/", "workflow/", "profiles/default", "config.yaml")
    paths = {path for word in code if word.startswith(tops) for path in expanded(word)}
    files = made(make_plan(ROOT, {"scale": "demo", "studies": ["iagan", "hybrid", "npgd", "ilo"]}))
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
    assert all(block.file for block in found)


# The examples of docs/extending.md, run in a copy of the project.


@dataclass(frozen=True)
class Copy:
    """A copy of the project's code and rules, without its results."""

    folder: Path

    def run(self, command: str) -> str:
        """Run a shell command with the copy's package and return its output."""
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

    def jobs(self, command: str) -> list[list[str]]:
        """The arguments of each job that a Snakemake command would run."""
        ends = r"(?:> \S+\.log 2>&1|2>&1 \| tee \S+\.log)"
        plan = self.run(f"{command} --dry-run")
        with (self.folder / "plans.txt").open("a", encoding="utf-8") as file:
            file.write(plan)
        printed = re.findall(rf"^Shell command: (.+) {ends}$", plan, re.MULTILINE)
        jobs = [shlex.split(job) for job in printed]
        assert jobs
        assert all(job[:3] == ["python", "-m", "reprior"] for job in jobs)
        return [job[3:] for job in jobs]

    def run_jobs(self, jobs: list[list[str]]) -> None:
        """Run jobs in one Python, which is faster than a process each."""
        (self.folder / "jobs.json").write_text(json.dumps(jobs))
        self.run(
            "python -c 'import json, reprior.cli as cli; [cli.main(job) for job in json.load(open(\"jobs.json\"))]'"
        )


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy with the files of the examples, after their commands. Jobs run last, together: no command needs one."""
    copy = Copy(tmp_path_factory.mktemp("docs") / "project")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "workflow", "scales", "studies", "recipes", "profiles", "envs"):
        shutil.copytree(ROOT / name, copy.folder / name, ignore=unwanted)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, copy.folder)
    write_photos(copy.folder / "data/raw/photos.zip")
    jobs = []
    for block in blocks("docs/extending.md"):
        if block.file:
            path = copy.folder / block.file
            assert not path.exists(), f"the example would overwrite {path.name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.run:
            for command in re.findall(r"^\$ (.+)$", block.body, re.MULTILINE):
                if command.startswith("snakemake "):
                    jobs += copy.jobs(command)
                else:
                    copy.run(command)
    copy.run_jobs(jobs)
    return copy


def write_photos(path: Path) -> None:
    """A zip with three smooth colour pictures: upright, wide and square."""
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
        """One number per image."""
        wanted = {"study": "mine", "case": case, "method": method, "metric": metric}
        return [float(row["value"]) for row in self.rows if wanted.items() <= row.items()]


@pytest.fixture(scope="module")
def numbers(extended: Copy) -> Numbers:
    with (extended.folder / "results/demo/metrics.csv").open(newline="", encoding="utf-8") as file:
        return Numbers(list(csv.DictReader(file)))


@pytest.mark.slow
def test_the_example_study_computes_every_number(numbers: Numbers) -> None:
    counts = {("faces-grey", method): 2 for method in ("pseudo-inverse", "tv", "csgm", "huber", "rounds")}
    counts |= {("photos-sr-x2", method): 3 for method in ("pseudo-inverse", "tv")} | {("faces-sr-x2", "encoded"): 2}
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
def test_the_example_table_is_what_the_page_shows(numbers: Numbers) -> None:
    (row,) = re.findall(
        r"^\| Drawn faces, colourisation \| ours \| (.+) \|$", text_of("docs/extending.md"), re.MULTILINE
    )
    shown = [[float(number) for number in cell.replace("*", "").split("/")] for cell in row.split("|")]
    for (psnr, mae), method in zip(shown, ("pseudo-inverse", "tv", "csgm", "huber", "rounds"), strict=True):
        assert np.mean(numbers.of("faces-grey", method, "psnr")) == pytest.approx(psnr, abs=0.03)
        assert np.mean(numbers.of("faces-grey", method, "mae")) == pytest.approx(mae, abs=0.0004)


@pytest.mark.slow
def test_the_example_in_rounds_fits_y_better_than_the_prior_alone(extended: Copy) -> None:
    folder = extended.folder / "results/demo/mine/faces-grey"
    y = load_tensors(folder / "observation/0000-0001.safetensors")[0]["y"]
    found = [load_tensors(folder / f"{name}/0000-0001.safetensors")[0]["images"] for name in ("rounds", "csgm")]
    rounds, csgm = ((y - x.mean(1, keepdim=True)).square().sum((1, 2, 3)) for x in found)
    assert (rounds < 0.5 * csgm).all()


@pytest.mark.slow
def test_the_example_encoder_learns_from_frozen_weights(extended: Copy) -> None:
    folder = extended.folder / "data/weights"
    bundled = ROOT / "src/reprior/generators/weights/began-faces-drawn.safetensors"
    assert (folder / "began-faces-drawn.safetensors").read_bytes() == bundled.read_bytes()
    plans = (extended.folder / "plans.txt").read_text(encoding="utf-8")
    assert "rule train:\n    input: data/weights/began-faces-drawn.safetensors\n" in plans
    record = read_record(folder / "encoder-faces.safetensors")
    assert record is not None
    assert record["inputs"] == {"data/weights/began-faces-drawn.safetensors": sha256_of(bundled)}
    account = read_json(folder / "encoder-faces.json")
    generator = load_generator({"name": "began", "size": 64, "channels": 32, "latent": 64}, bundled)
    material = read_material(account["dataset"], read_recipe({"steps": 1, "images": 1, "held_out": 16}), Path())
    images = torch.from_numpy(material.held_out).float() / 255

    encoder = example("networks/encoder.py", "Encoder")()
    task = example("training/tasks/inversion.py", "Inversion")
    training = task(encoder, task.read({"steps": 1}), "cpu", generator)
    start = training.errors(encoder, images).mean()
    encoder.load_state_dict(load_tensors(folder / "encoder-faces.safetensors")[0])
    end = training.errors(encoder, images).mean()
    assert decibels(end.item()) == pytest.approx(account["held_out_fit"]["psnr_of_mean_mse"], abs=0.01)
    constant = (generator.image(torch.zeros(1, 64)) - images).square().mean()
    assert end < constant < start, "better than one face for all"
    said = re.search(r"from (\S+) dB at the start to (\S+) dB", text_of("docs/extending.md").replace("\n", " "))
    assert said is not None
    assert [decibels(start.item()), decibels(end.item())] == pytest.approx([float(n) for n in said.groups()], abs=0.2)


@pytest.mark.slow
def test_the_example_method_passes_through_the_trained_encoder(extended: Copy) -> None:
    case, weights = extended.folder / "results/demo/mine/faces-sr-x2", "data/weights/encoder-faces.safetensors"
    record = read_record(case / "encoded/0000-0001.safetensors")
    assert record is not None
    assert record["inputs"][weights] == sha256_of(extended.folder / weights)
    bundled = ROOT / "src/reprior/generators/weights/began-faces-drawn.safetensors"
    generator = load_generator({"name": "began", "size": 64, "channels": 32, "latent": 64}, bundled)
    encoder = example("networks/encoder.py", "Encoder")()
    encoder.load_state_dict(load_tensors(extended.folder / weights)[0])
    y = load_tensors(case / "observation/0000-0001.safetensors")[0]["y"]
    with torch.no_grad():
        expected = generator.image(
            encoder(Bicubic((3, 64, 64), torch.Generator(), scale=2, padding="reflect").A_dagger(y))
        )
    found = load_tensors(case / "encoded/0000-0001.safetensors")[0]["images"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


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
    (block,) = (block for block in blocks("docs/extending.md") if block.file == f"src/reprior/{file}")
    module = ModuleType(f"example {file}")
    sys.modules[module.__name__] = module  # pydantic looks up types there
    exec(compile(block.body, file, "exec"), vars(module))
    return getattr(module, name)


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


def test_the_example_loss_is_hubers() -> None:
    r = torch.tensor([[0.0, 0.1, -0.2, 0.5], [-1.0, 0.3, 0.0, 0.0]])
    y, Ax = torch.rand(2, 4), torch.rand(2, 4)
    huber = example("losses/huber.py", "Huber")
    near, far = r.square() / 2, 0.2 * (r.abs() - 0.1)
    expected = torch.where(r.abs() <= 0.2, near, far).sum(1)
    torch.testing.assert_close(huber(r + Ax, delta=0.2)(Ax, Ax), expected)
    torch.testing.assert_close(huber(y, delta=10.0)(Ax, Ax), (y - Ax).square().sum(1) / 2)


class CutError(Exception):
    """Ends a job."""


def cut_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which raises CutError after a number of calls."""
    left = iter(range(calls))

    def cut(*args: Any) -> Any:
        if next(left, None) is None:
            raise CutError
        return function(*args)

    return cut


def test_the_example_in_rounds_goes_on_from_the_latents_within_its_radius(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner_layer = example("methods/inner_layer.py", "inner_layer")
    generator = example("generators/pca.py", "PCA")(size=8, latent=2).requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    generator.basis.normal_(generator=rng)
    y = torch.rand(2, 3, 8, 8, generator=rng)
    problem = Problem(y, Identity((3, 8, 8), rng), "study", "case", ("a", "b"))
    settings = {"layer": "deviation", "steps": 20, "radius": 3.0}
    found = inner_layer(problem, generator, **settings)
    torch.testing.assert_close(found.trace[:, 20], found.trace[:, :20].min(1).values)
    assert (found.loss < 0.99 * found.trace[:, 20]).all()
    moved = (found.images - generator.image(found.latents)).abs().sum((1, 2, 3))
    torch.testing.assert_close(moved, torch.full((2,), 3.0))

    watch = Watch(checkpoint=tmp_path / "checkpoint", every_seconds=0)
    with monkeypatch.context() as patched, pytest.raises(CutError):
        patched.setattr(generator, "image_from", cut_after(9, generator.image_from))
        inner_layer(replace(problem, watch=watch), generator, **settings)
    monkeypatch.setattr(generator, "image", cut_after(0, generator.image))  # the first round was complete
    resumed = inner_layer(replace(problem, watch=Watch(checkpoint=watch.checkpoint)), generator, **settings)
    assert torch.equal(resumed.trace, found.trace)
    assert torch.equal(resumed.images, found.images)


@pytest.mark.parametrize("compare", ["latents", "images"])
def test_the_example_task_trains_the_encoder_alone(tmp_path: Path, compare: str) -> None:
    generator = build_generator({"name": "began", "size": 64, "channels": 2, "latent": 3})
    initialise(generator, torch.Generator().manual_seed(0))
    generator.eval().requires_grad_(False)
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    task = example("training/tasks/inversion.py", "Inversion")
    encoder = example("networks/encoder.py", "Encoder")
    recipe = task.read({"steps": 10, "batch": 4, "compare": compare, "lr": 3e-3})
    training = task(encoder(channels=2, latent=3), recipe, "cpu", generator)
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    train(training, images, log=tmp_path / "log.jsonl", watch=Watch(), keep=lambda step, network: None)
    assert training.trace[-1] < training.trace[0]
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())
    assert training.samples(training.network, torch.from_numpy(images) / 255, 8).shape == (8, 3, 64, 64)
    with pytest.raises(UserError, match=r"latent_shape of the network is \(4,\), of the generator \(3,\)"):
        task(encoder(channels=2, latent=4), recipe, "cpu", generator)
