"""A matrix that is designed for a generator, in a run: made once, and made again with what depends on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from reprior.generators.base import build_generator
from reprior.machine.files import load_tensors, save_tensors
from reprior.planning.footprint import jobs
from reprior.planning.resolve import make_plan
from reprior.planning.yaml_files import read_config
from tests.workflow.conftest import Project, make_project

pytestmark = pytest.mark.slow

GENERATOR = {"name": "npgd-mnist", "channels": 2, "latent": 4}
FILE = "data/matrices/digits-paper-20-40-10.safetensors"
DESIGNED = {"name": "designed", "images": 20, "pairs": 40, "block": 10}
OPERATORS = {
    "designed-20": {**DESIGNED, "measurements": 20},
    "designed-50": {**DESIGNED, "measurements": 50},
    "random-20": {"name": "gaussian", "measurements": 20},
}
STUDY = {
    "title": "A tiny study",
    "images": {"digits": {"dataset": {"name": "digits-drawn"}, "count": 1}},
    "generators": {"tiny": {**GENERATOR, "weights": "digits.safetensors"}},
    "methods": {"naive": {"name": "naive"}, "csgm": {"name": "csgm", "steps": 2}},
    "metrics": [{"name": "mse"}],
    "cases": {
        name: {
            "label": name,
            "images": "digits",
            "generator": "tiny",
            "operator": operator,
            "methods": {"naive": None, "csgm": None},
        }
        for name, operator in OPERATORS.items()
    },
    "artifacts": {
        "table": {
            "kind": "table",
            "title": "All",
            "cases": list(OPERATORS),
            "methods": ["naive", "csgm"],
            "metrics": ["mse"],
        }
    },
}


def rules(project: Project) -> Counter[str]:
    """The number of jobs per rule that Snakemake would run."""
    found: Counter[str] = Counter()
    for (rule, _), count in project.planned().items():
        found[rule] += count
    return found


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Project:
    """A project with cases of designed and random matrices, and a generator with random weights."""
    made = make_project(root, tmp_path)
    made.write_study(STUDY)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_tensors(tmp_path / "digits.safetensors", build_generator(GENERATOR).state_dict())
    return made


def test_it_is_made_once_and_again_with_a_new_generator(project: Project) -> None:
    plan = make_plan(project.folder, read_config(project.folder, []))
    assert rules(project) == jobs(plan)
    project.snakemake()
    assert [path.name for path in (project.folder / "data/matrices").glob("*.safetensors")] == [Path(FILE).name]
    assert not rules(project)

    weights = project.folder / "digits.safetensors"
    tensors, _ = load_tensors(weights)
    save_tensors(weights, {name: 1.1 * tensor for name, tensor in tensors.items()})
    # Again: the matrix, the observations of both its cases and both methods on them; on random A only csgm.
    again = {"design": 1, "observe": 2, "reconstruct_direct": 2, "reconstruct": 3, "evaluate": 5, "render_table": 1}
    assert rules(project) == {**again, "aggregate_study": 1, "aggregate": 1, "report": 1, "all": 1}
