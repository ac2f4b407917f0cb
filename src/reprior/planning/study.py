"""The files of users as typed models: config.yaml, and those in studies/, scales/ and recipes/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from reprior.types import Count, Fraction, Positive, Whole, quotient

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


class OfAll(Strict):
    """Settings of every method that takes steps, beside its own."""

    loss: Annotated[list[Spec], Field(min_length=1)] = []
    """What is minimised, a weighted sum: `[{name: squared-error}, {name: lpips, weight: 0.1}]`."""
    restarts: Count = 1
    """How often it starts, each time from another draw; the result of the lowest loss is kept."""


class Weight(Strict):
    """What a loss has beside its own settings."""

    weight: Positive = 1.0


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
    losses: dict[str, dict[str, Any]] = {}
    """Settings of a loss that differ at this scale."""
    metric_gaps: dict[str, str] = {}
    """By metric: why it is not computed at this scale."""
    gaps: dict[str, dict[str, str | Gap]] = {}
    """By study and case, or pattern of cases (`celebahq-*`): why it is not computed at this scale."""


class Training(Strict):
    """recipes/<weights>.yaml: how weights are made that nobody publishes."""

    generator: Spec | None = None
    network: Spec | None = None
    """What is trained, where the task trains no generator."""
    against: dict[Key, str] = {}
    """Frozen generators that the task needs, by its names for them: the names of their weights."""
    dataset: Spec
    recipe: dict[str, Any]
