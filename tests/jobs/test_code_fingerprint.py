"""The fingerprint changes if a result can change, and only then."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprior.errors import UserError
from reprior.jobs.code_fingerprint import Package, code_fingerprint, modules_of

FILES = {
    "__init__.py": '"""A package."""\n__version__ = "1.0"\n',
    "method.py": '''
        """A method."""
        from typing import TYPE_CHECKING

        import numpy
        from made.loop import minimise
        from . import near
        from .deep import far as distant

        if TYPE_CHECKING:
            from made.typed import Thing

        STEPS = 10
        """How many."""


        def method(x: "Thing"):
            """Solve it."""
            from made.lazy import slow

            return minimise(slow(x), STEPS, near.factor)
        ''',
    "loop.py": "from made import second\ndef minimise(*args):\n    return second.done(args)\n",
    "second.py": "def done(args):\n    import made.deep.deeper\n    return args\n",
    "near.py": "factor = 2\n",
    "lazy.py": "def slow(x):\n    return x\n",
    "typed.py": "class Thing:\n    size = 1\n",
    "other.py": "unused = 1\n",
    "deep/__init__.py": "ready = True\n",
    "deep/far.py": "from ..ring import ring\n",
    "deep/deeper.py": "bottom = 1\n",
    "ring.py": "import made.near\nfrom made.back import back\nring = 1\n",
    "back.py": "from made.ring import ring\nback = 1\n",
    "pages.py": """
        def page(name, loader):
            return loader("pages-of/" + name), loader(f"texts/{name}"), open("table.yaml"), "deep", "", "..", "weights"
        """,
    "table.yaml": "a: 1\n",
    "unnamed.yaml": "a: 1\n",
    "deep/data.yaml": "a: 1\n",
    "pages-of/inner/page.html": "<p>1</p>\n",
    "texts/text.txt": "1\n",
    "weights/bundled.safetensors": "1\n",
}
BY_METHOD = ("made", "made.back", "made.deep", "made.deep.deeper", "made.deep.far", "made.lazy", "made.loop")
BY_METHOD += ("made.method", "made.near", "made.ring", "made.second")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A made-up package, `made`."""
    for name, text in FILES.items():
        write(tmp_path / "made" / name, text)
    return tmp_path / "made"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")


def of(folder: Path, *roots: str) -> str:
    """The fingerprint as a new process computes it."""
    return Package("made", folder).fingerprint(*roots)


@pytest.fixture
def changed(folder: Path) -> Callable[..., bool]:
    """Tells whether replacing a text in a file changes the fingerprint of a module."""

    def changed(root: str, file: str, old: str, new: str) -> bool:
        before, text = of(folder, root), (folder / file).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        return of(folder, root) != before

    return changed


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("method.py", '"""A method."""', '"""A better\n\nmethod."""'),
        ("method.py", '"""A method."""', "# a comment"),
        ("method.py", '"""How many."""', ""),
        ("method.py", '"""Solve it."""', "pass"),
        ("method.py", "STEPS = 10", "\n\nSTEPS   =   (10  # ten\n)\n"),
        ("method.py", "minimise(slow(x), STEPS, near.factor)", "minimise(\n  slow(x),\n  STEPS, near.factor,\n )"),
        ("method.py", "from made.typed import Thing", "from made.typed import Thing, Other"),
        ("near.py", "factor = 2\n", "factor = 2  # twice \N{GREEK SMALL LETTER ALPHA}\r\n\r\n"),
        ("typed.py", "size = 1", "size = 2"),
        ("other.py", "unused = 1", "unused = 2"),
        ("__init__.py", '__version__ = "1.0"', '__version__ = "1.1"'),
        ("unnamed.yaml", "a: 1", "a: 2"),
        ("table.yaml", "a: 1", "a: 2"),
    ],
)
def test_what_no_result_depends_on_changes_nothing(changed: Callable[..., bool], file: str, old: str, new: str) -> None:
    assert not changed("made.method", file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param("method.py", "STEPS = 10", "STEPS = 11", id="itself"),
        pytest.param("method.py", "STEPS = 10", "STEPS = 10.0", id="another type"),
        pytest.param("method.py", "STEPS = 10", "STEPS = '10'", id="a string"),
        pytest.param("method.py", "slow(x), STEPS", "STEPS, slow(x)", id="order"),
        pytest.param("loop.py", "return second", "return not second", id="imported"),
        pytest.param("second.py", "return args", "return None", id="imported by what is imported"),
        pytest.param("deep/deeper.py", "bottom = 1", "bottom = 2", id="far away"),
        pytest.param("near.py", "factor = 2", "factor = 3", id="relative"),
        pytest.param("deep/far.py", "ring import", "lazy import", id="relative, in a package"),
        pytest.param("lazy.py", "return x", "return -x", id="within a function"),
        pytest.param("deep/__init__.py", "True", "False", id="package on the way"),
        pytest.param("__init__.py", "__version__", "ready = 1; __version__", id="top package"),
        pytest.param("back.py", "back = 1", "back = 2", id="import cycle"),
    ],
)
def test_code_that_a_result_depends_on_changes_it(changed: Callable[..., bool], file: str, old: str, new: str) -> None:
    assert changed("made.method", file, old, new)


