"""The user's own folders of plug-ins. They are laid over the package: `operators/x.py` is `reprior.operators.x`."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from reprior.errors import UserError
from reprior.loading import PACKAGES

PACKAGE = Path(__file__).parents[1]
_KINDS = tuple(package.replace(".", "/") for package in PACKAGES.values())
_ABOVE = tuple(kind.partition("/")[0] for kind in _KINDS if "/" in kind)
_TESTS = "tests"
_used: tuple[Path, ...] = ()


def used() -> tuple[Path, ...]:
    """The folders in which this process also looks for plug-ins."""
    return _used


def modules() -> list[Path]:
    """Every Python file in these folders that an import finds."""
    return [path for folder in _used for path in _modules(folder)]


def use(folders: Iterable[Path]) -> None:
    """Look for plug-ins in these folders too, and in no others. UserError if they do not fit the package."""
    global _used
    found = tuple(dict.fromkeys(map(_from_here, folders)))
    for folder in found:
        _check_names(folder)
    _check_clashes(found)
    for package in PACKAGES.values():
        kind = package.replace(".", "/")
        inside = [str(folder.resolve() / kind) for folder in found if (folder / kind).is_dir()]
        if inside or _used:
            importlib.import_module(f"reprior.{package}").__path__[:] = [str(PACKAGE / kind), *inside]
    importlib.invalidate_caches()
    _used = found


def _from_here(folder: Path) -> Path:
    """The path from the working folder if it lies within, so that commands and records name no machine."""
    whole, here = Path(os.path.abspath(folder)), Path.cwd()  # noqa: PTH100 (`resolve` would follow links)
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def _check_names(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(
            f"plugins: there is no folder {folder}; make it (`reprior new operator NAME --plugins {folder}` does), or"
            " correct its path"
        )
    for path in _subfolders(folder):
        name = path.relative_to(folder).as_posix()
        if name not in (*_KINDS, *_ABOVE, _TESTS):
            near = difflib.get_close_matches(name, _KINDS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ";"
            raise UserError(f"{path}: is no folder of plug-ins{hint} known: {', '.join(_KINDS)}, {_TESTS}")
    for path in _modules(folder):
        if "-" in path.stem:
            raise UserError(f"{path}: Python cannot import this name; rename it to {path.name.replace('-', '_')}")


def _subfolders(folder: Path) -> Iterator[Path]:
    for place in (folder, *(folder / above for above in _ABOVE)):
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.is_dir() and not path.name.startswith((".", "__")):
                yield path


def _modules(folder: Path) -> Iterator[Path]:
    """Every Python file that an import finds in the folder."""
    for kind in _KINDS:
        own = folder / kind / "__init__.py"  # never run: the package has its own
        yield from (path for path in sorted((folder / kind).rglob("*.py")) if path != own)


def _check_clashes(folders: Iterable[Path]) -> None:
    owners = {_module(path, PACKAGE): path for path in _modules(PACKAGE)}
    for folder in folders:
        for path in _modules(folder):
            owner = owners.setdefault(_module(path, folder), path)
            if owner != path:
                raise UserError(f"{path}: has the name of {owner}; rename one of them")


def _module(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix().removesuffix("/__init__")
