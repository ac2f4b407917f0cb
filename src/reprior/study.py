"""The user's files as typed models: config.yaml, studies/<study>/study.yaml and scales/<scale>.yaml.

Everything wrong is found before any job starts and told in one message: file, key, what was expected, nearest name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reprior import plugins
from reprior.errors import UserError
from reprior.types import Count, Fraction, Positive, Whole, quotient

Model = TypeVar("Model", bound=BaseModel)
Spec = dict[str, Any]
"""A plug-in by name with its settings: `{name: bicubic, scale: 4}`."""


Noise = Annotated[float, BeforeValidator(quotient), Field(ge=0, le=1)]
"""Standard deviation of the noise on the [0, 1] scale; may be written as the papers do, 10/255."""
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
"""A name that becomes a folder: letters, digits, dots and dashes."""


Flag = Annotated[bool, BeforeValidator(lambda value: {"true": True, "false": False}.get(str(value).lower(), value))]
"""True or false; Snakemake hands on `--config offline=true` as a text."""


class Strict(BaseModel):
    """No unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _by_generator_and_device(value: Any, keys: int = 2) -> Any:
    """`4` and `{began: 4}` as `{began: {cuda: 4}}`, with "" for any; in a mapping Snakemake hands on 4 as a text."""
    if keys == 0:
        return int(value) if isinstance(value, str) and value.isdecimal() else value
    if keys == 2 and value in (None, "null"):
        return {}
    entries = value if isinstance(value, Mapping) else {"": value}
    return {str(key): _by_generator_and_device(entry, keys - 1) for key, entry in entries.items()}


class Config(Strict):
    """config.yaml: the user's knobs."""

    scale: str
    studies: Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
    data: str = "data"
    results: str = "results"
    mirrors: list[str] = []
    """Folders in which downloads are looked for, by hash, before the network is asked."""
    offline: Flag = False
    """Whether jobs must not use the network."""
    whole: Flag = False
    """Whether every image that a scale's data set has is taken, and the study's own number of steps."""
    images_per_job: Annotated[dict[str, dict[str, Count]], BeforeValidator(_by_generator_and_device)] = {}
    """Images in one job, by generator and device; "" stands for any."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    jobs_per_gpu: Count = 1
    checkpoint_seconds: Count = 60


class ImageSet(Strict):
    """Which images of which data set: `count` from position `first`, or the ones in `ids`."""

    dataset: Spec
    first: Whole = 0
    count: Count | None = None
    seed: Whole | None = None
    """Of a random order of the data set, in which positions then count; its own order without one."""
    ids: list[str] | None = Field(default=None, min_length=1)
    shift: int = 0
    """Rows by which each image is moved down, edge rows repeated: the misaligned images of IAGAN's Fig. 9."""

    @model_validator(mode="after")
    def _count_or_ids(self) -> ImageSet:
        if (self.count is None) == (self.ids is None):
            raise ValueError("give either 'count' (with 'first') or 'ids'")
        if self.ids is not None and self.seed is not None:
            raise ValueError("'ids' says which images, so a 'seed' has nothing to choose")
        if self.ids is not None and len(set(self.ids)) < len(self.ids):
            raise ValueError("an id appears twice in 'ids'")
        return self

    @property
    def size(self) -> int:
        """How many images."""
        return len(self.ids) if self.ids is not None else self.count or 0


class Case(Strict):
    """One inverse problem on one set of images."""

    label: str
    images: str
    operator: Spec
    noise: Noise = 0.0
    noise_norm: Positive | None = None
    """sqrt(E ||e||^2) of a whole measurement, in the place of `noise`: each of m entries then has this / sqrt(m)."""
    generator: str | None = None
    methods: dict[Key, dict[str, Any] | None] = Field(min_length=1)
    """Methods by name, each with the settings that differ here from the study's."""
    gap: str | None = None
    """Why the case cannot be computed: it is then planned as a labelled gap."""

    @model_validator(mode="after")
    def _one_noise(self) -> Case:
        if self.noise and self.noise_norm:
            raise ValueError("give 'noise' or 'noise_norm', one of them")
        return self


