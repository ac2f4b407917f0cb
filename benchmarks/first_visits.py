"""Four first visits, each from a fresh clone: how long until a newcomer has what she came for.

    python benchmarks/first_visits.py [--photo FACE.jpg] [--mirror FOLDER] [--visit photo]

Runs the commands that the documents name, prints each with its seconds, and checks what it made. It writes nothing into
this folder. The commands install packages, so they need the network or a cache. It prints the table of
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from reprior.datasets.faces_drawn import FacesDrawn

ROOT = Path(__file__).parents[1]
SOLVER = """\
import reprior


def my_solver(y, operator):
    return operator.A_dagger(y)


print(reprior.compare(my_solver, study="iagan", cases=["celeba-sr-x4"], scale="demo").table)
"""
OPERATOR = "operator: {name: block-average, scale: 4}", "operator: {name: my-blur}"


@dataclass
class Visit:
    """A visit to a fresh clone in a folder of its own, and the seconds of each command so far."""

    folder: Path
    face: Path
    options: str
    """Of `reprior restore`."""
    took: list[tuple[str, float]] = field(default_factory=list)

    @property
    def clone(self) -> Path:
        """The folder that the first command makes."""
        return self.folder / "reprior"

    def run(self, command: str) -> str:
        """Run a command of the shell, in the clone once that is there; return what it said."""
        began = time.monotonic()
        where = self.clone if self.clone.exists() else self.folder
        done = subprocess.run(command, shell=True, cwd=where, text=True, capture_output=True)
        self.took.append((command, time.monotonic() - began))
        if done.returncode:
            sys.exit(f"{command}\n{done.stdout}{done.stderr}\nended with {done.returncode}")
        return done.stdout

    def install(self) -> None:
        """The two commands that every visit begins with."""
        self.run(f"git clone --quiet {ROOT} reprior")
        self.run("make install")


def photo(visit: Visit) -> None:
    """A photo of one's own, restored by two methods."""
    visit.install()
    visit.run(f".venv/bin/reprior restore {visit.face} --task sr --factor 4 --method csgm,iagan{visit.options}")
    (page,) = (visit.clone / "restored").glob("*/index.html")
    check({"sheet.png", "csgm.png", "iagan.png"} <= {path.name for path in page.parent.iterdir()}, "pictures")


def plugin(visit: Visit) -> None:
    """An operator of one's own, outside the package, in the table of a study of one's own."""
    visit.install()
    visit.run(".venv/bin/reprior new operator my-blur")
    visit.run(".venv/bin/pytest -q my_plugins/tests")
    visit.run(".venv/bin/reprior new study my-study")
    study = visit.clone / "studies/my-study/study.yaml"
    theirs, mine = OPERATOR
    check(theirs in study.read_text(), "the operator of the template")
    study.write_text(study.read_text().replace(theirs, mine))  # an editor's work
    run = "snakemake --cores 2 --config studies=my-study 'plugins=[my_plugins]'"
    visit.run(f". .venv/bin/activate; {run}")
    results = visit.clone / "results/demo/my-study"
    check("Adjoint" in (results / "table.md").read_text(), "the table")
    records = [path.read_text() for path in results.glob("*/observation/.provenance/*.json")]
    check(bool(records) and all("my_plugins/operators/my_blur.py" in record for record in records), "the operator")


def solver(visit: Visit) -> None:
    """A solver of one's own beside all methods of a paper."""
    visit.install()
    (visit.clone / "my_solver.py").write_text(SOLVER)  # an editor's work
    table = visit.run(".venv/bin/python my_solver.py")
    check("| IAGAN |" in table and "| mine |" in table, "both methods in the table")


def notebook(visit: Visit) -> None:
    """The notebook, from its first cell to its last."""
    visit.install()
    visit.run(".venv/bin/pip install --quiet nbclient ipykernel")
    visit.run(".venv/bin/jupyter execute examples/notebook.ipynb")


def check(true: bool, what: str) -> None:
    """End with a message if a visit has not made what it should."""
    if not true:
        sys.exit(f"not found: {what}")


VISITS: dict[str, Callable[[Visit], None]] = {each.__name__: each for each in (photo, plugin, solver, notebook)}


def draw_face(path: Path) -> None:
    """A photo for a reader who names none."""
    pixels = FacesDrawn().load(["000003"])[0].transpose(1, 2, 0)
    Image.fromarray(np.uint8(255 * pixels)).resize((512, 512), Image.Resampling.BICUBIC).save(path)


def main() -> None:
    """Make the visits and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, help="a photo of a face (default: a drawn one)")
    parser.add_argument("--mirror", type=Path, help="a folder with downloads, as of `reprior restore --mirror`")
    parser.add_argument("--visit", choices=VISITS, action="append", help="only this visit; may be repeated")
    given = parser.parse_args()
    print("| visit | command | seconds |\n|---|---|---|")
    options = f" --mirror {given.mirror.resolve()}" if given.mirror else ""
    for name in given.visit or VISITS:
        with tempfile.TemporaryDirectory() as folder:
            face = given.photo.resolve() if given.photo else Path(folder, "face.jpg")
            if not given.photo:
                draw_face(face)
            visit = Visit(Path(folder), face, options)
            VISITS[name](visit)
        for command, seconds in visit.took:
            print(f"| {name} | `{command.replace(str(ROOT), 'URL').replace(folder, '~')}` | {seconds:.0f} |")
        total = sum(seconds for _, seconds in visit.took)
        print(f"| {name} | **all {len(visit.took)} commands** | **{total:.0f}** |", flush=True)


if __name__ == "__main__":
    main()
