"""Figures: files, what they show, and refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprior.errors import UserError
from reprior.files import read_json, save_arrays
from reprior.metrics.averaging import bootstrap_interval
from reprior.plugins import plugin
from reprior.render.pictures import pixels, views
from reprior.render.style import method_styles

LONG_NOTE = "64 pixels, public BEGAN-64; 8 of 64 images; steps: csgm 25%, dip 12.5%, iagan 25%"
GAUSSIAN = ["gaussian-0.05", "gaussian-0.2", "gaussian-0.6"]


def figure(out: Path) -> dict[str, Any]:
    return read_json(out.with_name(f"{out.name}.json"))["figure"]


@pytest.mark.parametrize("kind", ["table", "sweep", "grid", "masks"])
def test_a_kind_writes_what_the_planner_expects(rendered: Any, kind: str) -> None:
    suffixes = plugin("artifact", kind).constants["SUFFIXES"]
    written = {path.name for path in rendered.folder.iterdir() if path.name.startswith(f"{kind}.")}
    assert written == {f"{kind}{suffix}" for suffix in (*suffixes, ".json")}
    assert plugin("artifact", kind).constants["READS"] in ("metrics", "images")


def test_equal_figures_are_equal_bytes(rendered: Any) -> None:
    before = {suffix: (rendered.folder / f"masks{suffix}").read_bytes() for suffix in (".pdf", ".png", ".json")}
    rendered.render("masks", "masks", cases=["fourier-30"])
    assert before == {suffix: (rendered.folder / f"masks{suffix}").read_bytes() for suffix in before}


def test_a_sweep_holds_the_averages_at_the_operators_setting(rendered: Any) -> None:
    points = figure(rendered.folder / "sweep")["points"]
    assert [point["x"] for point in points if point["method"] == "csgm"] == [0.05, 0.2, 0.6]
    first = next(point for point in points if (point["case"], point["method"]) == ("gaussian-0.2", "iagan"))
    errors = [10 ** (-(25 + 6 * 0.2 + i) / 10) for i in range(4)]
    assert first["y"] == pytest.approx(np.mean(errors))
    assert first["interval"] == pytest.approx(bootstrap_interval("mse", errors))


def test_a_sweep_over_what_is_not_finite_or_a_single_image_is_drawn_without_its_band(made_up: Any) -> None:
    path = made_up.folder / GAUSSIAN[0] / "csgm/0000-0001.csv"
    path.write_text(re.sub(r"(face-0,mse),.*", r"\1,nan", path.read_text()))
    for case in GAUSSIAN:
        made_up.cases[case]["batches"] = made_up.cases[case]["batches"][:1]
        iagan = made_up.folder / case / "iagan/0000-0001.csv"
        iagan.write_text(re.sub(r".*face-1,.*\n", "", iagan.read_text()))
    points = figure(made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm", "iagan"]))["points"]
    assert {(p["method"], p["x"]) for p in points if p["interval"]} == {("csgm", 0.2), ("csgm", 0.6)}


def test_a_long_note_is_wrapped_within_its_figure(made_up: Any) -> None:
    from PIL import Image

    widths = []
    for note in ("short", LONG_NOTE):
        out = made_up.render("masks", "masks", {"note": note}, cases=["fourier-30"])
        with Image.open(out.with_name("masks.png")) as picture:
            widths.append(picture.width)
    assert widths[1] <= 1.1 * widths[0]


def test_a_sweep_names_what_it_lacks_once(made_up: Any) -> None:
    made_up.cases[GAUSSIAN[0]]["gap"] = "no weights"
    del made_up.cases[GAUSSIAN[1]]["methods"]["iagan"]
    out = made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm", "iagan"], metric="psnr", log=False)
    whole, part = figure(out)["gaps"]
    assert whole == "Faces, m/n = 0.05: no weights"
    assert part.startswith("Faces, m/n = 0.2, IAGAN: ")


def test_a_sweep_over_a_setting_that_is_not_there_is_refused(made_up: Any) -> None:
    with pytest.raises(UserError, match="has no number `scale`.*ratio"):
        made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm"], x="scale")


def test_a_case_without_a_mask_is_refused(made_up: Any) -> None:
    with pytest.raises(UserError, match="bicubic has no mask"):
        made_up.render("masks", "masks", cases=["sr-x4"])


def test_masks_say_how_much_is_measured(rendered: Any) -> None:
    assert "30.0% of 24 x 24" in figure(rendered.folder / "masks")["alt"]


def test_the_pictures_come_in_order_across_batches(rendered: Any) -> None:
    found = views(rendered.folder, "sr-x4", rendered.cases["sr-x4"], ["csgm"], 3)
    assert [view.image for view in found] == ["face-0", "face-1", "face-2"]
    np.testing.assert_array_equal(found[2].original, rendered.truth[2])
    assert found[2].observed is not None and found[2].observed.shape == (3, 6, 6)
    assert abs(found[2].methods["csgm"] - found[2].original).mean() < 0.2
    fourier = views(rendered.folder, "fourier-30", rendered.cases["fourier-30"], [], 1)
    assert fourier[0].observed is None


def test_an_original_that_is_nowhere_is_named(made_up: Any) -> None:
    path = Path(made_up.cases["sr-x4"]["images"][0])
    save_arrays(path, {"images": made_up.truth[:2]}, {"ids": ["x", "y"]})
    with pytest.raises(UserError, match=r"face-0, face-1.*0000-0001"):
        made_up.render("grid", "grid", cases=["sr-x4"], methods=["csgm"], pictures=1)


def test_pixels_are_clipped_bytes_and_nan_is_black() -> None:
    image = np.array([[[0.5, -1.0]], [[2.0, np.nan]], [[1.0, 0.0]]], dtype=np.float32)
    np.testing.assert_array_equal(pixels(image), [[[128, 255, 255], [0, 0, 0]]])


def test_a_method_of_the_papers_keeps_its_look() -> None:
    few, many = method_styles(["csgm", "mine"]), method_styles(["iagan", "csgm", "mine", "yours", "bicubic"])
    assert few["csgm"] == many["csgm"]
    assert len(set(many.values())) == len(many)
