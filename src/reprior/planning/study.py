"""The user's files as typed models: config.yaml, and the files in studies/, scales/ and recipes/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from reprior.types import Count, Fraction, Positive, Precision, Whole, quotient

Spec = dict[str, Any]
"""A plug-in's name and its settings: `{name: bicubic, scale: 4}`."""


Noise = Annotated[float, BeforeValidator(quotient), Field(ge=0, le=2)]
"""Standard deviation of the noise on the [0, 1] scale. May be written as in papers: 10/255.

The bound finds a forgotten `/255`. It is above 1 because ILO goes up to 256/255.
"""
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
"""A name that becomes a folder: letters, digits, dots and dashes."""


Listed = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
"""A list of names. One name needs no list."""
Flag = Annotated[bool, BeforeValidator(lambda value: {"true": True, "false": False}.get(str(value).lower(), value))]
"""True or false. Snakemake passes `--config offline=true` as text."""


class Strict(BaseModel):
    """No unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _by_generator_and_device(value: Any, keys: int = 2) -> Any:
    """`4` and `{began: 4}` in the form `{began: {cuda: 4}}`; "" means any. Snakemake passes 4 in a mapping as text."""
    if keys == 0:
        return int(value) if isinstance(value, str) and value.isdecimal() else value
    if keys == 2 and value in (None, "null"):
        return {}
    entries = value if isinstance(value, Mapping) else {"": value}
    return {str(key): _by_generator_and_device(entry, keys - 1) for key, entry in entries.items()}


class Config(Strict):
    """config.yaml: the user's knobs."""

    scale: str
    studies: Listed
    plugins: Listed = []
    """Folders of the user's own plug-ins, from the project's folder."""
    data: str = "data"
    results: str = "results"
    mirrors: list[str] = []
    """Folders that are searched for downloads, by hash, before the network is used."""
    offline: Flag = False
    """Whether jobs must not use the network."""
    whole: Flag = False
    """Whether to use every image of the scale's data set, and the study's own number of steps."""
    images_per_job: Annotated[dict[str, dict[str, Count]], BeforeValidator(_by_generator_and_device)] = {}
    """Images per job, by generator and device; "" means any."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    jobs_per_gpu: Count = 1
    precision: Precision = "float32"
    """In which precision networks compute in methods with steps, where a study does not say."""
    checkpoint_seconds: Count = 60


class ImageSet(Strict):
    """Which images of which data set: `count` images from position `first`, or those in `ids`."""

    dataset: Spec
    first: Whole = 0
    count: Count | None = None
    seed: Whole | None = None
    """Seed of a random order, in which positions are then counted. Without a seed: the data set's own order."""
    ids: list[str] | None = Field(default=None, min_length=1)
    shift: int = 0
    """Rows by which each image is moved down; edge rows are repeated. For the misaligned images of IAGAN's Fig. 9."""

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
        """The number of images."""
        return len(self.ids) if self.ids is not None else self.count or 0


class Case(Strict):
    """One inverse problem on one set of images."""

    label: str
    images: str
    operator: Spec
    noise: Noise = 0.0
    noise_norm: Positive | None = None
    """sqrt(E ||e||^2) of a whole measurement, instead of `noise`. Each of its m entries then has this / sqrt(m)."""
    clip: bool = False
    """Whether measurements are clipped to [0, 1] after the noise is added, as ILO's noisy pictures are."""
    generator: str | None = None
    networks: dict[str, str] = {}
    """Trained networks that methods need: the name of their argument -> the study's name of the network."""
    methods: dict[Key, dict[str, Any] | None] = Field(min_length=1)
    """Methods by name, each with the settings that differ from the study's."""
    gap: str | None = None
    """Why the case cannot be computed. It is then shown as a labelled gap."""

    @model_validator(mode="after")
    def _one_noise(self) -> Case:
        if self.noise and self.noise_norm:
            raise ValueError("give 'noise' or 'noise_norm', one of them")
        return self

    @model_validator(mode="after")
    def _clipped_noise(self) -> Case:
        if self.clip and not (self.noise or self.noise_norm):
            raise ValueError("'clip' is for noisy pictures, but there is no noise; give 'noise' or remove 'clip'")
        return self


class OfAll(Strict):
    """Settings that every method with steps has, in addition to its own."""

    loss: Annotated[list[Spec], Field(min_length=1)] = []
    """The weighted sum that is minimised: `[{name: squared-error}, {name: lpips, weight: 0.1}]`."""
    sna: bool = False
    """Stochastic noise addition: what a method's loss sees of its image gets noise as the measurements did."""
    restarts: Count = 1
    """Number of starts, each from a different draw. The result with the lowest loss is kept."""
    precision: Precision = "float32"
    """In which precision networks compute. Variables, losses and operators are float32 in any case."""


