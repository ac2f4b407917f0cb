"""The report in headless Chromium: it loads, fits a phone, and its controls work."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.chromium

LISTEN = """
window.problems = [];
addEventListener("error", (event) => problems.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => problems.push(event.blockedURI));
console.error = console.warn = (...words) => problems.push(words.join(" "));
"""
TELL = "document.documentElement.dataset.facts = JSON.stringify(facts());"
PHONE = """<!doctype html><iframe src="{name}" style="border:0;width:375px;height:800px"></iframe><script>
addEventListener("message", (event) => document.documentElement.dataset.facts = event.data);
</script>"""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Headless Chromium. In CI, where everything must run, its absence is an error."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("CI must test the report in a browser, but there is no chromium; install it")
    if found is None:
        pytest.skip(
            "there is no chromium; install it (Debian: apt-get install chromium) to test the report in a browser"
        )
    return found


def facts(chromium: str, page: Path) -> Any:
    """What `page` wrote into the attribute data-facts of its root."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}")
    command = [chromium, *options, "--window-size=1280,900", "--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'data-facts="([^"]*)"', dumped.stdout)
    assert found, dumped.stderr
    return json.loads(html.unescape(found[1]))


def injected(report: Path, out: Path, function: str, tell: str = TELL) -> Path:
    """A copy of the report that calls the JavaScript function `facts` when all else has run."""
    page = report.read_text().replace("<head>", f"<head><script>{LISTEN}</script>", 1)
    script = (
        f"<script>function told() {{ {function} }}"
        "function facts() { try { return told(); } catch (error) { return String(error); } }"
        f"addEventListener('load', () => {{ {tell} }});</script>"
    )
    out.write_text(page.replace("</body>", f"{script}</body>"))
    return out


def test_it_loads_without_errors_or_requests(chromium: str, rendered: Any, tmp_path: Path) -> None:
    function = """
      const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
      return {
      problems,
      requests: loaded.filter((name) => !name.startsWith("data:")),
      broken: [...document.images].filter((image) => !image.naturalWidth).length,
      images: document.images.length,
    };"""
    found = facts(chromium, injected(rendered.report, tmp_path / "page.html", function))
    assert found == {"problems": [], "requests": [], "broken": 0, "images": 3}


@pytest.mark.parametrize("scale", ["rendered", "judged"])
def test_a_phone_needs_no_sideways_scrolling(
    chromium: str, scale: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    function = """
      document.querySelectorAll("details").forEach((details) => details.open = true);
      const cell = document.querySelector(".cell");
      cell.showPopover();
      const box = cell.getBoundingClientRect();
      return {width: innerWidth, needed: document.scrollingElement.scrollWidth, left: box.left, right: box.right};"""
    report = request.getfixturevalue(scale).report
    injected(report, tmp_path / "page.html", function, "parent.postMessage(JSON.stringify(facts()), '*');")
    phone = tmp_path / "phone.html"
    phone.write_text(PHONE.format(name="page.html"))
    found = facts(chromium, phone)
    assert found["width"] == 375
    assert found["needed"] <= 375
    assert 0 <= found["left"] < found["right"] <= 375


def test_the_slider_and_the_choices_work(chromium: str, rendered: Any, tmp_path: Path) -> None:
    function = """
      const viewer = document.querySelector(".viewer"), range = viewer.querySelector("[type=range]");
      const layer = (side) => viewer.querySelector(`[data-side=${side}]`);
      const image = (element) => getComputedStyle(element).backgroundImage;
      const start = {clip: getComputedStyle(layer("right")).clipPath, right: image(layer("right"))};
      range.value = 20;
      range.dispatchEvent(new Event("input", {bubbles: true}));
      const moved = getComputedStyle(layer("right")).clipPath;
      const thumb = viewer.querySelector(".thumb[data-row='1'][data-view='2']");
      thumb.click();
      const left = viewer.querySelector("select[data-choose=left]");
      left.value = "3";
      left.dispatchEvent(new Event("input", {bubbles: true}));
      const other = viewer.querySelector(".thumb[data-row='1'][data-view='3']");
      return {
        problems, moved, start: start.clip, differs: start.right !== image(layer("right")),
        right: image(layer("right")) === image(thumb.firstElementChild),
        left: image(layer("left")) === image(other.firstElementChild),
        pressed: [...viewer.querySelectorAll("[aria-pressed=true]")].length,
        row: viewer.querySelector("[data-choose=row]").value,
      };"""
    found = facts(chromium, injected(rendered.report, tmp_path / "page.html", function))
    assert found == {
        "problems": [],
        "start": "inset(0px 0px 0px 50%)",
        "moved": "inset(0px 0px 0px 20%)",
        "differs": True,
        "right": True,
        "left": True,
        "pressed": 1,
        "row": "1",
    }


def test_a_number_opens_what_made_it(chromium: str, rendered: Any, tmp_path: Path) -> None:
    function = """
      const button = document.querySelector("td button[popovertarget]");
      const cell = document.getElementById(button.getAttribute("popovertarget"));
      const before = cell.matches(":popover-open");
      button.click();
      const opened = cell.matches(":popover-open");
      cell.querySelector(".close").click();
      return {before, opened, after: cell.matches(":popover-open"), command: cell.querySelector("pre").textContent};"""
    found = facts(chromium, injected(rendered.report, tmp_path / "page.html", function))
    assert found.pop("command").startswith("python -m reprior reconstruct --case sr-x4 --method 'bicubic'")
    assert found == {"before": False, "opened": True, "after": False}


def test_a_verdict_is_a_word_with_a_sign_and_a_readable_colour(chromium: str, judged: Any, tmp_path: Path) -> None:
    function = """
      const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
      const page = light(getComputedStyle(document.body).backgroundColor);
      return Object.fromEntries(["agrees", "better", "worse", "not-run", "not-judged"].map((name) => {
        const word = document.querySelector(`td .${name}`), own = light(getComputedStyle(word).color);
        const contrast = (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05);
        return [name, [word.textContent, getComputedStyle(word, "::before").content, contrast]];
      }));"""
    found = facts(chromium, injected(judged.report, tmp_path / "page.html", function))
    assert {name: shown[0] for name, shown in found.items()} == {name: name.replace("-", " ") for name in found}
    assert len({found[name][1] for name in ("agrees", "better", "worse")}) == 3
    assert min(shown[2] for shown in found.values()) >= 4.5
