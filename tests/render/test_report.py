"""The report's content, read without a browser."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reprior.errors import UserError
from reprior.machine.files import read_json, write_json
from reprior.render.report import build

VOID = {"meta", "img", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """Checks that tags close, and keeps elements with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(self.source)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, attribute: str) -> list[str]:
        return [str(attributes[attribute]) for _, attributes in self.elements if attribute in attributes]


@pytest.fixture(scope="module")
def page(rendered: Any) -> Page:
    return Page(rendered.report)


def table(made_up: Any) -> Path:
    """The sidecar of a small table."""
    made_up.render("table", "table", cases=["sr-x4"], methods=["csgm"], metrics=["psnr", "mse"])
    return made_up.folder / "table.json"


def test_it_needs_no_other_file(page: Page) -> None:
    assert not re.search(r"""(src|href)=["']?(https?:|//|file:|\.)|url\((?!data:)|@import|<link""", page.source)
    assert "default-src 'none'" in page.source


def test_its_links_ids_and_labels_are_sound(page: Page) -> None:
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    targets = [link.removeprefix("#") for link in page.all("href")] + page.all("popovertarget")
    assert targets and set(targets) <= set(ids)
    assert all(attributes.get("alt") for tag, attributes in page.elements if tag == "img")
    assert ("html", {"lang": "en"}) in page.elements
    assert page.source.startswith("<!doctype html>")


def test_it_says_at_which_scale_it_was_made(page: Page) -> None:
    assert "Demo scale; drawn data: not comparable." in page.text
    assert page.text.count("drawn data: not comparable") >= 5  # once at the top, once per artifact


def test_tables_show_ours_the_papers_and_the_difference(judged: Any) -> None:
    for number in ("20.36", "20.51", "-0.15"):
        assert number in Page(judged.report).text


def test_where_nothing_is_comparable_there_is_no_verdict(page: Page) -> None:
    assert "for orientation only" in page.text
    assert "20.51" in page.text
    assert not re.search(r"verdict|agree|difference|-0\.15", page.text, re.IGNORECASE)


def test_where_numbers_are_comparable_each_is_judged(judged: Any) -> None:
    page = Page(judged.report)
    spans = {attributes.get("class") for tag, attributes in page.elements if tag == "span"}
    assert {"agrees", "better", "worse", "not-run", "not-judged"} <= spans
    assert "for orientation only" not in page.text


def test_verdicts_are_counted_over_all_tables(judged: Any) -> None:
    tables = [read_json(judged.folder / f"{name}.json")["table"]["entries"] for name in ("table", "times")]
    words = [entry["verdict"] for entries in tables for entry in entries if entry["paper"] is not None]
    told = f"{words.count('agrees')} of {len(words)} numbers agree with the paper's; {words.count('better')} better, "
    assert told in Page(judged.report).text


def test_the_popover_shows_ours_its_interval_the_papers_and_the_verdict(judged: Any) -> None:
    popover = Page(judged.report).text.rsplit("CSGM on Faces, SR ×4", 1)[1].split("Each image")[0]
    assert "average ours interval paper difference verdict" in popover
    assert "PSNR [dB] 20.36 19.42–21.47 20.51 -0.15 agrees" in popover
    assert "LPIPS (alex) – – 0.235 – not run" in popover
    assert "SSIM 0.5000 0.5000–0.5000 – – –" in popover
    assert "seconds per image 1.500 – 30 – not judged" in popover


def test_behind_every_cell_are_command_settings_status_and_versions(rendered: Any, page: Page) -> None:
    cells = [attributes for _, attributes in page.elements if "popover" in attributes]
    assert len(cells) == 5 + 3 + 3 * 2
    assert page.text.count("python -m reprior reconstruct --case sr-x4 --method 'iagan'") == 2
    for words in ("lr 0.1", "steps 100", "cpu (x86_64)", "torch 2.0", "face-2 diverged", "began (size: 64)"):
        assert words in page.text


def test_gaps_and_failures_are_marked(page: Page) -> None:
    for words in (
        "no public weights of pggan",
        "alexnet-owt-7be5be79.pth",
        "1 of 4 images diverged",
        "not reproducible",
    ):
        assert words in page.text


def test_everything_is_escaped(page: Page) -> None:
    assert "<script>alert(1)</script>" in page.text
    assert "<script>alert" not in page.source
    assert "IAGAN <BP> & co" in page.text and "IAGAN <BP>" not in page.source


def test_each_picture_is_embedded_once(page: Page) -> None:
    embedded = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", page.source)
    assert len(embedded) == len(set(embedded))
    # 3 originals; 3 views per method and case; 3 observations of sr-x4; 2 figures: the grid shows these pictures
    assert len(embedded) == 3 + 3 * (5 + 3 + 6) + 3 + 2
    assert all(base64.b64decode(content)[8:12] == b"WEBP" for content in embedded)


def test_it_opens_with_pictures_then_sums_up(page: Page) -> None:
    headings = [attributes["id"] for tag, attributes in page.elements if tag == "h2" and "id" in attributes]
    assert headings == ["glance-title", "summary-title", "study-made-up", "viewer-title"]
    strip = page.text.split("At a glance")[2].split("Summary")[0]
    assert "Faces, SR ×4 original observed Bicubic 22.00 dB CSGM 19.00 dB" in strip
    assert "cells computed 14 of 16" in page.text  # one case of two methods is a gap
    assert "scale Demo scale" in page.text and "A made-up study 6 14 2 – – –" in page.text


