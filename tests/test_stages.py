"""Each stage turns files into files. The tests run them by hand, without Snakemake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reprior.cli import main
from reprior.errors import UserError
from reprior.generators.base import build_generator
from reprior.machine.files import load_arrays, load_tensors, save_arrays, save_tensors
from reprior.methods.base import Problem, Reconstruction
from reprior.operators import make_operator
from reprior.provenance import read_record
from reprior.stages.aggregate import aggregate
from reprior.stages.convert import convert
from reprior.stages.design import design
from reprior.stages.observe import observe
from reprior.stages.prepare import prepare
from reprior.stages.reconstruct import reconstruct

SELECTION = {"dataset": {"name": "faces-drawn"}, "first": 3, "count": 2, "shift": 0}
CASE = {"study": "s", "case": "c", "operator": {"name": "bicubic", "scale": 4}, "noise": 0.1}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.safetensors"
    prepare(SELECTION, tmp_path, path)
    return path


def test_prepared_images_are_those_of_the_data_set(images: Path) -> None:
    from reprior.datasets.faces_drawn import FacesDrawn

    arrays, meta = load_arrays(images)
    assert meta["ids"] == ["000003", "000004"]
    assert np.array_equal(arrays["images"], FacesDrawn().load(meta["ids"]))


@pytest.mark.parametrize("rows", [5, -5])
def test_shifted_images_move_and_repeat_their_edge(tmp_path: Path, images: Path, rows: int) -> None:
    prepare({**SELECTION, "shift": rows}, tmp_path, tmp_path / "shifted.safetensors")
    moved, original = (load_arrays(path)[0]["images"] for path in (tmp_path / "shifted.safetensors", images))
    kept, edge = (np.s_[5:], np.s_[:5]) if rows > 0 else (np.s_[:-5], np.s_[-5:])
    source, repeated = (np.s_[:-5], original[:, :, :1]) if rows > 0 else (np.s_[5:], original[:, :, -1:])
    assert np.array_equal(moved[:, :, kept], original[:, :, source])
    assert np.array_equal(moved[:, :, edge], np.broadcast_to(repeated, moved[:, :, edge].shape))


def test_noise_has_the_stated_level_on_the_unit_scale(tmp_path: Path, images: Path) -> None:
    observe(images, {**CASE, "operator": {"name": "identity"}}, tmp_path / "y.safetensors")
    noise = load_tensors(tmp_path / "y.safetensors")[0]["y"] - load_tensors(images)[0]["images"]
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.003)


def test_noise_may_be_stated_by_its_norm(tmp_path: Path, images: Path) -> None:
    case = {key: value for key, value in CASE.items() if key != "noise"} | {"operator": {"name": "identity"}}
    observe(images, {**case, "noise_norm": 3.0}, tmp_path / "y.safetensors")
    noise = load_tensors(tmp_path / "y.safetensors")[0]["y"] - load_tensors(images)[0]["images"]
    assert noise.flatten(1).norm(dim=1).tolist() == pytest.approx([3.0, 3.0], rel=0.02)


def test_noise_may_be_clipped_as_in_a_file_of_a_picture(tmp_path: Path, images: Path) -> None:
    case = {**CASE, "operator": {"name": "identity"}, "noise": 0.5}
    for name, given in (("plain", case), ("clipped", {**case, "clip": True})):
        observe(images, given, tmp_path / name)
    (plain, _), (clipped, meta) = (load_tensors(tmp_path / name) for name in ("plain", "clipped"))
    assert plain["y"].min() < 0 and plain["y"].max() > 1
    assert torch.equal(clipped["y"], plain["y"].clamp(0, 1))
    assert torch.equal(clipped["picture"], clipped["y"])
    assert meta["clip"] is True


@pytest.mark.parametrize(
    ("noise", "expected"), [({"noise": 0.1, "clip": True}, 0.1), ({"noise_norm": 3.0}, 3 / (3 * 16**2) ** 0.5)]
)
def test_methods_know_the_noise(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, noise: dict[str, Any], expected: float
) -> None:
    seen: list[Problem] = []

    def method(problem: Problem) -> Reconstruction:
        seen.append(problem)
        return Reconstruction(problem.operator.A_adjoint(problem.y))

    monkeypatch.setattr("reprior.stages.reconstruct.load", lambda kind, name: method)
    case = {key: value for key, value in CASE.items() if key != "noise"} | noise
    observe(images, case, tmp_path / "y.safetensors")
    reconstruct(tmp_path / "y.safetensors", {"name": "mine"}, tmp_path / "x.safetensors", label="mine")
    assert seen[0].noise == pytest.approx(expected)
    assert seen[0].clip is noise.get("clip", False)
    record = json.loads((tmp_path / "x.json").read_text())
    assert noise.items() <= record.items()


def test_each_result_says_how_well_it_agrees_with_the_observation(tmp_path: Path, images: Path) -> None:
    observe(images, CASE, tmp_path / "y.safetensors")
    reconstruct(tmp_path / "y.safetensors", {"name": "bicubic"}, tmp_path / "x.safetensors", label="up")
    y, x = (load_tensors(tmp_path / f"{name}.safetensors")[0] for name in ("y", "x"))
    operator = make_operator("s", "c", CASE["operator"], (3, 64, 64))
    wanted = [
        np.linalg.norm(row) / np.linalg.norm(seen)
        for row, seen in zip((operator.A(x["images"].clamp(0, 1)) - y["y"]).numpy(), y["y"].numpy(), strict=True)
    ]
    numbers = json.loads((tmp_path / "x.json").read_text())["numbers"]
    assert numbers["residual"] == pytest.approx(wanted, rel=1e-5)
    # the originals miss y by the noise alone
    missed = (operator.A(load_tensors(images)[0]["images"]) - y["y"]).flatten(1).norm(dim=1) / y["y"].flatten(1).norm(
        dim=1
    )
    assert numbers["noise-residual"] == pytest.approx(missed.tolist(), rel=0.1)
    assert numbers["passes"] == [0, 0]


def test_passes_are_steps_of_all_restarts(tmp_path: Path, images: Path) -> None:
    spec = {"name": "began", "size": 64, "channels": 2, "latent": 4}
    save_tensors(tmp_path / "w.safetensors", build_generator(spec).state_dict(), {})
    given = {**spec, "weights": str(tmp_path / "w.safetensors")}
    observe(images, CASE, tmp_path / "y.safetensors")
    for name, method, passes in (
        ("csgm", {"name": "csgm", "steps": 3, "restarts": 2}, 6),
        ("pgd", {"name": "pgd-gan", "rounds": 2, "steps": 3}, 8),
    ):
        reconstruct(tmp_path / "y.safetensors", method, tmp_path / name, label=name, generator=given)
        assert json.loads((tmp_path / f"{name}.json").read_text())["numbers"]["passes"] == [passes] * 2


def test_what_a_method_refuses_is_told_with_its_case(tmp_path: Path, images: Path) -> None:
    observe(images, {**CASE, "operator": {"name": "identity"}}, tmp_path / "y.safetensors")
    with pytest.raises(UserError, match="^case c: method bicubic needs an operator that downsamples"):
        reconstruct(tmp_path / "y.safetensors", {"name": "bicubic"}, tmp_path / "x.safetensors", label="up")
    assert not (tmp_path / "x.safetensors").exists()


def test_nothing_observed_is_nothing_to_agree_with(tmp_path: Path, images: Path) -> None:
    observe(images, {**CASE, "operator": {"name": "nothing"}}, tmp_path / "y.safetensors")
    reconstruct(tmp_path / "y.safetensors", {"name": "naive"}, tmp_path / "x.safetensors", label="naive")
    assert "residual" not in json.loads((tmp_path / "x.json").read_text())["numbers"]


def test_a_result_holds_the_features_that_give_its_images(tmp_path: Path, images: Path) -> None:
    spec = {"name": "began", "size": 64, "channels": 2, "latent": 4}
    generator = build_generator(spec)
    save_tensors(tmp_path / "w.safetensors", generator.state_dict(), {})
    observe(images, CASE, tmp_path / "y.safetensors")
    given = {**spec, "weights": str(tmp_path / "w.safetensors")}
    method = {"name": "ilo", "steps": 3, "sna": True}
    reconstruct(tmp_path / "y.safetensors", method, tmp_path / "x.safetensors", label="ilo", generator=given)
    tensors, _ = load_tensors(tmp_path / "x.safetensors")
    layer = next(key for key in tensors if key.startswith("feature.")).split(".")[1]
    features = {key.removeprefix(f"feature.{layer}."): x for key, x in tensors.items() if key.startswith("feature.")}
    with torch.no_grad():
        torch.testing.assert_close(generator.image_from(features, layer), tensors["images"])


def test_an_image_is_observed_alike_alone_and_in_a_batch(tmp_path: Path, images: Path) -> None:
    prepare({**SELECTION, "first": 4, "count": 1}, tmp_path, tmp_path / "one.safetensors")
    for case in (CASE, {**CASE, "operator": {"name": "gaussian", "ratio": 0.01}}):
        observe(images, case, tmp_path / "both.y")
        observe(tmp_path / "one.safetensors", case, tmp_path / "one.y")
        both, one = (load_tensors(tmp_path / name)[0]["y"] for name in ("both.y", "one.y"))
        torch.testing.assert_close(both[1:], one, rtol=0, atol=5e-5)  # of numbers up to about 20


def test_a_job_says_how_it_came_about(tmp_path: Path, images: Path) -> None:
    observe(images, CASE, tmp_path / "y.safetensors")
    out = tmp_path / "up" / "0000-0001.safetensors"
    main(
        [
            "reconstruct",
            str(tmp_path / "y.safetensors"),
            "--label",
            "up",
            "--method",
            '{"name": "bicubic"}',
            "--out",
            str(out),
        ]
    )
    main(
        [
            "evaluate",
            str(out),
            "--images",
            str(images),
            "--metrics",
            '[{"name": "psnr"}]',
            "--out",
            str(tmp_path / "m.csv"),
        ]
    )
    job = json.loads(out.with_suffix(".json").read_text())
    assert job["status"] == ["ok", "ok"]
    assert job["seconds"] > 0
    assert job["peak_memory_mib"] > 1
    assert job["operator"] == CASE["operator"]
    rows = (tmp_path / "m.csv").read_text().splitlines()
    assert rows[0] == "study,case,method,image,metric,value"
    beside = ("residual", "noise-residual", "passes", "seconds", "memory_mib")
    assert {tuple(row.split(",")[:5]) for row in rows[1:]} == {
        ("s", "c", "up", image, metric) for image in ("000003", "000004") for metric in ("psnr", *beside)
    }


def test_tables_are_joined_under_one_heading(tmp_path: Path) -> None:
    for name, row in (("a", "1,2"), ("b", "3,4")):
        (tmp_path / name).write_text(f"x,y\n{row}\n")
    aggregate([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert (tmp_path / "all").read_text() == "x,y\n1,2\n3,4\n"


def test_a_download_that_is_not_there_is_told_with_its_hash_and_place(tmp_path: Path) -> None:
    path = tmp_path / "raw/celeba/img_align_celeba.zip"
    with pytest.raises(SystemExit) as stop:
        main(["acquire", str(path), "--raw", str(tmp_path / "raw"), "--offline"])
    message = str(stop.value)
    assert "celeba/img_align_celeba.zip" in message
    assert str(tmp_path / "manual") in message
    assert "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74" in message
    assert "1,443,490,838" in message


def test_a_download_belongs_in_the_folder_of_downloads(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="downloads belong in"):
        main(["acquire", "elsewhere/img_align_celeba.zip", "--raw", str(tmp_path), "--offline"])


def test_prepared_images_tell_what_was_done_to_them(tmp_path: Path) -> None:
    chosen = {**SELECTION, "seed": 1, "shift": 5}
    prepare(chosen, tmp_path, tmp_path / "images.safetensors")
    _, meta = load_arrays(tmp_path / "images.safetensors")
    assert meta["steps"][-1] == "move 5 rows down"
    assert meta["ids"] != ["000003", "000004"]


def test_a_checkpoint_that_does_not_fit_is_named_and_not_converted(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "strange.pth")
    spec = {"name": "began", "size": 64, "channels": 64, "output": "tanh"}
    with pytest.raises(UserError, match=r"strange\.pth: ") as caught:
        convert(tmp_path / "strange.pth", spec, "sunshineatnoon", tmp_path / "out.safetensors")
    assert str(caught.value).count("strange.pth") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_a_matrix_is_designed_for_a_generator_and_read_by_its_operator(tmp_path: Path) -> None:
    spec = {"name": "npgd-mnist", "channels": 2, "latent": 4}
    weights, path = tmp_path / "tiny.safetensors", tmp_path / "matrix.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_tensors(weights, build_generator(spec).state_dict())
    generator = {**spec, "weights": str(weights)}
    drawn = {"name": "designed", "variant": "released", "images": 20, "pairs": 60, "block": 5}
    given = ["--operator", json.dumps(drawn), "--generator", json.dumps(generator), "--device", "cpu"]
    main(["design", *given, "--out", str(path)])
    tensors, meta = load_tensors(path)
    assert meta == {"operator": drawn, "generator": generator}
    assert tensors["rows"].shape == (784, 784)
    assert tensors["eigenvalues"].sum().item() == pytest.approx(4 * 5, rel=1e-4)  # 5 of 15 pairs of each block
    record = read_record(path)
    assert record is not None and set(record["inputs"]) == {str(weights)}

    digits, out = tmp_path / "digits.safetensors", tmp_path / "y.safetensors"
    x = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    save_arrays(digits, {"images": x}, {"ids": ["0", "1"]})
    case = {**CASE, "noise": 0.0, "operator": {**drawn, "measurements": 30, "matrix": str(path)}}
    main(["observe", str(digits), "--case", json.dumps(case), "--out", str(out)])
    y = load_tensors(out)[0]["y"]
    torch.testing.assert_close(y, torch.from_numpy(x).flatten(1) @ tensors["rows"][:30].T)
    record = read_record(out)
    assert record is not None and set(record["inputs"]) == {str(digits), str(path)}
    up = tmp_path / "up.safetensors"
    main(["reconstruct", str(out), "--label", "n", "--method", '{"name": "naive", "centred": false}', "--out", str(up)])
    torch.testing.assert_close(load_tensors(up)[0]["images"].flatten(1), y @ tensors["rows"][:30])
    record = read_record(up)
    assert record is not None and set(record["inputs"]) == {str(out), str(path)}


def test_a_matrix_does_not_depend_on_what_was_drawn_before(tmp_path: Path) -> None:
    spec = {"name": "npgd-mnist", "channels": 2, "latent": 4}
    weights = tmp_path / "tiny.safetensors"
    save_tensors(weights, build_generator(spec).state_dict())
    drawn = {"name": "designed", "variant": "paper", "images": 4, "pairs": 6, "block": 2}
    made = []
    for name in ("one", "two"):
        design(drawn, {**spec, "weights": str(weights)}, tmp_path / name)
        made.append((tmp_path / name).read_bytes())
        torch.rand(3)
    assert made[0] == made[1]


def test_a_data_set_asked_for_too_many_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="999999"):
        prepare({**SELECTION, "first": 999_999}, tmp_path, tmp_path / "x")


def test_a_plan_may_be_cut_short_by_its_reader(root: Path) -> None:
    command = f"{sys.executable} -m reprior plan --config scale=full | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "Full scale (scale=full).\n" and done.stderr == ""


def test_a_key_without_a_value_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit, match="--config scale: expected KEY=VALUE"):
        main(["plan", "--config", "scale"])
