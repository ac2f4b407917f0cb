"""Hash of the code a job runs, so that an edit reruns the jobs that it can change, and no others.

It is computed from source without importing anything, because planning must not wait for torch. It leaves out what no
result depends on: comments, layout, docstrings, `pass`, constants that only a plan reads, and code under `if
TYPE_CHECKING:`. Plug-ins are imported by name at run time, which the source does not show. Callers give them as roots.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path
from typing import Any

from reprior.planning import plugin_folders
from reprior.planning.plugins import parsed

DIGITS = 16
"""Hex digits of the hash: 64 bits distinguish any two versions and keep command lines readable."""
_NO_DATA = (".py", ".pyc", ".safetensors")  # weights are inputs of the rules that use them
# For planning: no result depends on them.
_PLANNED = (
    "__version__",
    "CHANNELS",
    "DESIGNED_FOR_GENERATOR",
    "IMAGES_PER_JOB",
    "KEEPS_FEATURES",
    "PACKAGE",
    "PUBLISHED",
    "TAKES_LONG",
)
_SILENT = ("ctx", "kind")  # fields of a syntax tree that add no meaning
_VOID = ("None", "[]")  # texts of empty fields, which differ between versions of Python


@dataclass(frozen=True)
class _Module:
    digest: str
    imports: frozenset[str]


class Package:
    """The modules of one package, given its name and the folder of its `__init__.py`. Each is read once.

    Modules may also lie in `others`: folders that are laid over that of the package.
    """

    def __init__(self, name: str, folder: Path, *others: Path) -> None:
        self.name, self.folder, self.others = name, folder, others
        self._module = cache(self._read)

    def fingerprint(self, *roots: str) -> str:
        """Hash of these modules, of all modules that they import, and of the data files that these name."""
        lines = (f"{name} {self._module(name).digest}\n" for name in self.modules(*roots))
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:DIGITS]

    def modules(self, *roots: str) -> tuple[str, ...]:
        """These modules and all modules of the package that they import, directly or not; sorted."""
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._module(name).imports
        return tuple(sorted(found))

    def outside(self, *roots: str) -> tuple[Path, ...]:
        """The files of these modules, and of all that they import, that lie in the other folders."""
        files = (self._file(module) for module in self.modules(*roots))
        return tuple(file for file in files if file and any(file.is_relative_to(other) for other in self.others))

    def _file(self, module: str) -> Path | None:
        """The source file of a module; None if the name is not a module of the package, for example a function."""
        first, *rest = module.split(".")
        paths = [folder.joinpath(*rest) for folder in (self.folder, *self.others)]
        files = (file for path in paths for file in (path / "__init__.py", path.with_name(f"{path.name}.py")))
        return next((file for file in files if first == self.name and file.is_file()), None)

    def _read(self, name: str) -> _Module:
        path = self._file(name)
        if path is None:
            raise ModuleNotFoundError(f"{name}: there is no such module of {self.name} in {self.folder}")
        reader = _Reader()
        digest = hashlib.sha256(reader.text(parsed(path)).encode())
        for file in _data_files(path.parent, reader.strings):
            digest.update(f"\n{file.relative_to(path.parent).as_posix()} ".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        named = {name, *(target for node in reader.imports for target in _targets(node, package))}
        # `a.b.c`, `a.b`, `a`: Python runs the `__init__` of each parent package
        reached = {part for target in named for part in accumulate(target.split("."), "{}.{}".format)}
        return _Module(digest.hexdigest(), frozenset(part for part in reached if self._file(part)))


class _Reader:
    """Turns a syntax tree into text and collects its imports and strings."""

    def __init__(self) -> None:
        self.imports: list[ast.Import | ast.ImportFrom] = []
        self.strings: set[str] = set()

    def text(self, node: Any) -> str:
        """The tree as text. Unlike `ast.dump` and `ast.unparse`, it is the same in every version of Python."""
        if isinstance(node, list):
            return f"[{','.join([self.text(item) for item in _effective(node)])}]"
        if not isinstance(node, ast.AST):
            return ascii(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imports.append(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.strings.add(node.value)
        elif isinstance(node, ast.JoinedStr):  # some versions of Python add empty strings to f-strings
            node.values = [part for part in node.values if getattr(part, "value", None) != ""]
        fields = [(name, self.text(getattr(node, name, None))) for name in node._fields if name not in _SILENT]
        return f"{type(node).__name__}({','.join([f'{name}={text}' for name, text in fields if text not in _VOID])})"


def _effective(items: Iterable[Any]) -> Iterator[Any]:
    """The items without statements that do nothing."""
    for item in items:
        if isinstance(item, ast.If) and _name(item.test) == "TYPE_CHECKING":
            yield from _effective(item.orelse)
        elif isinstance(item, ast.Assign) and _name(item.targets[0]) in _PLANNED:
            continue
        elif not isinstance(item, ast.Pass) and not (
            isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
        ):
            yield item


def _name(node: ast.expr) -> str:
    """`x` for `x` and for `y.x`."""
    return getattr(node, "id", "") or getattr(node, "attr", "")


def _targets(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    """Full names of what an import statement of a module in `package` imports."""
    if isinstance(node, ast.Import):
        return (alias.name for alias in node.names)
    source = resolve_name("." * node.level + (node.module or ""), package)
    return (f"{source}.{alias.name}" for alias in node.names)


def _data_files(folder: Path, strings: Iterable[str]) -> list[Path]:
    """Data files that a module's strings name (`x`, `x/...`): files next to it, and those in folders without code."""
    named = {string.partition("/")[0] for string in strings}
    found: list[Path] = []
    for entry in folder.iterdir():
        if entry.name in named and not any(entry.glob("*.py")):
            found += [entry, *entry.rglob("*")]
    hashed = (file for file in found if file.suffix not in _NO_DATA and not file.name.startswith("."))
    return sorted(file for file in hashed if file.is_file())


@cache
def _reprior(folders: tuple[Path, ...]) -> Package:
    return Package("reprior", plugin_folders.PACKAGE, *folders)


@cache
def _fingerprint(folders: tuple[Path, ...], roots: tuple[str, ...]) -> str:
    return _reprior(folders).fingerprint(*roots)


@cache
def _outside(folders: tuple[Path, ...], roots: tuple[str, ...]) -> tuple[Path, ...]:
    return _reprior(folders).outside(*roots) if folders else ()


def code_fingerprint(*roots: str) -> str:
    """As `Package.fingerprint`, of reprior and the user's folders of plug-ins."""
    return _fingerprint(plugin_folders.used(), roots)


def modules_of(*roots: str) -> tuple[str, ...]:
    """As `Package.modules`, of reprior and the user's folders of plug-ins."""
    return _reprior(plugin_folders.used()).modules(*roots)


def outside_files(*roots: str) -> tuple[Path, ...]:
    """The user's own files among these modules and all that they import."""
    return _outside(plugin_folders.used(), roots)