@pytest.mark.parametrize("file", ["table.yaml", "pages-of/inner/page.html", "texts/text.txt"])
def test_a_data_file_that_a_module_names_changes_it(changed: Callable[..., bool], file: str) -> None:
    assert changed("made.pages", file, "1", "2")


@pytest.mark.parametrize("file", ["unnamed.yaml", "near.py", "deep/data.yaml", "weights/bundled.safetensors"])
def test_other_files_beside_a_module_and_weights_do_not(folder: Path, file: str) -> None:
    before = of(folder, "made.pages")
    write(folder / file, "changed = 1\n")
    assert of(folder, "made.pages") == before


def test_another_file_in_a_data_folder_changes_it_and_an_editors_backup_does_not(folder: Path) -> None:
    before = of(folder, "made.pages")
    write(folder / "pages-of" / ".page.html.swp", "2")
    assert of(folder, "made.pages") == before
    (folder / "pages-of" / "inner" / "page.html").rename(folder / "pages-of" / "page.html")
    assert of(folder, "made.pages") != before


def test_modules_are_those_that_are_imported_directly_or_not(folder: Path) -> None:
    assert Package("made", folder).modules("made.method") == BY_METHOD
    assert Package("made", folder).modules("made.back") == ("made", "made.back", "made.near", "made.ring")


def test_a_process_reads_each_module_once(folder: Path) -> None:
    package = Package("made", folder)
    before = package.fingerprint("made.method")
    write(folder / "near.py", "factor = 3\n")
    assert package.fingerprint("made.near", "made.method") == before != of(folder, "made.method")


def test_several_roots_have_one_fingerprint_whatever_their_order(folder: Path) -> None:
    package = Package("made", folder)
    both = package.fingerprint("made.other", "made.near")
    assert both == package.fingerprint("made.near", "made.other", "made.near")
    assert len({both, package.fingerprint("made.other"), package.fingerprint("made.near")}) == 3


def test_the_else_of_type_checking_counts(changed: Callable[..., bool], folder: Path) -> None:
    write(folder / "other.py", "import typing\nif typing.TYPE_CHECKING:\n    a = 1\nelse:\n    a = 2\n")
    assert not changed("made.other", "other.py", "a = 1", "a = 3")
    assert changed("made.other", "other.py", "a = 2", "a = 3")


@pytest.mark.parametrize("root", ["made.methods", "made.method.method", "numpy", "madeup"])
def test_a_root_that_does_not_exist_is_an_error_that_names_it(folder: Path, root: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=root):
        of(folder, root)


def test_a_mistake_in_the_source_is_told_with_its_place(folder: Path) -> None:
    write(folder / "near.py", "factor = 2\nfactor = = 3\n")
    with pytest.raises(UserError, match=r"near\.py:2: invalid syntax"):
        of(folder, "made.method")


EVERY_SYNTAX = r'''
    """Doc."""
    from __future__ import annotations
    import os as o, sys
    @o.decorated(1, *a, k=u"α\u200b", **b)
    class A(B, metaclass=C):
        x: int = 0x10; y = -1.5e300 + 2j; z = b"\x00" b""; t: str
        async def f(self, a, /, b=1, *c, d: str = "", **e) -> None:
            """Doc."""
            async with a as b: await c
            return f"{a!r:>{b}} {c=} {{}}" "tail" f"" if (n := not d) else ...
    try:
        a[1:2, ..., ::3] = {**b, "k": {x for x in y if x < 1 <= 2}}
    except (E, F) as g:
        raise g from None
    else:
        lambda *, x=(): (yield)
    finally:
        assert o, "why"; del o
    match a:
        case {"k": [1, *_], **r} | A(x=None) if r: pass
    while True:
        global q; q @= 1; break
    '''


