from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from reprior.datasets import load_dataset
from reprior.errors import UserError
from reprior.generators.base import Generator, build_generator, load_generator
from reprior.loading import load
from reprior.machine.files import load_tensors, read_json
from reprior.networks.trained import built
from reprior.planning.plugins import plugin
from reprior.training.candidates import Candidates, best
from reprior.training.data import read_material
from reprior.training.fit import fit_latents
from reprior.training.run import read_recipe, train_network

SPEC = {"name": "began", "size": 64, "channels": 2, "latent": 3}
DATASET = {"name": "faces-drawn", "split": "train"}
RECIPE = {"steps": 3, "images": 8, "batch": 2, "discriminator_channels": 2, "held_out": 2, "candidate_every": 1}
RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def _run(folder: Path, recipe: dict[str, Any], dataset: dict[str, Any] = DATASET) -> Path:
    weights = folder / "small.safetensors"
    train_network(
        weights,
        network=SPEC,
        dataset=dataset,
        recipe=recipe,
        checkpoint=folder / ".small.checkpoint",
        log=folder / ".small.jsonl",
    )
    return weights


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Errors that the candidates get, one after the other, instead of those of a fit."""
    made_up: list[float] = []

    def fit(generator: Generator, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert not generator.training
        return torch.zeros(len(images), 3), torch.full((len(images),), made_up.pop(0))

    monkeypatch.setattr("reprior.training.tasks.gan.fit_latents", fit)
    return made_up


def test_writes_weights_that_load_their_account_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setattr("reprior.training.tasks.gan.fit_latents", partial(fit_latents, steps=10))
    weights = _run(tmp_path, {**RECIPE, "objective": "began"})
    assert load_generator(SPEC, weights).image_shape == (3, 64, 64)
    account = read_json(weights.with_suffix(".json"))
    assert account["generator"] == SPEC
    assert account["dataset"] == DATASET
    assert read_recipe(account["recipe"]) == read_recipe({**RECIPE, "objective": "began"})
    assert account["images_seen"] == 6
    fits = {entry["step"]: entry["psnr_of_mean_mse"] for entry in account["candidates"]}
    assert list(fits) == [1, 2, 3]
    assert 0 < account["held_out_fit"]["psnr_of_mean_mse"] < 40
    assert account["held_out_fit"]["psnr_of_mean_mse"] == max(fits.values()) == fits[account["chosen"]]
    for name in ("small", "small-losses", "small-progress"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).std() > 1
    hidden = {path.name for path in tmp_path.iterdir() if path.name.startswith(".")}
    assert hidden == {".small.jsonl"}


def test_the_best_candidate_is_written_and_not_the_last(tmp_path: Path, fitted: list[float]) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "three").mkdir()
    fitted += [0.5, 0.1]
    two = load_tensors(_run(tmp_path / "two", {**RECIPE, "steps": 2}))[0]
    fitted += [0.5, 0.1, 0.2]
    three = _run(tmp_path / "three", RECIPE)
    assert read_json(three.with_suffix(".json"))["chosen"] == 2
    found = load_tensors(three)[0]
    assert all(torch.equal(found[key], two[key]) for key in two)


def test_an_interrupted_training_ends_with_the_same_file(
    tmp_path: Path, fitted: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    fitted += [0.3, 0.2, 0.1]
    whole = _run(tmp_path / "whole", RECIPE).read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Candidates, "keep", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(SystemExit):
            _run(tmp_path / "parts", RECIPE)
    assert (tmp_path / "parts" / ".small.checkpoint").exists()
    fitted += [0.2, 0.1]
    assert _run(tmp_path / "parts", RECIPE).read_bytes() == whole


def test_candidates_of_another_training_are_not_chosen_from(tmp_path: Path) -> None:
    generator = build_generator(SPEC)
    ours, theirs = (Candidates(tmp_path, fingerprint) for fingerprint in ("ours", "theirs"))
    theirs.keep(10, generator)
    theirs.keep(20, generator)
    ours.keep(20, generator)
    assert ours.steps() == [20]
    assert theirs.steps() == [10]
    ours.remove()
    assert not tmp_path.exists()


def test_the_earliest_of_equals_is_the_best() -> None:
    assert best({10: 0.3, 20: 0.1, 30: 0.1}) == 20


def test_held_out_images_follow_those_trained_on_where_there_is_no_validation_partition() -> None:
    material = read_material(DATASET, read_recipe({"steps": 1, "images": 5, "held_out": 3}), Path("nowhere"))
    source = load("dataset", "faces-drawn")(split="train")
    expected = np.rint(source.load(source.ids(0, 8)) * 255).astype(np.uint8)
    np.testing.assert_array_equal(material.training, expected[:5])
    np.testing.assert_array_equal(material.held_out, expected[5:])
    assert material.origin == {"dataset": DATASET, "first": 5, "images": 3}


def test_held_out_images_are_of_the_validation_partition_where_there_is_one(shared_data: Path) -> None:
    spec = {"name": "celeba-subset", "partition": "train", "crop": "csgm", "size": 64}
    material = read_material(spec, read_recipe({"steps": 1, "images": 2, "held_out": 3}), shared_data)
    validation = load("dataset", "celeba-subset")(shared_data, partition="validation", crop="csgm", size=64)
    expected = np.rint(validation.load(validation.ids(0, 3)) * 255)
    np.testing.assert_array_equal(material.held_out, expected)
    assert material.training.shape == (2, 3, 64, 64)


def test_all_images_but_the_held_out_ones_where_none_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprior.datasets.faces_drawn.FacesDrawn.size", 12)
    material = read_material(DATASET, read_recipe({"steps": 1, "images": None, "held_out": 4}), Path("nowhere"))
    assert [len(material.training), len(material.held_out)] == [8, 4]


def test_images_of_another_size_than_the_generators_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\(3, 128, 128\).*\(3, 64, 64\)"):
        train_network(
            tmp_path / "w.safetensors",
            network={**SPEC, "size": 128},
            dataset=DATASET,
            recipe=RECIPE,
            checkpoint=tmp_path / "c.checkpoint",
            log=tmp_path / "l.jsonl",
        )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_can_be_read_and_fit_their_data_sets(path: Path) -> None:
    found = yaml.safe_load(path.read_text())
    trains = plugin("task", found["recipe"].get("task", "gan")).constants["TRAINS"]
    assert found.keys() - {"against"} == {trains, "dataset", "recipe"}
    for kind in (trains, "dataset"):
        settings = {key: value for key, value in found[kind].items() if key != "name"}
        plugin(kind, found[kind]["name"]).settings.model_validate(settings)
    assert read_recipe(found["recipe"]).steps
    dataset = load_dataset(found["dataset"], Path("nowhere"))
    shape = getattr(built(trains, found[trains]), "image_shape", dataset.image_shape)  # a denoiser has none
    assert shape == dataset.image_shape
