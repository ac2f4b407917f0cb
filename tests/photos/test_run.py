"""`reprior restore`, as a user runs it."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from reprior.generators.began import BEGAN

Restore = Callable[..., Path]
FEW = ("--steps", 3)


def levels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def numbers(out: Path) -> dict[str, dict[str, str]]:
    with (out / "numbers.csv").open() as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def files(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_it_writes_pictures_numbers_a_sheet_and_one_page(restore: Restore, capsys: pytest.CaptureFixture[str]) -> None:
    out = restore("--task", "sr", "--factor", 4, "--method", "csgm,iagan,iagan-bp,bicubic", *FEW)
    pictures = {"truth.png", "observation.png", "csgm.png", "iagan.png", "iagan-bp.png", "bicubic.png"}
    kept = {f".kept/{name}.safetensors" for name in ("csgm", "iagan", "iagan-bp", "bicubic")}
    others = {"sheet.png", "numbers.csv", "numbers.json", "record.json", "index.html"}
    assert files(out) == pictures | kept | others
    assert np.array_equal(levels(out / "truth.png"), levels(Path("face.png")))
    assert levels(out / "observation.png").shape == (16, 16, 3)
    page = (out / "index.html").read_text()
    assert page.rstrip().endswith("</html>")
    assert len(re.findall(r'src="data:image/png', page)) == 6
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    said = capsys.readouterr()
    assert "face.png: read 64 x 64 pixels" in said.err
    assert said.out.strip() == str(out / "index.html")


def test_its_numbers_are_those_of_the_pictures(restore: Restore, capsys: pytest.CaptureFixture[str]) -> None:
    out = restore("--task", "inpaint", "--box", 16, 8, 20, 30, "--method", "naive")
    truth, estimate, seen = (levels(out / name).astype(float) / 255 for name in ("truth.png", "naive.png", "mask.png"))
    hidden = np.zeros((64, 64), bool)
    hidden[16:36, 8:38] = True
    assert np.array_equal(seen[..., 0] == 0, hidden)
    assert np.abs(estimate[hidden] - 0.5).max() < 0.003  # mid-grey where nothing is known
    assert np.array_equal(estimate[~hidden], truth[~hidden])
    assert (levels(out / "observation.png")[hidden] == 0).all()
    assert "hid 14.6% of its pixels" in capsys.readouterr().err  # 600 of 4096
    row = numbers(out)["naive"]
    assert float(row["residual"]) < 1e-6
    assert float(row["psnr"]) == pytest.approx(-10 * math.log10(np.square(estimate - truth).mean()), abs=0.05)
    assert json.loads((out / "numbers.json").read_text())[0]["psnr"] == pytest.approx(float(row["psnr"]))


def test_back_projection_removes_the_residual(restore: Restore) -> None:
    rows = numbers(restore("--task", "sr", "--method", "csgm,csgm-bp", *FEW))
    assert float(rows["csgm-bp"]["residual"]) < 0.1 * float(rows["csgm"]["residual"])


def test_noise_has_the_deviation_that_was_asked_for(restore: Restore) -> None:
    Image.new("RGB", (64, 64), (128, 128, 128)).save("grey.png")
    out = restore("--task", "denoise", "--noise", 0.05, "--method", "naive", photo="grey.png")
    assert (levels(out / "naive.png") / 255).std() == pytest.approx(0.05, rel=0.05)


def test_a_given_small_picture_is_taken_as_it_is(restore: Restore) -> None:
    small = Image.open("face.png").resize((16, 16))
    small.save("small.png")
    out = restore("--task", "sr", "--given", "--method", "bicubic", photo="small.png")
    assert np.array_equal(levels(out / "observation.png"), np.asarray(small))
    assert "truth.png" not in files(out)
    assert set(numbers(out)["bicubic"]) == {"method", "residual", "seconds", "status"}


def test_the_hole_of_a_given_photo_is_not_seen(restore: Restore) -> None:
    """Whatever colour fills the hole, the result is the same."""
    pixels = levels(Path("face.png")).copy()
    mask = np.full((64, 64), 255, np.uint8)
    mask[20:40, 20:40] = 0
    Image.fromarray(mask).save("mask.png")
    found = []
    for colour in (0, 255):
        pixels[20:40, 20:40] = colour
        Image.fromarray(pixels).save("holed.png")
        out = restore("--task", "inpaint", "--given", "--mask", "mask.png", "--method", "csgm", *FEW, photo="holed.png")
        found.append(levels(out / "csgm.png"))
    assert np.array_equal(*found)


@pytest.mark.parametrize("options", [("deblur", "--width", 5), ("cs", "--ratio", 0.02), ("deblur", "--given")])
def test_the_other_tasks_run(restore: Restore, options: tuple[object, ...]) -> None:
    out = restore("--task", *options, "--method", "csgm", *FEW)
    assert ("observation.png" in files(out)) == (options[0] != "cs")
    assert ("The observation is 246 numbers" in (out / "index.html").read_text()) == (options[0] == "cs")
    assert numbers(out)["csgm"]["status"] == "ok"


def test_the_same_command_computes_nothing_again(restore: Restore) -> None:
    command = ("--task", "sr", "--method", "csgm", *FEW)
    out = restore(*command)
    kept = out / ".kept/csgm.safetensors"
    first, pages = kept.stat().st_mtime_ns, (out / "csgm.png").read_bytes()
    restore(*command)
    assert kept.stat().st_mtime_ns == first
    assert (out / "csgm.png").read_bytes() == pages
    restore("--task", "sr", "--method", "csgm", "--steps", 4)
    assert kept.stat().st_mtime_ns != first


def test_results_of_another_photo_or_task_do_not_stay(restore: Restore) -> None:
    restore("--task", "sr", "--method", "csgm,bicubic", *FEW, "--out", "out")
    out = restore("--task", "denoise", "--method", "naive", "--out", "out")
    assert not {"csgm.png", "bicubic.png", ".kept/csgm.safetensors"} & files(out)


def test_the_seed_decides_the_draws(restore: Restore) -> None:
    found = [
        levels(restore("--task", "sr", "--method", "csgm", *FEW, "--seed", seed) / "csgm.png") for seed in (0, 1, 0)
    ]
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


def interrupt(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Send SIGINT in the given call of the generator."""
    calls, real = iter(range(10_000)), BEGAN.forward

    def forward(self: BEGAN, z: Tensor) -> Tensor:
        if next(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return real(self, z)

    monkeypatch.setattr(BEGAN, "forward", forward)


@pytest.mark.parametrize(("call", "done"), [(2, set()), (8, {"csgm"})])
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    restore: Restore, capsys: pytest.CaptureFixture[str], call: int, done: set[str]
) -> None:
    command = ("--task", "sr", "--method", "csgm,iagan", "--steps", 5)
    whole = restore(*command, "--out", "whole")
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, call)
        with pytest.raises(SystemExit) as left:
            restore(*command, "--out", "out")
    assert left.value.code == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    out = Path("out")
    assert {path.stem for path in out.glob("*.png")} - {"truth", "observation", "sheet"} == done
    assert ("index.html" in files(out)) == bool(done)
    assert [path.name for path in (out / ".kept").glob("*.checkpoint")] == [f"{'iagan' if done else 'csgm'}.checkpoint"]
    restore(*command, "--out", "out")
    assert "going on from" in capsys.readouterr().err
    assert files(out) == files(whole)
    assert np.array_equal(levels(out / "iagan.png"), levels(whole / "iagan.png"))


