"""Figures: their files, what they show, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprior.errors import UserError
from reprior.machine.files import read_json, save_arrays
from reprior.metrics.averaging import bootstrap_interval
from reprior.planning.plugins import plugin
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


def test_marks_of_a_curve_are_where_its_points_are_drawn(made_up: Any) -> None:
    from PIL import Image

    out = made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm", "iagan"])
    marks = figure(out)["marks"]
    picture = np.asarray(Image.open(f"{out}.png").convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    for mark, colour in zip(marks, ["#0072B2", "#D55E00"] * 3, strict=True):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        x, y = round(mark["x"] * width), round(mark["y"] * height)
        assert abs(picture[y - 2 : y + 3, x - 2 : x + 3] - wanted).max() <= 8, mark
    assert re.fullmatch(r"CSGM: 0\.\d+ \(0\.\d+–0\.\d+\) at compression ratio m/n 0\.05", marks[0]["text"])


def test_a_ratio_of_many_digits_is_listed_with_four(made_up: Any, figures: list[Any]) -> None:
    made_up.cases[GAUSSIAN[0]]["operator"]["ratio"] = 2500 / 49152
    out = made_up.render("sweep", "sweep", cases=GAUSSIAN[:1], methods=["csgm"])
    assert figure(out)["points"][0]["x"] == 0.05086


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


def test_a_sweep_names_a_method_that_is_part_of_no_case_of_a_panel_once(made_up: Any, figures: list[Any]) -> None:
    for case in LOW:
        del made_up.cases[case]["methods"]["iagan"]
    made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm", "iagan"], panels=PANELS)
    assert figures[0][1][1:] == ["Faces, m/n = 0.05; Faces, m/n = 0.2, IAGAN: not part of this case"]


def test_a_logarithmic_x_axis_has_the_places_of_its_cases_as_ticks(made_up: Any, figures: list[Any]) -> None:
    made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm"], panels=PANELS, log_x=True)
    low, whole = figures[0][0].axes
    assert (low.get_xscale(), whole.get_xscale()) == ("log", "log")
    assert [text.get_text() for text in low.get_xticklabels()] == ["0.05", "0.2"]
    assert [text.get_text() for text in whole.get_xticklabels()] == ["0.05", "0.2", "0.6"]


def test_a_sweep_over_a_setting_that_is_not_there_is_refused(made_up: Any) -> None:
    with pytest.raises(UserError, match="has no number `scale`.*ratio"):
        made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm"], x="scale")


LOW, ALL = GAUSSIAN[:2], GAUSSIAN
PANELS = {"all m": ALL, "low m": LOW}


def test_a_sweep_in_panels_shows_the_cases_of_each_under_one_legend(made_up: Any, figures: list[Any]) -> None:
    made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm", "iagan"], panels=PANELS)
    low, whole = figures[0][0].axes
    assert [axes.get_title() for axes in (low, whole)] == ["low m", "all m"]
    assert [list(axes.lines[0].get_xdata()) for axes in (low, whole)] == [[0.05, 0.2], [0.05, 0.2, 0.6]]
    assert low.get_xlim()[1] < 0.3 < whole.get_xlim()[1]
    assert [axes.get_legend() for axes in (low, whole)] == [None, None]
    assert [text.get_text() for text in figures[0][0].legends[0].get_texts()] == ["CSGM", "IAGAN"]


def test_panels_stand_in_a_grid_of_so_many_columns(made_up: Any, figures: list[Any]) -> None:
    one_each = {case: [case] for case in GAUSSIAN}
    for columns in (2, 3):
        made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm"], panels=one_each, columns=columns)
    two, three = ([axes.get_position().x0 for axes in figure.axes] for figure, _ in figures)
    assert two[0] == two[2] < two[1] and three[0] < three[1] < three[2]


def test_numbers_of_an_axis_with_a_single_place_do_not_overlap(made_up: Any, figures: list[Any]) -> None:
    made_up.add("alone", "Alone", {"name": "gaussian", "ratio": 2000 / 49152}, ["csgm"])
    made_up.render("sweep", "panels", cases=["alone"], methods=["csgm"], panels={"A": ["alone"]}, log=False)
    ((figure, _),) = figures
    figure.canvas.draw()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    shown = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    boxes = [label.get_window_extent() for label in shown]
    assert len(boxes) > 1
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_a_panel_that_lacks_all_says_why_in_its_place_and_other_gaps_are_named_once(
    made_up: Any, figures: list[Any]
) -> None:
    made_up.add("birds", "Birds", {"name": "gaussian", "ratio": 0.2}, ["csgm"], gap="no birds here " * 12)
    made_up.cases[GAUSSIAN[0]]["gap"] = "no weights"
    panels = {**PANELS, "birds": ["birds"]}
    out = made_up.render("sweep", "sweep", cases=[*GAUSSIAN, "birds"], methods=["csgm"], panels=panels)
    drawn, notes = figures[0]
    drawn.draw_without_rendering()
    birds = drawn.axes[2]
    (why,) = birds.texts
    assert why.get_text().startswith("no numbers: no birds here") and not birds.axison
    window, panel = why.get_window_extent(), birds.get_window_extent()
    assert panel.x0 - 1 < window.x0 and window.x1 < panel.x1 and window.y0 > panel.y0
    assert notes[1:] == ["Faces, m/n = 0.05: no weights"]
    assert len(figure(out)["gaps"]) == 2


def test_a_sweep_that_lacks_all_says_why_in_its_place(made_up: Any, figures: list[Any]) -> None:
    made_up.render("sweep", "sweep", cases=["no-weights"], methods=["csgm"], x="scale")
    assert [text.get_text() for text in figures[0][0].axes[0].texts] == ["no numbers: no public weights of pggan"]


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({"all m": [*ALL, "sr-x4"]}, r"sweep: panels\.all m: `sr-x4` is not among `cases`"),
        ({"all m": ALL, "none": []}, r"panels\.none: names no case"),
        ({"low m": LOW}, "panels: the case `gaussian-0.6` of `cases` is in none"),
    ],
)
def test_panels_of_other_cases_are_refused(made_up: Any, panels: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        made_up.render("sweep", "sweep", cases=GAUSSIAN, methods=["csgm"], panels=panels)


def test_cases_that_lack_the_same_are_named_in_one_line(made_up: Any) -> None:
    for case in GAUSSIAN:
        made_up.cases[case]["gap"] = "for its time"
    out = made_up.render("sweep", "figure2", cases=GAUSSIAN, methods=["csgm", "iagan"])
    names = "; ".join(made_up.cases[case]["label"] for case in GAUSSIAN)
    assert figure(out)["gaps"] == [f"{names}: for its time"]


def test_the_reason_of_a_gap_stays_within_its_pictures(made_up: Any, figures: list[Any]) -> None:
    made_up.cases["no-weights"]["gap"] = "a long story " * 30
    made_up.render("grid", "grid", cases=["no-weights"], methods=["csgm", "iagan"])
    figures[0][0].draw_without_rendering()
    axes = figures[0][0].axes[0]
    reason = next(text for text in axes.texts if "a long story" in text.get_text())
    assert reason.get_window_extent().x1 <= axes.get_window_extent().x1


def test_the_reason_of_a_methods_gap_fills_the_place_of_its_pictures(made_up: Any, figures: list[Any]) -> None:
    del made_up.cases["sr-x4"]["methods"]["csgm"]
    made_up.cases["sr-x4"]["gaps"]["csgm"] = "the package bm3d is not installed; `pip install 'reprior[bm3d]'`"
    made_up.render("grid", "grid", cases=["sr-x4", "fourier-30"], methods=["csgm", "iagan"], pictures=2)
    figures[0][0].draw_without_rendering()
    axes = figures[0][0].axes[0]
    reasons = [text for text in axes.texts if text.get_text().startswith("the package")]
    assert [text.get_position()[0] for text in reasons] == [2.5, 2.5]  # after original and observed
    width = axes.get_window_extent().width / 4
    assert all(max(text.get_window_extent().width, text.get_window_extent().height) <= width for text in reasons)


def test_a_method_without_pictures_has_no_column_but_a_reason(made_up: Any, figures: list[Any]) -> None:
    del made_up.cases["sr-x4"]["methods"]["csgm"]
    made_up.cases["sr-x4"]["gaps"]["csgm"] = "no weights"
    out = made_up.render("grid", "grid", cases=["sr-x4"], methods=["csgm", "iagan"], pictures=2)
    assert figure(out)["alt"].split(". ")[1] == "Columns: original, observed, IAGAN"
    assert figures[0][1] == ["Under each picture: PSNR.", "CSGM: no weights"]


def test_images_that_need_not_be_like_the_originals_are_shown_without_them(made_up: Any, figures: list[Any]) -> None:
    out = made_up.render("grid", "grid", cases=["sr-x4"], methods=["csgm"], pictures=2, originals=False)
    assert figure(out)["alt"].split(". ")[1] == "Columns: observed, CSGM"
    assert not any(
        "dB" in text.get_text() or "PSNR" in text.get_text() for axes in figures[0][0].axes for text in axes.texts
    )


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


def test_two_methods_of_other_papers_with_the_same_look_differ_in_one_figure() -> None:
    assert method_styles(["hybrid", "gan"])["gan"] == method_styles(["csgm"])["csgm"]
    methods = ["csgm", "gan", "iagan", "hybrid", "dd", "gan-as-dip"]
    assert len(set(method_styles(methods).values())) == len(methods)
