"""Reads config.yaml, studies/, scales/ and recipes/."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from reprior.errors import UserError
from reprior.planning.messages import Model, parse, reference
from reprior.planning.study import Scale, Study, Training

TAKEN = ("report", "logs")
"""Folders of results/<scale> that are no study's."""


class _Loader(yaml.SafeLoader):
    """YAML where 1e-4 is a number (as in YAML 1.2) and a duplicate key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key != "<<" and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. UserError that says where it is broken, if it is."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error


def read_model(path: Path, model: type[Model]) -> Model:
    """A YAML file as a typed model."""
    return parse(model, read_yaml(path), path)


def read_config(root: Path, given: Iterable[str]) -> dict[str, Any]:
    """config.yaml with the `KEY=VALUE` of `given` replaced: Snakemake's `--config`, for other commands."""
    content = dict(read_yaml(root / "config.yaml"))
    for item in given:
        key, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"--config {item}: expected KEY=VALUE, such as scale=small")
        content[key] = yaml.safe_load(value)
    return content


def load_study(root: Path, name: str) -> tuple[Study, Path]:
    """A study and its file."""
    known = [path.parent.name for path in (root / "studies").glob("*/study.yaml")]
    reference(name, known, root / "config.yaml", "studies", "study")
    path = root / "studies" / name / "study.yaml"
    if name in TAKEN:
        raise UserError(f"{path}: the folders 'report' and 'logs' of the results are taken; rename the study's folder")
    study = read_model(path, Study)
    _check_references(study, path)
    return study, path


def load_scale(root: Path, name: str) -> tuple[Scale, Path]:
    """A scale and its file."""
    known = [path.stem for path in (root / "scales").glob("*.yaml")]
    reference(name, known, root / "config.yaml", "scale", "scale")
    path = root / "scales" / f"{name}.yaml"
    return read_model(path, Scale), path


def load_recipes(root: Path) -> dict[str, tuple[Training, Path]]:
    """Every training and its file, by name of the weights."""
    paths = sorted((root / "recipes").glob("*.yaml"))
    return {path.stem: (read_model(path, Training), path) for path in paths}


def _check_references(study: Study, path: Path) -> None:
    refer = partial(reference, path=path)
    for name, case in study.cases.items():
        key = f"cases.{name}"
        refer(case.images, study.images, key=f"{key}.images", what="image set")
        if case.generator is not None:
            refer(case.generator, study.generators, key=f"{key}.generator", what="generator of this study")
        for method in case.methods:
            refer(method, study.methods, key=f"{key}.methods", what="method of this study")
    for name, artifact in study.artifacts.items():
        for case_name in artifact.get("cases") or []:
            refer(str(case_name), study.cases, key=f"artifacts.{name}.cases", what="case of this study")
        for method in artifact.get("methods") or []:
            refer(str(method), study.methods, key=f"artifacts.{name}.methods", what="method of this study")
        for part in ("panels", "groups"):
            shown = artifact.get(part)
            for title, cases in (shown if isinstance(shown, Mapping) else {}).items():
                for case_name in cases:
                    key = f"artifacts.{name}.{part}.{title}"
                    refer(str(case_name), artifact.get("cases") or [], key=key, what="case of this artifact")
