"""The study `hybrid`: its plan at every scale, its parameter counts, and its jobs run by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from reprior.errors import UserError
from reprior.generators.base import build_generator
from reprior.generators.began import BEGAN
from reprior.machine.files import load_tensors, read_json, save_tensors
from reprior.networks.deep_decoder import largest_below, parameters
from reprior.operators import make_operator
from reprior.planning.footprint import unknown_bytes
from reprior.planning.plan import Plan, Start
from reprior.planning.resolve import make_plan
from reprior.planning.yaml_files import read_config
from reprior.stages.evaluate import evaluate
from reprior.stages.observe import observe
from reprior.stages.prepare import prepare
from reprior.stages.reconstruct import reconstruct

ROOT = Path(__file__).parents[2]
PIXELS = {"began": 3 * 128 * 128, "dcgan": 3 * 64 * 64}
METHODS = ["gan", "dd", "hybrid", "gan-as-dip"]


def planned(scale: str, *also: str) -> Plan:
    return make_plan(ROOT, read_config(ROOT, [f"scale={scale}", "studies=hybrid", *also]))


def shown(scale: str) -> dict[str, set[str]]:
    """By artifact: the cases that it has numbers for."""
    study = planned(scale).studies["hybrid"]
    return {
        name: {case for case in artifact.settings["cases"] if study.cases[case].gap is None}
        for name, artifact in study.artifacts.items()
    }


@pytest.mark.parametrize("scale", ["demo", "small", "full"])
def test_every_method_is_planned_on_every_case(scale: str) -> None:
    cases = planned(scale).studies["hybrid"].cases.values()
    assert all(list(case.cells) == METHODS for case in cases)
    assert sum(case.gap is None for case in cases) == {"demo": 6, "small": 11, "full": 27}[scale]


@pytest.mark.parametrize(("scale", "without"), [("demo", {"figure7"}), ("small", {"samples-dcgan"}), ("full", set())])
def test_every_artifact_has_something_to_show(scale: str, without: set[str]) -> None:
    assert {name for name, cases in shown(scale).items() if not cases} == without


def test_the_paper_s_steps_are_the_full_scale_s() -> None:
    for case in planned("full").studies["hybrid"].cases.values():
        steps = {name: cell.spec["steps"] for name, cell in case.cells.items()}
        assert steps == {"gan": 5500, "dd": 5500, "hybrid": 5000, "gan-as-dip": 5000}
        assert case.cells["hybrid"].starts == {"gan": Start("gan", 500), "decoder": Start("dd", 500)}
        assert case.cells["gan-as-dip"].starts == {"start": Start("gan", 500)}
        assert (case.cells["gan"].marks, case.cells["dd"].marks) == ((500,), (500,))
        assert case.noise_norm == 0.1


def weights(generator: dict[str, Any]) -> int:
    """The number of weights of a generator. On torch's `meta` device it takes no memory."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_generator(generator).parameters())


@pytest.mark.parametrize("name", ["began", "dcgan"])
def test_parameter_counts_are_those_of_figure_7(name: str) -> None:
    """Counted as in the paper: without alpha and beta; BEGAN's weights with the latents, DCGAN's without."""
    study = planned("full").studies["hybrid"]
    case = study.cases[f"faces-{name}-{'20000' if name == 'began' else '10000'}"]
    generator = {key: value for key, value in study.generators[name].items() if key != "weights"}
    latents, dd = generator["latent"], case.cells["dd"].spec
    m = round(case.operator["ratio"] * PIXELS[name])
    decoder = parameters(largest_below(m, dd["beside"], dd["form"]))
    counted = {
        "gan": latents,
        "dd": decoder,
        "hybrid": decoder + latents,
        "gan-as-dip": weights(generator) + (latents if name == "began" else 0),
    }
    assert dd["beside"] == latents
    assert counted == {row["method"]: int(row["value"]) for row in reported() if row["case"] == case.name}


def test_the_estimate_says_what_it_does_not_count() -> None:
    lines = unknown_bytes(planned("full"), {})
    assert "54 saved states for methods to start from: each at least as large as its images" in lines