def test_headings_are_in_order_and_regions_have_names(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    for tag, attributes in page.elements:
        if attributes.get("role") == "region" or tag in ("nav", "section", "dialog"):
            assert attributes.get("aria-label") or attributes.get("aria-labelledby"), (tag, attributes)


def test_claims_come_after_tables_and_figures_and_are_counted(made_up: Any) -> None:
    sidecar = table(made_up)
    other = {key: value for key, value in read_json(sidecar).items() if key != "table"}
    shared = {"text": "it works", "where": "", "asked": "a bound", "number": "", "remarks": [], "note": ""}
    entries = [{**shared, "verdict": verdict} for verdict in ("holds", "fails", "holds", "not run")]
    claims = {"entries": entries, "summary": "2 of 4 claims hold", "legend": []}
    write_json(sidecar.with_name("claims.json"), {**other, "artifact": "claims", "claims": claims})
    build([sidecar.with_name("claims.json"), sidecar], made_up.report, "make")
    page = Page(made_up.report)
    assert [name for name in page.all("id") if name in ("made-up-table", "made-up-claims")][-1] == "made-up-claims"
    assert "claims that hold 2 of 4" in page.text and "A made-up study 1 1 0 2 1 1" in page.text


def test_a_grid_shows_the_pictures_themselves(page: Page) -> None:
    article = page.source.split('<article id="made-up-grid"')[1].split("</article>")[0]
    assert "<img" not in article
    shown = re.findall(r'data-case="made-up-([^"]*)" data-row="(\d)" data-view="(\d)"', article)
    assert len(set(shown)) == len(shown) == 3 * (2 + 5) + 3 * (1 + 3)
    assert "no pictures: no public weights of pggan" in article and "not part of this case" in article


def test_a_grid_whose_pictures_are_gone_shows_its_file(made_up: Any) -> None:
    sidecar = made_up.render("grid", "grid", cases=["sr-x4"], methods=["csgm"]).with_name("grid.json")
    (made_up.folder / "sr-x4/csgm/0000-0001.safetensors").unlink()
    build([sidecar], made_up.report, "make")
    assert made_up.report.read_text().count("<img") == 1


def test_pictures_that_are_gone_are_a_labelled_gap(made_up: Any) -> None:
    sidecar = table(made_up)
    (made_up.folder / "sr-x4/csgm/0000-0001.safetensors").unlink()
    build([sidecar], made_up.report, "make")
    assert "No pictures:" in Page(made_up.report).text


def test_the_first_case_with_pictures_is_open(made_up: Any) -> None:
    made_up.render("table", "table", cases=["no-weights", "sr-x4", "fourier-30"], methods=["csgm"], metrics=["mse"])
    build([made_up.folder / "table.json"], made_up.report, "make")
    opened = re.findall(r'<details class="case" open>\n<summary>(.*?)</summary>', made_up.report.read_text())
    assert opened == ["Faces, SR ×4"]


def test_methods_of_several_artifacts_come_in_one_order(made_up: Any) -> None:
    orders = {"one": ["csgm", "iagan"], "two": ["bicubic", "csgm", "csgm-bp", "iagan"]}
    for name, methods in orders.items():
        made_up.render("table", name, cases=["sr-x4"], methods=methods, metrics=["mse"])
    build([made_up.folder / f"{name}.json" for name in orders], made_up.report, "make")
    cost = Page(made_up.report).text.split("seconds per image / peak MiB")[1]
    assert cost.startswith(" Bicubic CSGM CSGM-BP IAGAN Faces, SR ×4 1.500 / 400")


def test_cases_of_several_artifacts_come_in_one_order(made_up: Any) -> None:
    gaussian = [f"gaussian-{ratio}" for ratio in (0.05, 0.2, 0.6)]
    orders = {"one": ["sr-x4", "fourier-30"], "two": gaussian[1:], "three": gaussian}
    for name, cases in orders.items():
        made_up.render("table", name, cases=cases, methods=["csgm"], metrics=["mse"])
    build([made_up.folder / f"{name}.json" for name in orders], made_up.report, "make")
    found = re.findall(r"<summary[^>]*>(.*?)</summary>", made_up.report.read_text())
    summaries = [summary for summary in found if not re.match(r"How to read|Contents|\d+ parts", summary)]
    labels = [
        "Faces, SR ×4",
        "Faces, Fourier 30% &amp; noise",
        *(f"Faces, m/n = {ratio}" for ratio in (0.05, 0.2, 0.6)),
    ]
    assert summaries == labels


def test_a_case_says_what_it_is(page: Page) -> None:
    assert "operator fourier (ratio: 0.3); noise 10/255; generator began (size: 64)." in page.text


def test_infinite_and_missing_numbers_are_shown(made_up: Any) -> None:
    path = made_up.folder / "sr-x4/csgm/0000-0001.csv"
    path.write_text(re.sub(r"(face-0,mse),.*", r"\1,nan", path.read_text()).replace("psnr,19.0", "psnr,inf"))
    sidecar = table(made_up)
    json.loads(sidecar.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    build([sidecar], made_up.report, "make")
    text = Page(made_up.report).text
    assert "face-0 ok nan inf" in text


def test_two_studies_stand_side_by_side(made_up: Any) -> None:
    first = table(made_up)
    second = first.with_name("other.json")
    write_json(second, {**read_json(first), "study": "other", "study_title": "The other study"})
    build([first, second], made_up.report, "make")
    page = Page(made_up.report)
    assert "The other study" in page.text
    assert len(page.all("id")) == len(set(page.all("id")))


def test_what_a_scale_cuts_of_each_study_is_said_by_its_name(made_up: Any) -> None:
    first = table(made_up)
    second = first.with_name("other.json")
    note = read_json(first)["note"]
    write_json(second, {**read_json(first), "study": "other", "note": "a tenth of the steps"})
    build([first, second], made_up.report, "make")
    assert f"{read_json(first)['study']}: {note}; other: a tenth of the steps." in Page(made_up.report).text


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to show"):
        build([], tmp_path / "index.html", "make")
