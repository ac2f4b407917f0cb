"""Writes the templates of this folder under a new name. They are plug-ins that run as they are."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from reprior.errors import UserError
from reprior.loading import PACKAGES
from reprior.machine.files import write_text
from reprior.planning.plugin_folders import PACKAGE
from reprior.planning.yaml_files import TAKEN, read_yaml

New = Literal["method", "operator", "generator", "dataset", "metric", "study"]
_HERE = Path(__file__).parent
_NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_USE: Mapping[New, str] = {
    "method": "methods: {mine: {name: NAME}}, and `mine:` under the methods of a case",
    "operator": "operator: {name: NAME} of a case",
    "generator": "generators: {mine: {name: NAME, weights: FILE}}; docs/training.md says how to make the weights",
    "dataset": "images: {mine: {dataset: {name: NAME}, count: 2}}",
    "metric": "metrics: [{name: psnr}, {name: NAME}]",
    "study": "snakemake --cores 2 --config studies=NAME",
}


def new(kind: New, name: str, folder: Path) -> str:
    """Write the files and return what to do with them. UserError if the name does not fit or is taken."""
    module = name.replace("-", "_")
    _check_name(kind, name, module)
    if kind == "study":
        test = folder / "tests" / f"test_study_{module}.py"
        made = [Path("studies") / name / "study.yaml", Path("studies") / name / "reported.csv"]
        templates = [path.name for path in made]
    else:
        test = folder / "tests" / f"test_{module}.py"
        made, templates = [folder / PACKAGES[kind] / f"{module}.py"], [f"{kind}.py"]
    places = zip([*made, test], [*templates, f"test_{kind}.py"], strict=True)
    files = {path: _text(template, kind, name) for path, template in places}
    _write(files)
    return "\n".join([*(f"wrote {path}" for path in files), *_advice(kind, name, folder, test)])


def _check_name(kind: New, name: str, module: str) -> None:
    if not re.fullmatch(_NAME, name) or keyword.iskeyword(module):
        raise UserError(
            f"the name '{name}' does not fit: use small letters, digits and single dashes, beginning with a letter, and"
            " no word of Python, such as my-blur"
        )
    if kind == "study" and name in TAKEN:
        raise UserError(f"the name '{name}' is taken by a folder of the results; choose another")
    if kind != "study" and (ours := PACKAGE / PACKAGES[kind] / f"{module}.py").exists():
        raise UserError(f"the name '{name}' is taken by the package's own {ours}; choose another")


def _text(template: str, kind: New, name: str) -> str:
    """The template with the name in its three forms: my-blur, my_blur, MyBlur."""
    words = name.split("-")
    forms = {"-": name, "_": "_".join(words), "": "".join(word.capitalize() for word in words)}
    old = {"-": f"new-{kind}", "_": f"new_{kind}", "": f"New{kind.capitalize()}"}
    text = (_HERE / template).read_text(encoding="utf-8")
    for form, written in old.items():
        text = text.replace(written, forms[form])
    return text


def _write(files: Mapping[Path, str]) -> None:
    """Write all files, or none if one exists."""
    for path in files:
        if path.exists():
            raise UserError(f"{path}: exists and is not overwritten; choose another name, or remove it")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def _advice(kind: New, name: str, folder: Path, test: Path) -> Iterable[str]:
    if kind != "study" and not _is_configured(folder):
        yield f"config.yaml:  plugins: [{folder}]"
    yield f"use:          {_USE[kind].replace('NAME', name)}"
    yield f"test:         pytest {test}"


def _is_configured(folder: Path) -> bool:
    config = read_yaml(Path("config.yaml")) if Path("config.yaml").is_file() else None
    named = (config or {}).get("plugins", [])
    return any(Path(each) == folder for each in ([named] if isinstance(named, str) else named))