def reported() -> list[dict[str, str]]:
    with (ROOT / "studies/hybrid/reported.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_measured_ratio_is_a_whole_number_of_measurements() -> None:
    for name, case in planned("full").studies["hybrid"].cases.items():
        if "ratio" in case.operator:
            _, generator, m = name.split("-")
            assert case.operator["ratio"] * PIXELS[generator] == pytest.approx(int(m))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of each method on two drawn faces, ten times faster than the demo."""
    folder = tmp_path_factory.mktemp("hybrid")
    prepare({"dataset": {"name": "faces-drawn"}, "first": 0, "count": 2, "shift": 0}, folder, folder / "x.safetensors")
    case = {"study": "s", "case": "c", "operator": {"name": "gaussian", "measurements": 300}, "noise_norm": 0.1}
    observe(folder / "x.safetensors", case, folder / "y.safetensors")
    weights = folder / "began.safetensors"
    save_tensors(weights, BEGAN(size=64, channels=4).state_dict(), {})
    generator = {"name": "began", "size": 64, "channels": 4, "weights": str(weights)}
    files = {name: folder / f"{name}.safetensors" for name in METHODS}

    def run(name: str, method: dict[str, Any], starts: dict[str, Any], **how: Any) -> None:
        reconstruct(folder / "y.safetensors", method, files[name], label=name, starts=starts, **how)

    gan, dd = ({"file": str(files[name]), "step": 5} for name in ("gan", "dd"))
    run("gan", {"name": "csgm", "lr": 0.01, "steps": 8, "keep": "last"}, {}, generator=generator, marks=[5])
    run("dd", {"name": "deep-decoder", "steps": 8, "beside": 64}, {}, marks=[5])
    run("hybrid", {"name": "hybrid", "steps": 6}, {"gan": gan, "decoder": dd}, generator=generator)
    run("gan-as-dip", {"name": "iagan", "lr_z": 0.01, "steps": 3}, {"start": gan}, generator=generator)
    for file in files.values():
        evaluate(file, folder / "x.safetensors", [{"name": "psnr"}], folder, file.with_suffix(".csv"))
    return folder


def numbers(path: Path) -> dict[str, list[float]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {m: [float(row["value"]) for row in rows if row["metric"] == m] for m in {row["metric"] for row in rows}}


def test_the_first_steps_of_a_run_are_kept_beside_its_result(results: Path) -> None:
    tensors, _ = load_tensors(results / "gan.safetensors")
    kept = {key.removeprefix("at.5.") for key in tensors if key.startswith("at.5.")}
    assert kept == {"kept.x", "kept.z", "variables.z", "exp_avg.z", "exp_avg_sq.z"}
    assert torch.equal(tensors["at.5.variables.z"], tensors["at.5.kept.z"])
    assert not torch.equal(tensors["at.5.kept.x"], tensors["images"])


def test_the_hybrid_begins_from_the_first_steps_of_both(results: Path) -> None:
    hybrid, gan, dd = (load_tensors(results / f"{name}.safetensors")[0] for name in ("hybrid", "gan", "dd"))
    y, _ = load_tensors(results / "y.safetensors")
    mean = (gan["at.5.kept.x"] + dd["at.5.kept.x"]) / 2
    operator = make_operator("s", "c", {"name": "gaussian", "measurements": 300}, (3, 64, 64))
    loss = (y["y"] - operator.A(mean)).square().sum(1)
    torch.testing.assert_close(hybrid["trace"][:, 0], loss, rtol=1e-4, atol=1e-4)


def test_what_a_method_tells_of_each_image_becomes_its_numbers(results: Path) -> None:
    found = numbers(results / "hybrid.csv")
    agreement = {"residual", "noise-residual", "passes"}
    assert set(found) == {"psnr", "alpha", "beta", "parameters", "seconds", "memory_mib"} | agreement
    assert read_json(results / "hybrid.json")["numbers"]["alpha"] == pytest.approx(found["alpha"])
    assert found["alpha"][0] != found["alpha"][1]
    counts = {name: numbers(results / f"{name}.csv")["parameters"][0] for name in METHODS}
    decoder = parameters(largest_below(300, 64))
    adapted = weights({"name": "began", "size": 64, "channels": 4}) + 64
    assert counts == {"gan": 64, "dd": decoder, "hybrid": decoder + 64 + 2, "gan-as-dip": adapted}


def test_the_parts_of_the_hybrid_are_in_its_file(results: Path) -> None:
    tensors, _ = load_tensors(results / "hybrid.safetensors")
    torch.testing.assert_close(tensors["part.gan"] + tensors["part.decoder"], tensors["images"])


def test_a_file_without_the_state_is_named(results: Path) -> None:
    start = {"start": {"file": str(results / "gan.safetensors"), "step": 4}}
    with pytest.raises(UserError, match=r"gan.safetensors: does not hold the state after 4 steps; .*--marks '\[4\]'"):
        reconstruct(results / "y.safetensors", {"name": "iagan"}, results / "x4.safetensors", label="x", starts=start)


def test_the_record_says_where_a_method_began(results: Path) -> None:
    record = read_json(results / "gan-as-dip.json")
    assert record["starts"] == {"start": {"file": str(results / "gan.safetensors"), "step": 5}}
    assert json.loads(json.dumps(record))["noise_norm"] == 0.1