def test_weights_that_are_not_there_are_replaced_with_a_warning(
    restore: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    out = restore("--task", "sr", "--method", "csgm", *FEW, "--offline", generator="began-celeba-64")
    said = capsys.readouterr().err
    assert "netG_200000.pth" in said
    assert "the bundled began-faces-drawn is used instead" in said
    assert "trained on faces that a program drew" in (out / "index.html").read_text()
    assert json.loads((out / "record.json").read_text())["generator"] == "began-faces-drawn"


def test_without_a_method_that_needs_it_no_generator_is_fetched(
    restore: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    out = restore("--task", "sr", "--method", "bicubic", "--offline", generator="began-celeba-128")
    assert "could not be fetched" not in capsys.readouterr().err
    assert levels(out / "bicubic.png").shape == (128, 128, 3)  # the size is the generator's all the same


def test_a_generator_of_grey_images_gets_a_grey_photo(restore: Restore) -> None:
    out = restore("--task", "denoise", "--method", "csgm", *FEW, generator="npgd-digits-drawn")
    assert Image.open(out / "truth.png").mode == "L"
    assert Image.open(out / "csgm.png").size == (28, 28)


def test_a_small_photo_is_enlarged_with_a_warning(restore: Restore, capsys: pytest.CaptureFixture[str]) -> None:
    Image.open("face.png").resize((20, 30)).save("small.png")
    restore("--task", "sr", "--method", "bicubic", photo="small.png")
    said = capsys.readouterr().err
    assert "cropped to 20 x 20 from row 5 and column 0, resized to 64 x 64" in said
    assert "warning: the photo was enlarged from 20 to 64 pixels" in said


def test_a_black_photo_has_no_residual(restore: Restore) -> None:
    Image.new("RGB", (64, 64)).save("black.png")
    out = restore("--task", "sr", "--method", "bicubic", photo="black.png")
    assert numbers(out)["bicubic"]["residual"] == "nan"
    assert json.loads((out / "numbers.json").read_text())[0]["residual"] == "nan"


def test_a_name_is_shown_as_text(restore: Restore) -> None:
    shutil.copy("face.png", "<b>&.png")
    out = restore("--task", "denoise", "--method", "naive", photo="<b>&.png")
    assert "<h1>&lt;b&gt;&amp;.png: denoising</h1>" in (out / "index.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("cs", "--given"), "a photo cannot be compressed measurements"),
        (("sr", "--ratio", 0.1), "--ratio: belongs to --task cs, not to sr"),
        (("inpaint",), "give either --mask FILE or --box"),
        (("inpaint", "--mask", "face.png", "--box", 1, 1, 1, 1), "give either --mask FILE or --box"),
        (("inpaint", "--mask", "missing.png"), "missing.png: there is no such file; give the path of a mask"),
        (("sr", "--factor", 3), "scale 3 does not divide images of 64 x 64"),
        (("sr", "--factor", 0), "--factor 0: must be at least 1"),
        (("deblur", "--width", 4), "width 4 is even"),
        (("cs", "--ratio", 0), "--ratio 0.0: must be above 0"),
        (("cs", "--ratio", "nan"), "--ratio nan: must be above 0"),
        (("denoise", "--noise", -1), "--noise -1.0: must be 0 or more"),
        (("sr", "--method", "csgn"), "did you mean 'csgm'"),
        (("sr", "--method", ","), "names no method"),
        (("sr", "--method", "npgd"), "also needs projector"),
        (("sr", "--method", "csgm", "--steps", 0), "steps: input should be greater than or equal to 1"),
        (("sr", "--generator", "began"), "there are no weights of this name"),
        (("sr", "--crop", 0, 0, 65), "is not within face.png"),
        (("sr", "--out", "face.png"), "face.png: is a file"),
        (("sr", "--out", "/proc/nothing/here"), "give another folder with --out"),
        (("sr", "--out", "."), "holds other files, such as face.png"),
        (("denoise", "--method", "bicubic"), "needs an operator that downsamples"),
    ],
)
def test_a_mistake_is_one_message_and_no_file(restore: Restore, options: tuple[object, ...], message: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(message)) as left:
        restore("--task", *options)
    assert str(left.value).startswith("reprior: ")
    assert files(Path()) == {"face.png"}
