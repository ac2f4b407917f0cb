"""Broken photos and masks: each ends in whole outputs or in one message and no output."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reprior.cli import main
from reprior.photos import outputs

KINDS = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "TIFF": ("RGB", "RGBA", "CMYK", "I;16", "F", "I", "LAB"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("RGB", "L", "1"),
    "GIF": ("P", "L"),
}
SIZES = st.sampled_from(((16, 12), (16, 12), (8, 6), (12, 16), (24, 9), (70, 80), (1, 1)))
COLOURS = st.sampled_from(("black", "white", "grey"))


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """A picture file of any kind, with or without EXIF data, half of it of one colour."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    mode = draw(st.sampled_from(KINDS[kind]))
    size = draw(SIZES)
    picture = Image.new("RGB", size, draw(COLOURS))
    picture.paste(Image.new("RGB", size, draw(COLOURS)), (size[0] // 2, 0))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif mode != "LAB":
        picture = picture.convert("L").convert(mode) if mode in ("F", "I") else picture.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = draw(st.integers(0, 9))
    options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") and draw(st.booleans()) else {}
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A picture file, often cut off or with changed bytes; or no picture at all."""
    how = draw(st.sampled_from((*["whole"] * 6, "cut", "changed", "changed", "bytes", "text")))
    if how in ("bytes", "text"):
        return draw(st.binary(max_size=64)) if how == "bytes" else draw(st.text(max_size=64)).encode()
    content = bytearray(draw(pictures()))
    places = st.integers(0, len(content) - 1)
    if how == "cut":
        return bytes(content[: draw(places)])
    if how == "changed":
        for place in draw(st.lists(places, min_size=1, max_size=6)):
            content[place] = draw(st.integers(0, 255))
    return bytes(content)


def check_whole(out: Path) -> None:
    """Every file that the command writes is there, can be read, and no other."""
    assert not [path for path in out.rglob("*") if path.is_file() and path.name.startswith(".")]
    for path in out.glob("*.png"):
        if path.name != outputs.SHEET:  # left out here
            Image.open(path).load()
    assert {"index.html", "numbers.csv", "naive.png", "observation.png"} <= {path.name for path in out.iterdir()}
    assert json.loads((out / "numbers.json").read_text())[0]["method"] == "naive"
    assert (out / "index.html").read_text().rstrip().endswith("</html>")


def end_of(photo: bytes, mask: bytes, task: str, known: bool) -> str:
    """How the command ends: with a `message` or with `outputs`."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "photo.jpg").write_bytes(photo)
        (here / "mask.png").write_bytes(mask)
        options = ["--mask", str(here / "mask.png")] if task == "inpaint" else []
        options += ["--given"] if known else []
        command = ["restore", str(here / "photo.jpg"), "--task", task, *options, "--method", "naive"]
        try:
            main([*command, "--generator", "began-faces-drawn", "--device", "cpu", "--out", str(here / "out")])
        except SystemExit as left:
            assert str(left.code).startswith("reprior: ")
            assert {path.name for path in here.iterdir()} == {"photo.jpg", "mask.png"}
            return "message"
        check_whole(here / "out")
        return "outputs"


def test_each_broken_file_is_one_message_or_whole_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "write_sheet", lambda *_: None)  # it takes most of the time, and reads no user's file
    seen: Counter[str] = Counter()

    @settings(max_examples=200, deadline=None)
    @given(contents(), contents(), st.sampled_from(("inpaint", "inpaint", "denoise", "deblur")), st.booleans())
    def run(photo: bytes, mask: bytes, task: str, known: bool) -> None:
        seen[end_of(photo, mask, task, known)] += 1

    run()
    assert min(seen["message"], seen["outputs"]) > 10, seen  # otherwise little was tested
