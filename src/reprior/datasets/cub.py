"""The two releases of Caltech-UCSD Birds 200: which photographs they hold, and where the bird is in each.

Both name a photograph `<number>.<species>/<name>.jpg`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath

from reprior.acquire.archives import Archive, open_archive
from reprior.errors import UserError

Bounds = tuple[int, int, int, int]
"""A bounding box: left, top, width, height."""


class Release2011:
    """One archive with everything."""

    folder = "CUB_200_2011/images/"

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def images(self) -> Archive:
        """The archive of the photographs."""
        return open_archive(self.path)

    def files(self, partition: str) -> list[str]:
        """The photographs of a partition, in the official order."""
        code = {"train": ["1"], "test": ["0"]}[partition]
        with _understood(self.path):
            names, codes, _ = self._lists
            return [name for number, (name,) in names.items() if codes[number] == code]

    def bounds(self, files: Sequence[str]) -> dict[str, Bounds]:
        """The bounding box of each photograph."""
        with _understood(self.path):
            names, _, boxes = self._lists
            numbers = {name: number for number, (name,) in names.items()}
            return {file: _whole(boxes[numbers[file]]) for file in files}

    @cached_property
    def _lists(self) -> list[dict[str, list[str]]]:
        """Names, partitions and boxes by the number of the photograph; read together, in one pass."""
        members = [f"CUB_200_2011/{name}.txt" for name in ("images", "train_test_split", "bounding_boxes")]
        contents = self.images.read(members)
        return [_table(contents[member]) for member in members]


class Release2010:
    """Three archives: the photographs, the lists, and one annotation per photograph."""

    folder = "images/"

    def __init__(self, images: Path, lists: Path, annotations: Path) -> None:
        self.paths = {"images": images, "lists": lists, "annotations": annotations}

    @cached_property
    def images(self) -> Archive:
        """The archive of the photographs."""
        return open_archive(self.paths["images"])

    def files(self, partition: str) -> list[str]:
        """The photographs of a partition, in the official order."""
        member = f"lists/{partition}.txt"
        content = open_archive(self.paths["lists"]).read([member])[member]
        with _understood(self.paths["lists"]):
            return content.decode().split()

    def bounds(self, files: Sequence[str]) -> dict[str, Bounds]:
        """The bounding box of each photograph."""
        members = {file: f"annotations-mat/{PurePosixPath(file).with_suffix('.mat')}" for file in files}
        contents = open_archive(self.paths["annotations"]).read(members.values())
        with _understood(self.paths["annotations"]):
            return {file: _annotated(contents[member]) for file, member in members.items()}


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a damaged annotation can make SciPy raise anything
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: does not hold what CUB-200 does ({error!r}); remove it and fetch it again") from error


def _table(content: bytes) -> dict[str, list[str]]:
    """Lines `<number> <entry> ...` by their number."""
    rows = (line.split() for line in content.decode().splitlines())
    return {number: entries for number, *entries in rows}


def _whole(numbers: Sequence[str]) -> Bounds:
    """The numbers as integers, truncated as in GlowIP."""
    left, top, width, height = (int(float(number)) for number in numbers)
    return left, top, width, height


def _annotated(content: bytes) -> Bounds:
    """The bounds from a Matlab file. Its `bbox` holds the positions of the four sides."""
    from scipy.io import loadmat

    box = loadmat(BytesIO(content), squeeze_me=True, variable_names=["bbox"])["bbox"]
    left, right = sorted((int(box["left"]), int(box["right"])))
    # Users of the data set disagree on which of these two is the upper one.
    top, bottom = sorted((int(box["top"]), int(box["bottom"])))
    return left, top, right - left, bottom - top
