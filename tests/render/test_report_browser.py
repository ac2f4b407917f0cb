"""The report in headless Chromium: it loads, fits a phone, and its controls work."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.render.browser import Browser

pytestmark = pytest.mark.chromium

PHONE = 375
SIDES = """["left", "right"].map((side) => document.querySelector(`#viewer [data-caption=${side}]`).textContent)"""
IMAGE = "document.querySelector('#viewer-image').textContent"
OPEN = "document.querySelector('#viewer').open"
FOCUSED = "document.activeElement.getAttribute('aria-label')"
CLIP = "getComputedStyle(document.querySelector('.layer[data-side=right]')).clipPath"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium. In CI, where everything must run, its absence is an error."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("CI must test the report in a browser, but there is no chromium; install it")
    if found is None:
        pytest.skip(
            "there is no chromium; install it (Debian: apt-get install chromium) to test the report in a browser"
        )
    with Browser(found, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def element_of(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"


def thumb(row: int, view: int) -> str:
    """The first picture that opens this view of this image of the first case."""
    return f".thumb[data-case=made-up-sr-x4][data-row='{row}'][data-view='{view}']"


@pytest.mark.parametrize("dark", [False, True])
def test_it_loads_without_messages_or_requests(browser: Browser, rendered: Any, dark: bool) -> None:
    browser.open(rendered.report, dark=dark)
    loaded = browser.run("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
    assert browser.run("[...document.images].filter((image) => !image.naturalWidth).length") == 0
    assert browser.run("document.images.length") == 2  # the sweep and the masks
    assert browser.problems == []


@pytest.mark.parametrize("scale", ["rendered", "judged"])
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, scale: str, request: pytest.FixtureRequest) -> None:
    browser.open(request.getfixturevalue(scale).report, width=PHONE, height=800)
    assert browser.run("document.querySelector('.contents > details').open") is False  # pictures first
    browser.run("document.querySelectorAll('details').forEach((details) => details.open = true)")
    assert browser.run("document.scrollingElement.scrollWidth") <= PHONE
    opened = f"document.getElementById({element_of('td button[popovertarget]')}.getAttribute('popovertarget'))"
    for opens, element in (("td button[popovertarget]", opened), (".thumb", element_of("#viewer"))):
        browser.run(f"{element_of(opens)}.click()")
        left, right = browser.run(f"(({{left, right}}) => [left, right])({element}.getBoundingClientRect())")
        assert 0 <= left < right <= PHONE, opens
        assert browser.run(f"{element}.scrollWidth - {element}.clientWidth") == 0, opens


def test_a_picture_opens_large_and_keys_move_through_methods_and_images(browser: Browser, rendered: Any) -> None:
    browser.open(rendered.report)
    browser.click(thumb(0, 3))
    assert browser.run(OPEN) and browser.run(SIDES) == ["original", "CSGM, 19.00 dB"]
    picture = browser.run(
        f"getComputedStyle({element_of(thumb(0, 3))}.firstElementChild).backgroundImage"
        f" === getComputedStyle({element_of('.layer[data-side=right]')}).backgroundImage"
    )
    assert picture
    assert browser.run(f"getComputedStyle({element_of('.layer')}).imageRendering") == "pixelated"
    assert browser.run(f"{element_of('.stage')}.clientWidth") > 400
    browser.press("ArrowRight")
    browser.press("ArrowDown")
    assert (browser.run(SIDES), browser.run(IMAGE)) == (["original", "CSGM-BP, 22.50 dB"], "Image face-1, 2 of 3")
    browser.press("ArrowUp")
    browser.press("ArrowUp")  # from the first image to the last
    browser.press("ArrowLeft")
    assert (browser.run(SIDES), browser.run(IMAGE)) == (["original", "CSGM, 21.00 dB"], "Image face-2, 3 of 3")
    browser.press("Escape")
    assert not browser.run(OPEN)
    assert browser.run(FOCUSED) == "CSGM of face-0, Faces, SR ×4: open large"
    assert browser.problems == []


def test_the_slider_follows_the_mouse_and_the_keys(browser: Browser, rendered: Any) -> None:
    browser.open(rendered.report)
    browser.click(thumb(1, 2))
    assert browser.run(CLIP) == "inset(0px 0px 0px 50%)"
    browser.point(".stage", "mousePressed", 0.3, button="left", buttons=1, clickCount=1)
    browser.point(".stage", "mouseMoved", 0.8, button="left", buttons=1)
    browser.point(".stage", "mouseReleased", 0.8, button="left", clickCount=1)
    assert browser.run(CLIP) == "inset(0px 0px 0px 80%)"
    browser.run("document.querySelector('#viewer [type=range]').focus()")
    browser.press("ArrowLeft")
    assert browser.run(CLIP) == "inset(0px 0px 0px 79%)"
    browser.run("document.querySelector('[data-choose=left]').focus()")
    browser.press("ArrowDown")
    assert browser.run(SIDES) == ["observed", "Bicubic, 23.00 dB"]
    browser.click("#viewer .close")
    assert not browser.run(OPEN)


def test_contents_stand_beside_the_page_and_follow_the_reader(browser: Browser, rendered: Any) -> None:
    browser.open(rendered.report)
    nav, main = browser.run("['nav', 'main'].map((name) => document.querySelector(name).getBoundingClientRect().left)")
    assert nav < main
    marked = "[...document.querySelectorAll('[aria-current]')].map((link) => link.textContent)"
    assert browser.run(marked) == ["At a glance"]
    parts = "document.querySelector('.contents li details').open"
    assert not browser.run(parts)
    browser.run("document.getElementById('made-up-grid').scrollIntoView({behavior: 'instant'})")
    browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert browser.run(marked) == ["The grid"] and browser.run(parts)
    assert browser.run("Math.round(document.querySelector('nav').getBoundingClientRect().top)") == 0


def test_columns_sort_by_mouse_and_key_with_gaps_last(browser: Browser, rendered: Any) -> None:
    browser.open(rendered.report)
    table = "#made-up-table table"
    cases = f"[...{element_of(table)}.tBodies].map((body) => body.rows[0].textContent.trim())"
    sorts = f"[...{element_of(table)}.tHead.rows[0].cells].map((head) => head.getAttribute('aria-sort'))"
    sr, fourier, gap = browser.run(cases)
    browser.click(f"{table} th:nth-child(4) button")  # CSGM: equal numbers, and a case without
    assert browser.run(cases) == [sr, fourier, gap] and browser.run(sorts)[3] == "ascending"
    browser.press("Enter")
    assert browser.run(cases)[-1] == gap and browser.run(sorts)[3] == "descending"
    browser.press("Enter")
    assert browser.run(sorts) == [None] * 7
    browser.click(f"{table} th:nth-child(1) button")
    assert browser.run(cases) == [gap, fourier, sr]  # by name, which this case has
    assert browser.run(sorts)[0] == "ascending"


def test_numbers_are_sorted_as_numbers(browser: Browser, rendered: Any) -> None:
    browser.open(rendered.report)
    table = "#cost-made-up table"
    browser.run(
        f"[...{element_of(table)}.tBodies[0].rows].forEach((row, index) =>"
        " { row.cells[1].textContent = ['1,000', '9.5', '–', '-2', 'inf'][index] ?? '–'; })"
    )
    order = f"[...{element_of(table)}.tBodies[0].rows].map((row) => row.cells[1].textContent)"
    browser.click(f"{table} th:nth-child(2) button")
    assert browser.run(order) == ["-2", "9.5", "1,000", "inf", "–", "–"]
    browser.press("Enter")
    assert browser.run(order) == ["inf", "1,000", "9.5", "-2", "–", "–"]


def test_a_curve_shows_the_value_under_the_pointer(browser: Browser, rendered: Any) -> None:
    browser.open(rendered.report)
    figure = "#made-up-sweep [data-marks]"
    mark = browser.run(f"JSON.parse({element_of(figure)}.dataset.marks)[1]")
    browser.point(f"{figure} img", "mouseMoved", mark["x"], mark["y"])
    assert browser.run(f"{element_of('.tip')}.hidden") is False
    assert browser.run(f"{element_of('.tip')}.textContent") == mark["text"]
    browser.point(f"{figure} img", "mouseMoved", 0.02, 0.98)
    assert browser.run(f"{element_of('.tip')}.hidden") is True


def test_it_is_printed_whole_on_white_paper_without_contents(browser: Browser, rendered: Any) -> None:
    browser.open(rendered.report, width=720, dark=True, media="print")
    shown = "[...document.querySelectorAll('main table, main img')]"
    right = f"Math.max(...{shown}.map((element) => element.getBoundingClientRect().right))"
    assert browser.run(right) <= 720
    assert browser.run("document.querySelector('.contents').offsetParent") is None
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_number_opens_what_made_it(browser: Browser, rendered: Any) -> None:
    browser.open(rendered.report)
    button = "#made-up-table td button"
    cell = f"document.getElementById({element_of(button)}.getAttribute('popovertarget'))"
    browser.click(button)
    assert browser.run(f"{cell}.matches(':popover-open')")
    command = browser.run(f"{cell}.querySelector('pre').textContent")
    assert command.startswith("python -m reprior reconstruct --case sr-x4 --method 'bicubic'")
    browser.press("Escape")
    assert not browser.run(f"{cell}.matches(':popover-open')")


@pytest.mark.parametrize("dark", [False, True])
def test_a_verdict_is_a_word_with_a_sign_and_a_readable_colour(browser: Browser, judged: Any, dark: bool) -> None:
    browser.open(judged.report, dark=dark)
    found = browser.run("""(() => {
      const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
      const page = light(getComputedStyle(document.body).backgroundColor);
      return Object.fromEntries(["agrees", "better", "worse", "not-run", "not-judged"].map((name) => {
        const word = document.querySelector(`td .${name}`), own = light(getComputedStyle(word).color);
        const contrast = (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05);
        return [name, [word.textContent, getComputedStyle(word, "::before").content, contrast]];
      }));
    })()""")
    assert {name: shown[0] for name, shown in found.items()} == {name: name.replace("-", " ") for name in found}
    assert len({found[name][1] for name in ("agrees", "better", "worse")}) == 3
    assert min(shown[2] for shown in found.values()) >= 4.5
