"""The parts of a method's pictures: which are shown, where, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reprior.errors import UserError
from reprior.machine.files import load_arrays, read_json, save_arrays
from reprior.planning.plugins import plugin

PARTS = [["gan", "G part"], ["decoder", "DD part"]]
RED, BLUE = (2.0, -1.0, -1.0), (-0.1, 0.0, 1.1)
"""Colours that no picture of the study has, outside [0, 1]."""


@pytest.fixture
def study(made_up: Any) -> Any:
    """A made-up study in which the pictures of IAGAN have a red and a blue part."""
    for batch in made_up.cases["sr-x4"]["batches"]:
        path = made_up.folder / f"sr-x4/iagan/{batch}.safetensors"
        images = load_arrays(path)[0]["images"]
        whole = np.ones_like(images)
        parts = {"part.gan": whole, "part.decoder": whole}
        for name, colour in (("part.gan", RED), ("part.decoder", BLUE)):
            parts[name] = whole * np.array(colour, np.float32)[:, None, None]
        save_arrays(path, {"images": images, **parts})
    return made_up


def show(study: Any, **settings: Any) -> Any:
    asked = {"cases": ["sr-x4"], "methods": ["csgm", "iagan"], "method": "iagan", "parts": PARTS, "pictures": 2}
    return study.render("breakdown", "breakdown", **{**asked, **settings})


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_each_part_has_its_column_behind_the_methods_and_is_clipped(study: Any, figures: list[Any]) -> None:
    out = show(study)
    assert texts(figures[0][0])[:5] == ["original", "CSGM", "IAGAN", "G part", "DD part"]
    shown = figures[0][0].axes[0].images
    assert len(shown) == 2 * 5
    columns = {int(picture.get_extent()[0]): np.unique(picture.get_array().reshape(-1, 3), axis=0) for picture in shown}
    assert columns[3].tolist() == [[255, 0, 0]] and columns[4].tolist() == [[0, 0, 255]]
    assert "clipped to [0, 1]" in figures[0][1][-1]
    assert "G part, DD part" in read_json(out.with_name("breakdown.json"))["figure"]["alt"]


def test_its_files_are_those_that_the_planner_expects(study: Any) -> None:
    show(study, pictures=1)
    assert {path.suffix for path in study.folder.glob("breakdown.*")} == {".pdf", ".png", ".json"}


def test_the_psnr_stands_under_methods_alone(study: Any, figures: list[Any]) -> None:
    show(study, pictures=1)
    assert texts(figures[0][0])[6:] == ["19.0 dB", "25.0 dB"]


def test_a_gap_and_a_method_that_the_case_lacks_say_why(study: Any, figures: list[Any]) -> None:
    del study.cases["fourier-30"]["methods"]["iagan"]
    show(study, cases=["sr-x4", "fourier-30", "no-weights"], pictures=1)
    said = texts(figures[0][0])
    assert "no pictures: no public weights of pggan" in said
    assert said.count("not part of\nthis case") == 3  # the method and its two parts


def test_a_part_that_the_file_lacks_is_named(study: Any) -> None:
    with pytest.raises(UserError, match=r"sr-x4/iagan/0000-0001\.safetensors: has no part `noise`.*decoder, gan"):
        show(study, parts=[["gan", "G"], ["noise", "N"]])
    with pytest.raises(UserError, match=r"fourier-30/iagan/0000-0001.*parts there: none"):
        show(study, cases=["fourier-30"])


def test_a_method_that_is_not_shown_has_no_parts_to_show(study: Any) -> None:
    with pytest.raises(UserError, match="breakdown: the method iagan.*not among `methods`.*csgm"):
        show(study, methods=["csgm"])


def test_the_planner_reads_the_settings() -> None:
    kind = plugin("artifact", "breakdown")
    settings = kind.settings(title="t", cases=["c"], methods=["hybrid"], method="hybrid")
    assert settings.model_dump()["parts"] == [["gan", "α G(z)"], ["decoder", "β DD(θ)"]]
    assert kind.constants["READS"] == "images"