class Weight(Strict):
    """The setting that every loss has, in addition to its own."""

    weight: Positive = 1.0


class Paper(Strict):
    """The paper that a study reproduces."""

    citation: str
    url: str


Names = Annotated[Listed, Field(min_length=1)]
"""One name, or a list of them."""
Bound = Annotated[float, Field(allow_inf_nan=False)]


class Claim(Strict):
    """What a paper says in words, as bounds on two averages, compared: `method` minus, or divided by, `against`."""

    text: str
    where: str = ""
    metric: str
    method: Names
    against: Names | None = None
    """If not given: the same method, which is then compared with itself in other cases."""
    cases: Names
    """Names or patterns."""
    against_cases: Names | None = None
    """The cases of the right side: one for each of `cases`, or one for all. If not given: the same case."""
    compare: Literal["difference", "ratio"] = "difference"
    """The number that the bounds are for: left less right, or left divided by right."""
    above: Bound | None = None
    below: Bound | None = None
    scope: Literal["every", "some", "median"] = Field(default="every", alias="in")
    """What must keep the bounds: every comparison, at least one, or their median."""
    note: str = ""
    """How the words were turned into numbers."""

    @model_validator(mode="after")
    def _bounds(self) -> Claim:
        if self.above is None and self.below is None:
            raise ValueError(f"give 'above' or 'below' or both: what the {self.compare} must be")
        if self.above is not None and self.below is not None and self.above >= self.below:
            bounds = f"above {self.above:g} and below {self.below:g}"
            raise ValueError(f"no {self.compare} is {bounds}; correct one of the two")
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
    networks: dict[Key, Spec] = {}
    """Other trained networks that methods need."""
    methods: dict[Key, Spec] = Field(min_length=1)
    metrics: list[Spec] = Field(min_length=1)
    cases: dict[Key, Case] = Field(min_length=1)
    artifacts: dict[Key, Spec] = Field(min_length=1)
    claims: dict[Key, Claim] = {}
    """What the paper says in words, by a name that the study chooses."""


class Substitute(Strict):
    """What a scale uses instead of a data set."""

    dataset: Spec
    count: Count | None = None
    of: Count | None = None
    """Number of available images, of which `count` are used."""
    first: Whole | None = None


class Gap(Strict):
    """Why a case is not computed unless certain weights exist."""

    reason: str
    unless: str
    """Name of weights: the case is computed if the data folder has them."""


class Scale(Strict):
    """scales/<scale>.yaml: on which data and for how many steps to run; no logic."""

    title: str
    note: str = ""
    """Printed on every table and figure."""
    comparable: bool = False
    """Whether the numbers may be compared with the paper's."""
    datasets: dict[str, Substitute] = {}
    """What is used instead of a data set, in all studies or, as `ilo/celebahq`, in one."""
    generators: dict[str, Spec] = {}
    """What is used instead of a study's generator, by name of its weights or of its plug-in."""
    networks: dict[str, Spec] = {}
    """The same for other trained networks."""
    steps: dict[str, Fraction] = {}
    """By plug-in name of a method: the share of its steps that is run."""
    study_steps: dict[str, Fraction] = {}
    """By study: the share of steps for all its methods, instead of `steps`."""
    methods: dict[str, dict[str, Any]] = {}
    """By plug-in name of a method: its settings that differ at this scale."""
    operators: dict[str, dict[str, Any]] = {}
    """By plug-in name of an operator: its settings that differ at this scale."""
    metrics: dict[str, dict[str, Any]] = {}
    """By metric: its settings that differ at this scale."""
    losses: dict[str, dict[str, Any]] = {}
    """By loss: its settings that differ at this scale."""
    metric_gaps: dict[str, str] = {}
    """By metric: why it is not computed at this scale."""
    loss_gaps: dict[str, str] = {}
    """By loss: why methods do without it at this scale. A method with no other loss is a gap."""
    gaps: dict[str, dict[str, str | Gap]] = {}
    """By study and case (or a pattern: `celebahq-*`), or a case's method (`sr-*/csgm`): why it is not computed."""


class Training(Strict):
    """recipes/<weights>.yaml: how to train weights that nobody publishes."""

    generator: Spec | None = None
    network: Spec | None = None
    """What is trained, if the task does not train a generator."""
    against: dict[Key, str] = {}
    """Frozen generators that the task needs: its name for each -> the name of its weights."""
    dataset: Spec
    recipe: dict[str, Any]