class Paper(Strict):
    """Where the study comes from."""

    citation: str
    url: str


Names = Annotated[
    list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value), Field(min_length=1)
]
"""One name, or a list of them."""
Bound = Annotated[float, Field(allow_inf_nan=False)]


class Claim(Strict):
    """What a paper says in words, as bounds on a difference of two averages: `method` less `against`."""

    text: str
    where: str = ""
    metric: str
    method: Names
    against: Names | None = None
    """The same method without one: it is then held against itself in other cases."""
    cases: Names
    """Names, or patterns of them."""
    against_cases: Names | None = None
    """The case of the right side, one for each of `cases` or one for all; the same case without."""
    above: Bound | None = None
    below: Bound | None = None
    scope: Literal["every", "some", "median"] = Field(default="every", alias="in")
    """Of the comparisons: which of them, or whether their median, must keep the bounds."""
    note: str = ""
    """How the words were turned into numbers."""

    @model_validator(mode="after")
    def _bounds(self) -> Claim:
        if self.above is None and self.below is None:
            raise ValueError("give 'above' or 'below' or both: what the difference must be")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"no difference is above {self.above:g} and below {self.below:g}; correct one of the two")
        return self

    @model_validator(mode="after")
    def _two_sides(self) -> Claim:
        if self.against is None and self.against_cases is None:
            raise ValueError("give 'against' (another method) or 'against_cases' (other cases) or both")
        return self


class Study(Strict):
    """studies/<study>/study.yaml."""

    title: str
    paper: Paper | None = None
    images: dict[Key, ImageSet] = Field(min_length=1)
    generators: dict[Key, Spec] = {}
    methods: dict[Key, Spec] = Field(min_length=1)
    metrics: list[Spec] = Field(min_length=1)
    cases: dict[Key, Case] = Field(min_length=1)
    artifacts: dict[Key, Spec] = Field(min_length=1)
    claims: dict[Key, Claim] = {}
    """What the paper says in words, by a name of one's own."""


class Substitute(Strict):
    """What a scale puts in the place of a data set."""

    dataset: Spec
    count: Count | None = None
    of: Count | None = None
    """How many images there are, of which `count` are taken."""
    first: Whole | None = None


class Gap(Strict):
    """Why a case is not computed, unless something is there."""

    reason: str
    unless: str
    """Name of weights: the case is computed where the data folder has them."""


class Scale(Strict):
    """scales/<scale>.yaml: what it is run on and how long; no logic."""

    title: str
    note: str = ""
    """Printed on every table and figure."""
    comparable: bool = False
    """Whether the numbers may be held against the paper's."""
    datasets: dict[str, Substitute] = {}
    generators: dict[str, Spec] = {}
    steps: dict[str, Fraction] = {}
    """Share of the steps of a method (by plug-in) that is run."""
    study_steps: dict[str, Fraction] = {}
    """By study: the share of the steps of all its methods, in the place of `steps`."""
    methods: dict[str, dict[str, Any]] = {}
    """Settings of a method (by plug-in) that differ at this scale."""
    metrics: dict[str, dict[str, Any]] = {}
    """Settings of a metric that differ at this scale."""
    metric_gaps: dict[str, str] = {}
    """By metric: why it is not computed at this scale."""
    gaps: dict[str, dict[str, str | Gap]] = {}
    """By study and case, or pattern of cases (`celebahq-*`): why it is not computed at this scale."""


class Training(Strict):
    """recipes/<weights>.yaml: how weights are made that nobody publishes."""

    generator: Spec
    dataset: Spec
    recipe: dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number (as in YAML 1.2) and a key given twice is an error."""

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
    """The content of a YAML file, or one message that says where it is broken."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error


def read_model(path: Path, model: type[Model]) -> Model:
    """A YAML file as a typed model."""
    return parse(model, read_yaml(path), path)


