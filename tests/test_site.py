"""`make docs`: the site is built, and no link of it is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_each_page_of_the_documentation_is_in_the_site(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
        assert f'href="{page.stem}.html"' in (site / "index.html").read_text(), "the contents lead to it"


@pytest.mark.slow
def test_linked_files_and_the_reference_are_pages(site: Path) -> None:
    shown = (site / "source/src/reprior/methods/csgm.py.html").read_text()
    assert "def" in shown and "csgm" in shown
    reference = (site / "reference.html").read_text()
    for name in ("operator", "observe", "generator", "restore", "measure", "compare"):
        assert f'<h2 id="reprior{name}">' in reference
    assert "&gt;&gt;&gt;" in reference, "the examples are code"
