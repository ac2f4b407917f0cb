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
    """A visit to a fresh clone, and the seconds of each command so far."""

    folder: Path
    took: list[tuple[str, float]] = field(default_factory=list)

    def run(self, command: str) -> str:
        """Run a command of the shell in the clone; return what it said."""
        began = time.monotonic()
        done = subprocess.run(command, shell=True, cwd=self.folder, text=True, capture_output=True)
        self.took.append((command, time.monotonic() - began))
        if done.returncode:
            sys.exit(f"{command}\n{done.stdout}{done.stderr}\nended with {done.returncode}")
        return done.stdout

    def install(self) -> None:
        """The two commands that every visit begins with."""
        clone, self.folder = self.folder, self.folder.parent
        self.run(f"git clone --quiet {ROOT} {clone.name}")
        self.folder = clone
        self.run("make install")


def photo(visit: Visit, face: Path, mirror: str) -> None:
    """A photo of one's own, restored by two methods."""
    visit.install()
    visit.run(f".venv/bin/reprior restore {face} --task sr --factor 4 --method csgm,iagan{mirror}")
    assert list((visit.folder / "restored").glob("*/index.html"))


def plugin(visit: Visit, face: Path, mirror: str) -> None:
    """An operator of one's own, outside the package, in the table of a study of one's own."""
    visit.install()
    visit.run(".venv/bin/reprior new operator my-blur")
    visit.run(".venv/bin/pytest -q my_plugins/tests")
    visit.run(".venv/bin/reprior new study my-study")
    study = visit.folder / "studies/my-study/study.yaml"
    study.write_text(study.read_text().replace(*OPERATOR))  # an editor's work
    run = "snakemake --cores 2 --config studies=my-study 'plugins=[my_plugins]'"
    visit.run(f". .venv/bin/activate; {run}")
    assert "Adjoint" in (visit.folder / "results/demo/my-study/table.md").read_text()


def solver(visit: Visit, face: Path, mirror: str) -> None:
    """A solver of one's own beside all methods of a paper."""
    visit.install()
    (visit.folder / "my_solver.py").write_text(SOLVER)  # an editor's work
    table = visit.run(".venv/bin/python my_solver.py")
    assert "mine" in table
    assert "IAGAN" in table


def notebook(visit: Visit, face: Path, mirror: str) -> None:
    """The notebook, from its first cell to its last."""
    visit.install()
    visit.run(".venv/bin/pip install --quiet nbclient ipykernel")
    visit.run(".venv/bin/jupyter execute examples/notebook.ipynb")


VISITS: dict[str, Callable[[Visit, Path, str], None]] = {
    visit.__name__: visit for visit in (photo, plugin, solver, notebook)
}


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
    for name in given.visit or VISITS:
        with tempfile.TemporaryDirectory() as folder:
            face = given.photo.resolve() if given.photo else Path(folder, "face.jpg")
            if not given.photo:
                draw_face(face)
            visit = Visit(Path(folder, "reprior"))
            VISITS[name](visit, face, f" --mirror {given.mirror.resolve()}" if given.mirror else "")
            for command, seconds in visit.took:
                print(f"| {name} | `{command.replace(str(ROOT), 'URL').replace(folder, '~')}` | {seconds:.0f} |")
            print(f"| {name} | **all {len(visit.took)} commands** | **{sum(took for _, took in visit.took):.0f}** |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
