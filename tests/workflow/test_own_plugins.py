"""An operator, a method and a metric outside the package, from the observation to the report, and after edits."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reprior.provenance import read_record
from tests.workflow.conftest import STUDY, Project, environment, make_project
from tests.workflow.test_rerun_matrix import planned, text

pytestmark = pytest.mark.slow

FILES = {
    "operators/flip.py": '''
"""A mirror."""

from reprior.operators.base import Operator

from .sides import WIDTH


class Flip(Operator):
    def __init__(self, image_shape, rng, *, scale: float = 1.0):
        self.image_shape = self.measurement_shape = image_shape
        self.scale = scale

    def A(self, x):
        return self.scale * x.flip(WIDTH)

    def A_adjoint(self, y):
        return self.A(y)

    def A_dagger(self, y):
        return y.flip(WIDTH) / self.scale
''',
    "operators/sides.py": "WIDTH = 3\n",
    "methods/inverted.py": '''
"""A^+ y."""

from reprior.methods.base import Reconstruction


def inverted(problem, *, factor: float = 1.0):
    return Reconstruction(factor * problem.operator.A_dagger(problem.y))
''',
    "metrics/worst.py": '''
"""The largest error."""

LABEL = "worst error"
BETTER = "lower"
FORMAT = ".3f"


def worst(estimate, truth):
    return abs(estimate - truth).max(axis=(1, 2, 3))
''',
}
MIRRORED = {
    "label": "Mirror",
    "images": "faces",
    "operator": {"name": "flip", "scale": 2.0},
    "methods": {"inverted": {"factor": 0.5}, "naive": None},
}
OWN_STUDY = {
    "title": "Own plug-ins",
    "images": STUDY["images"],
    "methods": {"inverted": {"name": "inverted"}, "naive": {"name": "naive", "kind": "dagger"}},
    "metrics": [{"name": "psnr"}, {"name": "worst"}],
    "cases": {
        "mirror": MIRRORED,
        "same": MIRRORED | {"label": "Nothing", "operator": {"name": "identity"}, "methods": {"naive": None}},
    },
    "artifacts": {
        "table": {
            "kind": "table",
            "title": "Both",
            "cases": ["mirror", "same"],
            "methods": ["inverted", "naive"],
            "metrics": ["worst"],
        },
        "plain": {"kind": "table", "title": "PSNR", "cases": ["same"], "methods": ["naive"], "metrics": ["psnr"]},
    },
}
NUMBERS = {"aggregate_study", "aggregate", "render_table table", "report", "all"}


def write(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with plug-ins of its own, run once."""
    project = make_project(root, tmp_path_factory.mktemp("own"))
    project.write_study(OWN_STUDY)
    write(project.folder / "my plugins")
    (project.folder / "config.yaml").write_text("scale: tiny\nstudies: [mine]\nplugins: [my plugins]\n")
    project.snakemake("all", "crate")
    return project


@pytest.fixture
def edited(done: Project, tmp_path: Path) -> Project:
    """A copy of that project, to edit."""
    shutil.copytree(done.folder, tmp_path / "edited")
    return Project(tmp_path / "edited")


def test_their_numbers_reach_the_tables(done: Project) -> None:
    table = (done.folder / "results/tiny/mine/table.md").read_text()
    assert "worst error" in table
    (row,) = (line for line in table.splitlines() if line.startswith("| Mirror"))
    inverted, naive = (float(cell.strip(" *")) for cell in row.split("|")[3:5])
    assert naive < 1e-6 < 0.2 < inverted


def test_records_trace_and_crate_name_the_files(done: Project, objections: Callable[..., dict[str, str]]) -> None:
    results = done.folder / "results/tiny"
    made = {"observation": ("flip", "sides"), "inverted": ("flip", "sides", "inverted")}
    for folder, names in made.items():
        record = read_record(results / f"mine/mirror/{folder}/0000-0001.safetensors")
        assert record is not None
        assert sorted(Path(file).stem for file in record["plugins"]) == sorted(names)
        assert all(Path(file).is_relative_to("my plugins") for file in record["plugins"])
    command = ["python", "-m", "reprior", "trace", "mine/mirror/inverted"]
    told = subprocess.run(
        command, cwd=done.folder, env=environment(), text=True, capture_output=True, check=True
    ).stdout
    assert "plug-in  my plugins/operators/flip.py  sha256 " in told
    graph = json.loads((results / "ro-crate-metadata.json").read_text())["@graph"]
    copies = {entity["@id"] for entity in graph if entity["@id"].startswith("workflow/my%20plugins/")}
    assert copies == {f"workflow/my%20plugins/{name}" for name in FILES}
    linked = [
        part["@id"]
        for tool in graph
        if tool["@type"] == "SoftwareApplication"
        for part in tool.get("hasPart", [])
        if isinstance(part, dict)
    ]
    assert copies >= set(linked) >= {"workflow/my%20plugins/operators/flip.py"}
    assert (results / "workflow/my plugins/metrics/worst.py").is_file()
    assert objections(results) == {}


def test_a_command_of_a_record_can_be_pasted(edited: Project) -> None:
    out = edited.folder / "results/tiny/mine/mirror/inverted/0000-0001.safetensors"
    record, before = read_record(out), out.read_bytes()
    assert record is not None
    assert "--plugins 'my plugins'" in record["command"]
    out.unlink()
    subprocess.run(shlex.split(record["command"]), cwd=edited.folder, env=environment(), check=True)
    assert out.read_bytes() == before


OBSERVED = {"observe mirror/0000-0001"}
CELLS = {f"{rule} mirror/{m}/0000-0001" for rule in ("reconstruct_direct", "evaluate") for m in ("inverted", "naive")}
EDITS: dict[str, tuple[Callable[[Project], None], set[str]]] = {
    "operator": (text("my plugins/operators/flip.py", "x.flip", "(1 * x).flip"), {*OBSERVED, *CELLS, *NUMBERS}),
    "imported module": (text("my plugins/operators/sides.py", "3", "2"), {*OBSERVED, *CELLS, *NUMBERS}),
    "method": (
        text("my plugins/methods/inverted.py", "factor *", "2 * factor *"),
        {*(job for job in CELLS if "inverted" in job), *NUMBERS},
    ),
    "metric": (
        text("my plugins/metrics/worst.py", ".max(", ".min("),
        {*(job for job in CELLS if "evaluate" in job), "evaluate same/naive/0000-0001", "render_table plain", *NUMBERS},
    ),
    "docstring": (text("my plugins/operators/flip.py", "A mirror.", "The mirror."), set()),
    "unused": (
        lambda project: (project.folder / "my plugins/methods/new.py").write_text("def new(problem): ..."),
        set(),
    ),
    "one more folder": (text("config.yaml", "[my plugins]", "[more, my plugins]"), set()),
}


@pytest.mark.parametrize(("edit", "expected"), EDITS.values(), ids=EDITS)
def test_an_edit_reruns_what_uses_it(edited: Project, edit: Callable[[Project], None], expected: set[str]) -> None:
    (edited.folder / "more/operators").mkdir(parents=True)
    (edited.folder / "more/operators/unused.py").write_text("class Unused: ...\n")
    edit(edited)
    assert planned(edited) == sorted(expected)


def test_an_error_of_the_folder_stops_the_run_with_its_message(edited: Project) -> None:
    (edited.folder / "my plugins/methods/csgm.py").write_text("def csgm(problem): ...\n")
    said = edited.snakemake("-n", check=False)
    assert "my plugins/methods/csgm.py: has the name of " in said
