"""Made-up studies on disk: drawn noise pictures, made-up numbers, a gap, a diverged image, no LPIPS."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from reprior.machine.files import save_arrays, write_json
from reprior.render import style
from reprior.render.artifact import render
from reprior.render.report import build

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprior.render.context import Context
    from reprior.render.style import Mark

METHODS = {
    "bicubic": "Bicubic",
    "naive": "Naive IFFT",
    "csgm": "CSGM",
    "csgm-bp": "CSGM-BP",
    "iagan": "IAGAN",
    "iagan-bp": "IAGAN <BP> & co",
}
CASES = ["sr-x4", "fourier-30", "no-weights"]
PSNR = {"bicubic": 22.0, "naive": 15.0, "csgm": 19.0, "csgm-bp": 21.5, "iagan": 25.0, "iagan-bp": 25.5}
BATCHES = ("0000-0001", "0002-0003")
NO_LPIPS = "needs the file alexnet-owt-7be5be79.pth in data/raw/lpips/"
REPORTED = """artifact,case,method,metric,value,note
table,sr-x4,csgm,psnr,20.51,
table,sr-x4,csgm,lpips,0.235,
table,sr-x4,iagan,psnr,27.16,
table,fourier-30,naive,psnr,19.23,not reproducible
table,no-weights,csgm,psnr,21.38,
other,sr-x4,bicubic,psnr,99,of another artifact
"""
JUDGED = """table,sr-x4,bicubic,psnr,26.50,
table,sr-x4,csgm-bp,psnr,18.20,
table,fourier-30,csgm,psnr,20.12,
table,fourier-30,csgm,ssim,0.50,
table,fourier-30,iagan,psnr,25.50,
times,sr-x4,csgm,seconds,30,
times,sr-x4,iagan,seconds,100,
"""
"""More numbers of the paper, so that each verdict occurs."""
DEMO = {"scale": "demo", "scale_title": "Demo scale", "comparable": False, "note": "drawn data: not comparable"}
FULL = {"scale": "full", "scale_title": "Full scale", "comparable": True, "note": ""}


class MadeUp:
    """A study whose every number and picture is known."""

    def __init__(self, root: Path, size: int = 24, scale: dict[str, Any] = DEMO) -> None:
        self.root, self.size, self.scale = root, size, scale
        self.report = root / "report/index.html"
        self.folder = root / "results/demo/made-up"
        self.ids = [f"face-{i}" for i in range(4)]
        self.rng = np.random.default_rng(0)
        self.cases: dict[str, Any] = {}
        self.reported = root / "reported.csv"
        self.reported.write_text(REPORTED + (JUDGED if scale["comparable"] else ""))
        self._images()
        sr = {"name": "bicubic", "scale": 4}
        self.add("sr-x4", "Faces, SR ×4", sr, ["bicubic", "csgm", "csgm-bp", "iagan", "iagan-bp"], diverged=True)
        fourier = {"name": "fourier", "ratio": 0.3}
        self.add("fourier-30", "Faces, Fourier 30% & noise", fourier, ["naive", "csgm", "iagan"], noise=10 / 255)
        for ratio in (0.05, 0.2, 0.6):
            spec = {"name": "gaussian", "ratio": ratio}
            self.add(f"gaussian-{ratio}", f"Faces, m/n = {ratio}", spec, ["csgm", "iagan"], gain=6 * ratio)
        self.add("no-weights", "Faces HQ", sr, ["csgm", "iagan"], gap="no public weights of pggan")

    def add(
        self,
        name: str,
        label: str,
        operator: dict[str, Any],
        methods: list[str],
        noise: float = 0.0,
        gain: float = 0.0,
        gap: str | None = None,
        diverged: bool = False,
    ) -> None:
        self.cases[name] = {
            "label": label,
            "dataset": {"name": "faces-drawn"},
            "generator": "began",
            "operator": operator,
            "noise": noise,
            "gap": gap,
            "gaps": {},
            "count": 4,
            "batches": list(BATCHES),
            "images": [str(self.root / f"data/{batch}.safetensors") for batch in BATCHES],
            "methods": {method: {"plugin": method, "settings": {"steps": 100, "lr": 0.1}} for method in methods},
        }
        for batch in () if gap else BATCHES:
            self._observation(name, operator, batch)
            for method in methods:
                self._cell(name, method, batch, PSNR[method] + gain, diverged and method == "iagan")

    def _span(self, batch: str) -> slice:
        first, last = map(int, batch.split("-"))
        return slice(first, last + 1)

    def _images(self) -> None:
        axis = np.linspace(0, 1, self.size, dtype=np.float32)
        ramp = np.stack([np.outer(axis, axis), np.outer(axis, 1 - axis), np.outer(1 - axis, axis)])
        self.truth = np.stack([np.roll(ramp, i, axis=0) for i in range(4)]).astype(np.float32)
        for batch in BATCHES:
            span = self._span(batch)
            path = self.root / f"data/{batch}.safetensors"
            save_arrays(path, {"images": self.truth[span]}, {"ids": self.ids[span]})

    def _observation(self, case: str, operator: dict[str, Any], batch: str) -> None:
        span = self._span(batch)
        arrays = {"y": np.zeros((2, 3), np.float32)}
        if operator["name"] == "bicubic":
            arrays["picture"] = self.truth[span, :, ::4, ::4]
        if operator["name"] == "fourier":
            arrays["mask"] = np.arange(self.size**2).reshape(self.size, self.size) < 0.3 * self.size**2
        save_arrays(self.folder / case / "observation" / f"{batch}.safetensors", arrays, {"ids": self.ids[span]})

    def _cell(self, case: str, method: str, batch: str, psnr: float, diverged: bool) -> None:
        span = self._span(batch)
        place = self.folder / case / method / batch
        noise = self.rng.standard_normal(self.truth[span].shape) * 10 ** (-psnr / 20)
        save_arrays(f"{place}.safetensors", {"images": (self.truth[span] + noise).astype(np.float32)})
        status = ["diverged" if diverged and image == "face-2" else "ok" for image in self.ids[span]]
        record = {
            "study": "made-up",
            "case": case,
            "method": method,
            "ids": self.ids[span],
            "status": status,
            "plugin": method,
            "settings": {"steps": 100, "lr": 0.1, "note": "<script>alert(1)</script>"},
            "generator": {"name": "began", "size": 64} if method != "bicubic" else None,
            "starts": {},
            "seconds": 3.0,
            "seconds_per_image": 1.5,
            "peak_memory_mib": 400.0,
            "device": "cpu (x86_64)",
            "command": f"python -m reprior reconstruct --case {case} --method '{method}' --batch {batch}",
            "startup_seconds": 3.0,
            "versions": {"reprior": "0.1", "torch": "2.0"},
        }
        write_json(f"{place}.json", record)
        self._numbers(place, case, method, self.ids[span], psnr)

    def _numbers(self, place: Path, case: str, method: str, ids: list[str], psnr: float) -> None:
        with Path(f"{place}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["study", "case", "method", "image", "metric", "value"])
            for image in ids:
                own = psnr + self.ids.index(image)
                values = {"mse": 10 ** (-own / 10), "psnr": own, "ssim": 0.5, "seconds": 1.5, "memory_mib": 400.0}
                writer.writerows(["made-up", case, method, image, metric, value] for metric, value in values.items())

    def spec(self, kind: str, artifact: str, **settings: Any) -> dict[str, Any]:
        return {
            "study": "made-up",
            "study_title": "A made-up study",
            "artifact": artifact,
            "kind": kind,
            **self.scale,
            "settings": {"title": f"The {artifact}", "caption": "", **settings},
            "methods": {method: {"label": METHODS[method]} for method in settings.get("methods", ())},
            "cases": {case: self.cases[case] for case in settings["cases"]},
            "metric_gaps": {"lpips-alex": NO_LPIPS},
            "folder": str(self.folder),
        }

    def render(self, kind: str, artifact: str, changes: dict[str, Any] | None = None, **settings: Any) -> Path:
        """Render and return the path without suffix."""
        out = self.folder / artifact
        render({**self.spec(kind, artifact, **settings), **(changes or {})}, self.reported, out)
        return out

    def everything(self) -> list[Path]:
        """Render one artifact of each kind; return their sidecars."""
        gaussian = [case for case in self.cases if case.startswith("gaussian")]
        every = list(METHODS)
        made = [
            self.render("table", "table", cases=CASES, methods=every, metrics=["psnr", "lpips"]),
            self.render("sweep", "sweep", cases=gaussian, methods=["csgm", "iagan"]),
            self.render("grid", "grid", cases=CASES, methods=every, pictures=3),
            self.render("masks", "masks", cases=["fourier-30"]),
        ]
        return [path.with_name(f"{path.name}.json") for path in made]


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUp:
    """A fresh made-up study."""
    return MadeUp(tmp_path)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Figure, list[str]]]:
    """Collects every figure and its notes instead of writing its files, which takes most of the time.

    A mark is then where its axes have it.
    """
    made: list[tuple[Figure, list[str]]] = []

    def kept(context: Context, figure: Figure, notes: Iterable[str] = (), marks: Sequence[Mark] = ()) -> list[Any]:
        made.append((figure, list(notes)))
        pyplot.close(figure)
        return [{"x": mark.x, "y": mark.y, "text": mark.text} for mark in marks]

    from matplotlib import pyplot

    monkeypatch.setattr(style, "save", kept)
    return made


@pytest.fixture
def comparable(tmp_path: Path) -> MadeUp:
    """A fresh made-up study at a scale that is compared with the paper."""
    return MadeUp(tmp_path, scale=FULL)


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """A made-up study at the papers' scale, with every verdict in its report. Do not change it."""
    study = MadeUp(tmp_path_factory.mktemp("judged"), scale=FULL)
    tables = [
        study.render("table", "table", cases=CASES, methods=list(METHODS), metrics=["psnr", "ssim", "lpips"]),
        study.render("table", "times", cases=CASES[:1], methods=["csgm", "iagan"], metrics=["seconds"]),
    ]
    sidecars = [path.with_name(f"{path.name}.json") for path in tables]
    build(sidecars, study.report, "snakemake --cores 2 --config scale=full")
    return study


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """A made-up study with one artifact of each kind and the report. Do not change it."""
    study = MadeUp(tmp_path_factory.mktemp("rendered"))
    build(study.everything(), study.report, "snakemake --cores 2 <all>")
    return study