def test_the_fingerprint_is_the_same_in_every_process_and_version_of_python(tmp_path: Path) -> None:
    write(tmp_path / "made" / "__init__.py", EVERY_SYNTAX)
    assert of(tmp_path / "made", "made") == "1dd9212ec56abe60"


SOURCES = (
    "optimise/loop.py",
    "optimise/watch.py",
    "optimise/per_image.py",
    "render/report.py",
    "datasets/faces_drawn.py",
)
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cc", "Cs", "Zl", "Zp")))


@settings(deadline=None, max_examples=40)
@given(data=st.data(), source=st.sampled_from(SOURCES))
def test_comments_blank_lines_and_docstrings_anywhere_change_nothing(
    data: st.DataObject, source: str, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = (root / "src/reprior" / source).read_text(encoding="utf-8")
    additions = data.draw(st.lists(st.tuples(st.sampled_from(list(places(text))), WORDS), min_size=1, max_size=8))
    lines = text.splitlines()
    for (line, indent, kind), words in sorted(additions, reverse=True):
        added = {"docstring": repr(words), "comment": f"# {words}", "blank": ""}[kind]
        lines.insert(line - 1, " " * indent + added)
    file = tmp_path_factory.mktemp("made") / "__init__.py"
    file.write_text(text, encoding="utf-8")
    before = of(file.parent, "made")
    file.write_text("\n".join(lines), encoding="utf-8")
    assert of(file.parent, "made") == before


def places(text: str) -> Iterator[tuple[int, int, str]]:
    """Line, indent and kind of the text that can be inserted before each statement of a source."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            line = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
            before, rest = lines[line - 1][: node.col_offset], lines[line - 1][node.col_offset :]
            yield line, 0, "blank"
            yield line, node.col_offset, "comment"
            if not before.strip() and not rest.startswith(("elif", "from __future__")):
                yield line, node.col_offset, "docstring"


def test_a_method_hangs_on_what_it_imports_and_on_no_other_method() -> None:
    loop = {"reprior.optimise.loop", "reprior.optimise.per_image"}
    assert {*loop, "reprior.methods.base"} <= set(modules_of("reprior.methods.iagan"))
    planning = {"reprior.planning.plugins", "reprior.planning.study"}
    others = {"reprior.optimise.loop", "reprior.methods.iagan", "reprior.methods.csgm", *planning}
    assert not others & set(modules_of("reprior.methods.bicubic"))


@pytest.fixture(scope="module")
def every_module(root: Path) -> list[str]:
    """All modules of the real package."""
    files = (path.relative_to(root / "src").with_suffix("") for path in (root / "src/reprior").rglob("*.py"))
    return sorted(".".join(file.parts).removesuffix(".__init__") for file in files)


def test_the_whole_package_takes_no_time_that_a_plan_would_notice(root: Path, every_module: list[str]) -> None:
    package, began = Package("reprior", root / "src/reprior"), time.process_time()
    assert len({package.fingerprint(module) for module in every_module}) > 100
    assert time.process_time() - began < 2  # 0.3 s on a quiet machine


def test_it_is_read_from_the_package_itself(root: Path) -> None:
    folder = root / "src/reprior"
    assert code_fingerprint("reprior.errors") == Package("reprior", folder).fingerprint("reprior.errors")


def test_nothing_is_imported_for_it() -> None:
    code = """
        import sys
        from reprior.jobs.code_fingerprint import code_fingerprint
        code_fingerprint("reprior.methods.iagan")
        print({"torch", "numpy", "reprior.methods"} & set(sys.modules))
        """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_data_file_of_the_package_hangs_on_a_module(root: Path, every_module: list[str], tmp_path: Path) -> None:
    """Editing a data file would have no effect if no module next to it named it in a plain string."""
    copy = tmp_path / "reprior"
    shutil.copytree(root / "src/reprior", copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    files = [path for path in copy.rglob("*") if path.is_file() and path.suffix != ".py" and path.name != "py.typed"]
    unnoticed = []
    for file in files:
        package = file.relative_to(tmp_path).parts[1]
        near = [module for module in every_module if module.startswith(f"reprior.{package}.")]
        before = Package("reprior", copy).fingerprint(*near)
        file.write_bytes(file.read_bytes() + b"\n")
        unnoticed += [file.name] if Package("reprior", copy).fingerprint(*near) == before else []
    assert len(files) > 5
    assert unnoticed == []