def parse(model: type[Model], content: Any, path: Path, key: str = "") -> Model:
    """`content`, found at `key` of the file `path`, as a typed model; UserError with one message otherwise."""
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: {key or 'the file'}: expected keys with values, got {_shown(content)}")
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise UserError(_explained(error, model, path, key)) from error


def _explained(error: ValidationError, model: type[BaseModel], path: Path, key: str) -> str:
    problem = error.errors()[0]
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    where = f"{path}: {'.'.join(filter(None, [key, *place]))}".rstrip(": ")
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key{nearest(place[-1], _fields(model, place[:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: is missing; it must be given"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = "" if problem["type"] == "value_error" else f", got {_shown(problem['input'])}"
    return f"{where}: {message}{given}"


def _fields(model: type[BaseModel], place: list[str]) -> Iterable[str]:
    """Names of the fields of the model that stands at `place` within `model`."""
    for part in place:
        if part in model.model_fields:
            found = _model_in(model.model_fields[part].annotation)
            model = found or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest valid one, and all of them."""
    valid = sorted(known)
    close = difflib.get_close_matches(name.lower(), [v.lower() for v in valid], n=1, cutoff=0.5)
    hint = next((f"; did you mean '{v}'?" for v in valid if close and v.lower() == close[0]), "")
    return f"{hint or ';'} known: {', '.join(valid) or '(none)'}"


def checked_spec(kind: plugins.Kind, spec: Spec, path: Path, key: str, also: tuple[str, ...] = ()) -> Spec:
    """A plug-in's spec with every default filled in; `also` names keys that are not the plug-in's settings."""
    name = spec.get("name")
    if not isinstance(name, str):
        raise UserError(
            f"{path}: {key}.name: is missing; expected the name of a {kind}{nearest('', plugins.names(kind))}"
        )
    try:
        found = plugins.plugin(kind, name)
    except KeyError as error:
        raise UserError(
            f"{path}: {key}.name: there is no {kind} '{name}'{nearest(name, plugins.names(kind))}"
        ) from error
    settings = {k: v for k, v in spec.items() if k != "name" and k not in also}
    model = parse(found.settings, settings, path, key)
    return {"name": name, **{k: spec[k] for k in also if k in spec}, **model.model_dump()}


def reference(name: str, known: Iterable[str], path: Path, key: str, what: str) -> str:
    """`name` if it is one of `known`; UserError with the nearest one otherwise."""
    known = list(known)
    if name not in known:
        raise UserError(f"{path}: {key}: there is no {what} '{name}'{nearest(name, known)}")
    return name


def read_config(root: Path, given: Iterable[str]) -> dict[str, Any]:
    """config.yaml with some keys `given` otherwise, as `KEY=VALUE`: Snakemake's `--config`, for commands beside it."""
    content = dict(read_yaml(root / "config.yaml"))
    for item in given:
        key, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"--config {item}: expected KEY=VALUE, such as scale=small")
        content[key] = yaml.safe_load(value)
    return content


def load_study(root: Path, name: str) -> tuple[Study, Path]:
    """A study and its file."""
    known = (path.parent.name for path in (root / "studies").glob("*/study.yaml"))
    reference(name, known, root / "config.yaml", "studies", "study")
    path = root / "studies" / name / "study.yaml"
    if name in ("report", "logs"):
        raise UserError(f"{path}: the folders 'report' and 'logs' of the results are taken; rename the study's folder")
    study = read_model(path, Study)
    _check_references(study, path)
    return study, path


def load_scale(root: Path, name: str) -> tuple[Scale, Path]:
    """A scale and its file."""
    known = (path.stem for path in (root / "scales").glob("*.yaml"))
    reference(name, known, root / "config.yaml", "scale", "scale")
    path = root / "scales" / f"{name}.yaml"
    return read_model(path, Scale), path


def load_recipes(root: Path) -> dict[str, tuple[Training, Path]]:
    """Every training of weights, by their name, and its file."""
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
