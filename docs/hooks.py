"""Pages of the site that are not files in docs/: README, linked files, figures of the demo, the reference."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(?=[)#])")
"""The target of a link to a file, without its anchor."""
MADE = ("gallery.md", "reference.md")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".csv": "text", ".smk": "python", ".sh": "bash", ".ipynb": "json"}
FUNCTIONS = {
    "src/reprior/api/__init__.py": ("operator", "observe", "generator", "restore", "measure"),
    "src/reprior/api/comparison.py": ("compare",),
}
"""What the reference shows, by file."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages. What a page links to becomes a page, too."""
    add(files, config, "index.md", ROOT.joinpath("README.md").read_text(encoding="utf-8"))
    add(files, config, "reference.md", reference())
    add(files, config, "gallery.md", gallery(files, config))
    waiting = ["README.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
    while waiting:
        page = waiting.pop()
        for target in linked(page, (ROOT / page).read_text(encoding="utf-8")):
            uri = page_of(target)
            if not uri.startswith("source/") or files.get_file_from_path(uri) is not None:
                continue
            if target.endswith(".png"):
                files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
            else:
                add(files, config, uri, shown(target))
            waiting += [target] if target.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that lead out of docs/ lead to the pages made of their files."""
    here = page.file.src_uri
    if here in MADE or not (ROOT / origin_of(here)).is_file():
        return markdown
    origin = origin_of(here)

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), match[1]))
        return posixpath.relpath(page_of(target), posixpath.dirname(here) or ".")

    return LINK.sub(moved, markdown)


def origin_of(page: str) -> str:
    """The file that a page shows, if its text is the file's."""
    if page == "index.md":
        return "README.md"
    return page.removeprefix("source/") if page.startswith("source/") else f"docs/{page}"


def add(files: Files, config: MkDocsConfig, uri: str, content: str) -> None:
    """A page that is no file in docs/."""
    files.append(File.generated(config, uri, content=content))


def linked(page: str, text: str) -> list[str]:
    """The files of the project to which a page links."""
    found = [posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) for target in LINK.findall(text)]
    return [target for target in found if (ROOT / target).is_file()]


def page_of(target: str) -> str:
    """The page or picture that shows a file of the project."""
    if target == "README.md":
        return "index.md"
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return f"source/{target}" if target.endswith((".md", ".png")) else f"source/{target}.md"


def shown(target: str) -> str:
    """A file of the project as a page."""
    content = (ROOT / target).read_text(encoding="utf-8")
    if target.endswith(".md"):
        return content
    language = LANGUAGES.get(Path(target).suffix, "text")
    if target.endswith(".ipynb"):
        cells = json.loads(content)["cells"]
        blocks = [
            "".join(c["source"]) if c["cell_type"] == "markdown" else fenced("".join(c["source"]), "python")
            for c in cells
        ]
        return "\n\n".join(blocks)
    return f"---\nsearch: {{exclude: true}}\n---\n# {target}\n\n{fenced(content, language)}"


def fenced(text: str, language: str) -> str:
    """A block of code."""
    return f"````{language}\n{text}\n````\n"


def reference() -> str:
    """Signature and docstring of each function of `import reprior`, read from the source."""
    parts = ["# Reference", "`import reprior` has these functions. The tests run their examples."]
    for path, names in FUNCTIONS.items():
        module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        found = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
        for name in names:
            parts += [f"## reprior.{name}", fenced(signature(found[name]), "python"), *text_and_examples(found[name])]
    return "\n\n".join(parts) + "\n"


def signature(function: ast.FunctionDef) -> str:
    """The first line of a function, one argument a line."""
    arguments = ast.unparse(function.args)
    shown = re.sub(r", (?=\*, |\*\*?\w+|\w+: )", ",\n    ", arguments).replace("*, ", "*,\n    ")
    returned = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{function.name}(\n    {shown},\n){returned}"


def text_and_examples(function: ast.FunctionDef) -> list[str]:
    """The paragraphs of a docstring; its examples as code."""
    paragraphs = (ast.get_docstring(function) or "").split("\n\n")
    return [
        fenced(part.replace("  # doctest: +SKIP", ""), "pycon") if part.startswith(">>>") else part
        for part in paragraphs
    ]


def gallery(files: Files, config: MkDocsConfig) -> str:
    """The figures of the demo, if it ran."""
    parts = [
        "# Figures of the demo",
        "Drawn faces and digits, small networks, few steps: they show what the workflow makes.",
    ]
    sidecars = sorted(ROOT.glob("results/demo/*/*.json"))
    for path in sidecars:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        picture = path.with_suffix(".png")
        if "figure" in content and picture.is_file():
            uri = f"figures/{path.parent.name}-{picture.name}"
            files.append(File.generated(config, uri, abs_src_path=str(picture)))
            alt = content["figure"]["alt"].replace("]", ")").replace("[", "(")
            parts += [f"## {content['study']}: {content['settings']['title']}", f"![{alt}]({uri})"]
    if len(parts) == 2:
        parts.append("`make demo` makes them; run `make docs` afterwards.")
    return "\n\n".join(parts) + "\n"
