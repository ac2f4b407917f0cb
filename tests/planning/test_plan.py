"""What a plan contains, and the messages about broken files."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from reprior.errors import UserError
from reprior.planning.footprint import left_out
from reprior.planning.plan import CasePlan, Plan, Start, render_spec
from reprior.planning.resolve import make_plan

CONFIG = {"scale": "tiny", "studies": ["mine"], "images_per_job": 2}
STUDY: dict[str, Any] = {
    "title": "A study",
    "images": {"faces": {"dataset": {"name": "faces-drawn"}, "count": 5}},
    "generators": {"began": {"name": "began", "size": 64, "channels": 4, "weights": "w.safetensors"}},
    "methods": {
        "csgm": {"name": "csgm", "label": "CSGM"},
        "csgm-bp": {"name": "back-projection", "start": "csgm"},
        "up": {"name": "bicubic"},
    },
    "metrics": [{"name": "psnr"}, {"name": "lpips", "net": "alex"}],
    "cases": {
        "sr": {
            "label": "SR x4",
            "images": "faces",
            "generator": "began",
            "operator": {"name": "bicubic", "scale": 4},
            "noise": "10/255",
            "methods": {"csgm": {"steps": 100}, "csgm-bp": None},
        }
    },
    "artifacts": {
        "table1": {"kind": "table", "title": "T", "cases": ["sr"], "methods": ["csgm", "up"], "metrics": ["psnr"]}
    },
}
SCALE: dict[str, Any] = {"title": "Tiny", "steps": {"csgm": 0.1}}


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Plan]:
    """Makes a plan from the three files, each changed by an edit."""

    def plan(
        study: Callable[[Any], Any] = lambda _: None,
        scale: Callable[[Any], Any] = lambda _: None,
        config: Callable[[Any], Any] = lambda _: None,
    ) -> Plan:
        contents = {}
        for name, original, edit in (("study", STUDY, study), ("scale", SCALE, scale), ("config", CONFIG, config)):
            contents[name] = copy.deepcopy(original)
            edit(contents[name])
        (tmp_path / "studies/mine").mkdir(parents=True, exist_ok=True)
        (tmp_path / "scales").mkdir(exist_ok=True)
        (tmp_path / "studies/mine/study.yaml").write_text(yaml.safe_dump(contents["study"]))
        (tmp_path / "scales/tiny.yaml").write_text(yaml.safe_dump(contents["scale"]))
        return make_plan(tmp_path, contents["config"])

    return plan


def put(path: str, value: Any) -> Callable[[Any], None]:
    """An edit that sets the value at a path `a/b/c`. A number is an index into a list."""

    def edit(content: Any) -> None:
        *parents, last = path.split("/")
        for part in parents:
            content = content[int(part) if part.isdigit() else part]
        content[last] = value

    return edit


def drop(path: str) -> Callable[[Any], None]:
    """An edit that removes the key at a path `a/b/c`."""

    def edit(content: Any) -> None:
        *parents, last = path.split("/")
        for part in parents:
            content = content[part]
        del content[last]

    return edit


def both(first: Callable[[Any], None], second: Callable[[Any], None]) -> Callable[[Any], None]:
    """An edit that makes two edits."""

    def edit(content: Any) -> None:
        first(content)
        second(content)

    return edit


BROKEN = {
    "unknown config key": (
        "config",
        put("scales", "demo"),
        r"config.yaml: scales: unknown key; did you mean 'scale'\?",
    ),
    "missing config key": ("config", drop("scale"), r"config.yaml: scale: is missing"),
    "wrong type in config": (
        "config",
        put("images_per_job", "many"),
        r"config.yaml: images_per_job: .*integer.*'many'",
    ),
    "no images per job": ("config", put("images_per_job", 0), r"images_per_job: .*greater than or equal to 1.*0"),
    "images per job of an unknown generator": (
        "config",
        put("images_per_job", {"begann": 2}),
        r"config.yaml: images_per_job: there is no generator 'begann'; did you mean 'began'\?",
    ),
    "images per job of an unknown device": (
        "config",
        put("images_per_job", {"began": {"cuda": 2, "cpuu": 1}}),
        r"config.yaml: images_per_job.began: there is no device 'cpuu'; did you mean 'cpu'\?",
    ),
    "no images per job of a generator": (
        "config",
        put("images_per_job", {"began": {"cpu": 0}}),
        r"images_per_job.began.cpu: .*greater than or equal to 1.*0",
    ),
    "images per job by a device that is not chosen": (
        "config",
        put("images_per_job", {"began": {"cuda": 2}}),
        r"images_per_job.began: .*device is 'auto'; set device to cpu, cuda or mps",
    ),
    "unknown device": ("config", put("device", "gpu"), r"config.yaml: device: .*'auto', 'cpu', 'cuda' or 'mps'.*'gpu'"),
    "unknown scale": (
        "config",
        put("scale", "tinny"),
        r"config.yaml: scale: there is no scale 'tinny'; did you mean 'tiny'\?",
    ),
    "unknown study": ("config", put("studies", ["mime"]), r"studies: there is no study 'mime'; did you mean 'mine'\?"),
    "unknown study key": ("study", put("case", {}), r"study.yaml: case: unknown key; did you mean 'cases'\?"),
    "missing study key": ("study", drop("artifacts"), r"study.yaml: artifacts: is missing"),
    "empty cases": ("study", put("cases", {}), r"cases: .*at least 1 item"),
    "title is a number": ("study", put("title", 3), r"title: .*valid string, got 3"),
    "unknown data set": (
        "study",
        put("images/faces/dataset/name", "faces-drown"),
        r"images.faces.dataset.name: there is no dataset 'faces-drown'; did you mean 'faces-drawn'\?",
    ),
    "data set without a name": ("study", put("images/faces/dataset", {}), r"images.faces.dataset.name: is missing"),
    "unknown setting of a data set": (
        "study",
        put("images/faces/dataset/splt", "test"),
        r"images.faces.dataset.splt: unknown key; did you mean 'split'\?",
    ),
    "count and ids": ("study", put("images/faces/ids", ["000001"]), r"images.faces: give either 'count'.* or 'ids'"),
    "an id twice": (
        "study",
        put("images/faces", {"dataset": {"name": "faces-drawn"}, "ids": ["000001", "000001"]}),
        r"images.faces: an id appears twice",
    ),
    "negative first": (
        "study",
        put("images/faces/first", -1),
        r"images.faces.first: .*greater than or equal to 0, got -1",
    ),
    "unknown generator": (
        "study",
        put("generators/began/name", "begun"),
        r"no generator 'begun'; did you mean 'began'\?",
    ),
    "generator without weights": ("study", drop("generators/began/weights"), r"generators.began.weights: is missing"),
    "wrong size of a generator": ("study", put("generators/began/size", 65), r"generators.began.size: .*got 65"),
    "unknown method plug-in": (
        "study",
        put("methods/csgm/name", "cgsm"),
        r"methods.csgm.name: .*did you mean 'csgm'\?",
    ),
    "unknown setting of a method": (
        "study",
        put("methods/csgm/stps", 3),
        r"methods.csgm.stps: unknown key; did you mean 'steps'\?",
    ),
    "negative learning rate": ("study", put("methods/csgm/lr", -0.1), r"methods.csgm.lr: .*greater than 0, got -0.1"),
    "true as a number": ("study", put("methods/csgm/steps", True), r"methods.csgm.steps: .*integer, got True"),
    "start of a method missing": ("study", drop("methods/csgm-bp/start"), r"methods.csgm-bp.start: is missing"),
    "start of a method misspelt": (
        "study",
        put("methods/csgm-bp/start", "csgmm"),
        r"methods.csgm-bp.start: there is no method .*did you mean 'csgm'\?",
    ),
    "start where none belongs": (
        "study",
        put("methods/up/start", "csgm"),
        r"methods.up.start: 'bicubic' does not start",
    ),
    "reserved method name": ("study", put("methods/observation", {"name": "bicubic"}), r"'observation' is reserved"),
    "reserved artifact name": (
        "study",
        put("artifacts/metrics", {}),
        r"artifacts.metrics: the name 'metrics' is reserved",
    ),
    "method name with a space": ("study", put("methods/a b", {"name": "bicubic"}), r"methods.a b: .*match pattern"),
    "start in the middle of a misspelt method": (
        "study",
        put("methods/csgm-bp/start", "csgmm@5"),
        r"methods.csgm-bp.start: there is no method of this study 'csgmm'; did you mean 'csgm'\?",
    ),
    "start before the first step": (
        "study",
        put("methods/csgm-bp/start", "csgm@0"),
        r"methods.csgm-bp.start: there is no method of this study 'csgm@0'; did you mean 'csgm'\?",
    ),
    "start after the last step": (
        "study",
        put("methods/csgm-bp/start", "csgm@100"),
        r"csgm-bp.start: starts from step 10 of 'csgm', which takes 10 steps here; choose an earlier one",
    ),
    "start in the middle of restarts": (
        "study",
        both(put("methods/csgm-bp/start", "csgm@5"), put("methods/csgm/restarts", 3)),
        r"csgm-bp.start: starts from step 1 of 'csgm', which has 3 restarts; set its `restarts: 1`",
    ),
    "start in the middle of what takes no steps": (
        "study",
        both(put("methods/csgm-bp/start", "up@5"), put("cases/sr/methods/up", {})),
        r"csgm-bp.start: starts from step 5 of 'up', which takes no steps here",
    ),
    "start given in a case": (
        "study",
        put("cases/sr/methods/csgm-bp", {"start": "csgm"}),
        r"cases.sr.methods.csgm-bp: name, label and start belong under 'methods'",
    ),
    "noise given twice": ("study", put("cases/sr/noise_norm", 0.1), r"cases.sr: give 'noise' or 'noise_norm', one"),
    "steps of an unknown study": (
        "scale",
        put("study_steps", {"mien": 0.5}),
        r"tiny.yaml: study_steps.mien: there is no study 'mien'; did you mean 'mine'\?",
    ),
    "case without the method's start": (
        "study",
        drop("cases/sr/methods/csgm"),
        r"cases.sr.methods.csgm-bp: starts from 'csgm', which this case lacks",
    ),
    "case without a generator": (
        "study",
        drop("cases/sr/generator"),
        r"cases.sr.generator: is missing; 'csgm' needs one",
    ),
    "case of an unknown generator": (
        "study",
        put("cases/sr/generator", "x"),
        r"cases.sr.generator: there is no generator",
    ),
    "case of an unknown image set": (
        "study",
        put("cases/sr/images", "face"),
        r"cases.sr.images: there is no image set 'face'; did you mean 'faces'\?",
    ),
    "case of an unknown method": (
        "study",
        put("cases/sr/methods/cgsm", None),
        r"cases.sr.methods: there is no method of this study 'cgsm'; did you mean 'csgm'\?",
    ),
    "unknown setting in a case": (
        "study",
        put("cases/sr/methods/csgm/restart", 2),
        r"cases.sr.methods.csgm.restart: unknown key; did you mean 'restarts'\?",
    ),
    "unknown operator": (
        "study",
        put("cases/sr/operator/name", "bicubik"),
        r"operator 'bicubik'; did you mean 'bicubic'\?",
    ),
    "operator setting missing": ("study", drop("cases/sr/operator/scale"), r"cases.sr.operator.scale: is missing"),
    "noise out of range": ("study", put("cases/sr/noise", 10), r"cases.sr.noise: .*less than or equal to 2, got 10"),
    "nothing to clip": (
        "study",
        both(drop("cases/sr/noise"), put("cases/sr/clip", True)),
        r"cases.sr: 'clip' is for noisy pictures, but there is no noise; give 'noise' or remove 'clip'",
    ),
    "noise in words": ("study", put("cases/sr/noise", "little"), r"cases.sr.noise: .*number, got 'little'"),
    "unknown metric": ("study", put("metrics", [{"name": "pnsr"}]), r"'psnr'\?"),
    "unknown artifact kind": ("study", put("artifacts/table1/kind", "tabel"), r"did you mean 'table'\?"),
    "artifact of an unknown case": ("study", put("artifacts/table1/cases", ["rs"]), r"artifacts.table1.cases: .*'rs'"),
    "artifact of an unknown method": (
        "study",
        put("artifacts/table1/methods", ["x"]),
        r"artifacts.table1.methods: .*'x'",
    ),
    "table of a metric that the study lacks": (
        "study",
        put("artifacts/table1/metrics", ["psnr", "pnsr"]),
        r"artifacts.table1.metrics: there is no metric of this study 'pnsr'; did you mean 'psnr'\?",
    ),
    "figure of a metric that the study lacks": (
        "study",
        put("artifacts/cost", {"kind": "budget", "title": "Cost", "cases": ["sr"], "methods": ["csgm"]}),
        r"artifacts.cost.metric: there is no metric of this study 'mse'; known: .*'?psnr",
    ),
    "unknown artifact setting": (
        "study",
        put("artifacts/table1/titel", "x"),
        r"table1.titel: unknown key; did you mean 'title'",
    ),
    "scale with an unknown key": ("scale", put("step", {}), r"tiny.yaml: step: unknown key; did you mean 'steps'\?"),
    "scale of an unknown data set": (
        "scale",
        put("datasets", {"celebb": {}}),
        r"tiny.yaml: datasets.celebb.dataset: is missing",
    ),
    "scale of a misspelt data set": (
        "scale",
        put("datasets", {"celebb": {"dataset": {"name": "faces-drawn"}}}),
        r"tiny.yaml: datasets.celebb: there is no dataset 'celebb'; did you mean 'celeba'\?",
    ),
    "scale with a gap in an unknown case": (
        "scale",
        put("gaps", {"mine": {"rs": "why"}}),
        r"tiny.yaml: gaps.mine: there is no case 'rs'; did you mean 'sr'\?",
    ),
    "scale with more than all steps": (
        "scale",
        put("steps/csgm", 2.0),
        r"tiny.yaml: steps.csgm: .*less than or equal to 1",
    ),
    "scale of a method without steps": (
        "scale",
        put("steps/bicubic", 0.5),
        r"steps.bicubic: the method 'bicubic' takes no steps",
    ),
    "scale with a misspelt setting": (
        "scale",
        put("methods", {"csgm": {"lrr": 0.2}}),
        r"tiny.yaml: methods.csgm.lrr: unknown key; did you mean 'lr'\?",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_gets_one_message(name: str, project: Callable[..., Plan]) -> None:
    file, edit, message = BROKEN[name]
    with pytest.raises(UserError) as caught:
        project(**{file: edit})
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_yaml_is_named_with_its_line(project: Callable[..., Plan], tmp_path: Path) -> None:
    project()
    (tmp_path / "studies/mine/study.yaml").write_text("title: [unclosed\n")
    with pytest.raises(UserError, match=r"study.yaml: is not valid YAML.*line"):
        make_plan(tmp_path, CONFIG)


def test_a_key_given_twice_is_an_error(project: Callable[..., Plan], tmp_path: Path) -> None:
    project()
    (tmp_path / "scales/tiny.yaml").write_text("title: a\ntitle: b\n")
    with pytest.raises(UserError, match=r"tiny.yaml: .*'title' is given twice"):
        make_plan(tmp_path, CONFIG)


def test_settings_are_the_papers_unless_the_study_the_case_or_the_scale_says_otherwise(
    project: Callable[..., Plan],
) -> None:
    spec = project().studies["mine"].cases["sr"].cells["csgm"].spec
    assert spec["lr"] == 0.1  # the plug-in's default
    assert spec["steps"] == 10  # a tenth of the case's 100, at this scale


def test_numbers_may_be_written_as_in_papers(project: Callable[..., Plan], tmp_path: Path) -> None:
    plan = project()
    assert plan.studies["mine"].cases["sr"].noise == pytest.approx(10 / 255)
    path = tmp_path / "studies/mine/study.yaml"
    path.write_text(path.read_text().replace("steps: 100", "lr: 1e-2"))
    assert make_plan(tmp_path, CONFIG).studies["mine"].cases["sr"].cells["csgm"].spec["lr"] == 0.01


def test_a_start_in_the_middle_is_cut_with_the_steps_and_marked_where_it_is(project: Callable[..., Plan]) -> None:
    cells = project(study=put("methods/csgm-bp/start", "csgm@50")).studies["mine"].cases["sr"].cells
    assert cells["csgm-bp"].starts == {"start": Start("csgm", 5)}
    assert (cells["csgm"].marks, cells["csgm-bp"].marks) == ((5,), ())


def test_a_study_may_be_cut_otherwise_than_the_rest_of_the_scale(project: Callable[..., Plan]) -> None:
    study = project(scale=put("study_steps", {"mine": 0.5})).studies["mine"]
    assert study.cases["sr"].cells["csgm"].spec["steps"] == 50
    assert study.note == "share of the steps: 0.5"


def test_noise_may_be_given_by_its_norm_and_a_ratio_as_a_quotient(project: Callable[..., Plan]) -> None:
    gaussian = put("cases/sr/operator", {"name": "gaussian", "ratio": "2500/49152"})
    case = project(study=both(both(drop("cases/sr/noise"), put("cases/sr/noise_norm", 0.1)), gaussian))
    planned = case.studies["mine"].cases["sr"]
    assert planned.measured_noise == {"noise_norm": 0.1}
    assert planned.operator["ratio"] * 49152 == pytest.approx(2500)


@pytest.mark.parametrize("noise", [{"noise": "256/255"}, {"noise_norm": 0.1}])
def test_only_clipped_noise_is_said_to_be_clipped(project: Callable[..., Plan], noise: dict[str, Any]) -> None:
    """So the jobs of other cases stay what they were before there was a `clip`."""

    def planned(**given: Any) -> CasePlan:
        case = {key: value for key, value in STUDY["cases"]["sr"].items() if key != "noise"}
        return project(study=put("cases/sr", case | noise | given)).studies["mine"].cases["sr"]

    plain = planned().measured_noise
    assert list(plain) == list(noise)
    assert planned(clip=False).measured_noise == plain
    assert planned(clip=True).measured_noise == {**plain, "clip": True}


def test_batches_are_named_by_their_images(project: Callable[..., Plan]) -> None:
    images = project().studies["mine"].images["faces"]
    assert images.batches == ("0000-0001", "0002-0003", "0004-0004")
    assert images.selection("0002-0003") == {
        "dataset": {"name": "faces-drawn", "size": 64, "split": "test"},
        "shift": 0,
        "first": 2,
        "count": 2,
    }


@pytest.mark.parametrize(
    ("given", "device", "expected"),
    [
        (None, "auto", 20),
        ("null", "auto", 20),  # as Snakemake passes it from the command line
        (3, "auto", 3),
        ({"began": "3"}, "auto", 3),  # as Snakemake passes '{began: 3}'
        ({"began": {"cuda": 4, "cpu": 2}}, "cpu", 2),
        ({"began": {"cuda": 4}}, "cpu", 20),
        ({"pggan": 1}, "auto", 20),
    ],
)
def test_images_per_job_are_the_users_or_the_generators(
    given: Any, device: str, expected: int, project: Callable[..., Plan]
) -> None:
    def config(content: Any) -> None:
        content.update(images_per_job=given, device=device)

    assert project(config=config).studies["mine"].images["faces"].per_job == expected


def test_a_set_of_images_is_cut_for_the_largest_of_its_generators(project: Callable[..., Plan]) -> None:
    def study(content: Any) -> None:
        content["generators"]["large"] = {"name": "pggan", "weights": "w.safetensors"}
        content["cases"]["other"] = {**content["cases"]["sr"], "generator": "large"}

    assert project(study=study, config=drop("images_per_job")).studies["mine"].images["faces"].per_job == 10
    small = put("generators", {"pggan": {"name": "began", "size": 64, "weights": "w.safetensors"}})
    plan = project(study=study, scale=small, config=drop("images_per_job"))
    assert plan.studies["mine"].images["faces"].per_job == 20


def test_the_machine_at_hand_changes_no_batch(project: Callable[..., Plan]) -> None:
    def batches(device: str) -> tuple[str, ...]:
        def config(content: Any) -> None:
            content.update(images_per_job=None, device=device)

        return project(config=config).studies["mine"].images["faces"].batches

    assert len({batches(device) for device in ("auto", "cpu", "cuda", "mps")}) == 1


def test_methods_that_take_steps_iterate(project: Callable[..., Plan]) -> None:
    cells = project(study=put("cases/sr/methods/up", None)).studies["mine"].cases["sr"].cells
    assert {name: cell.iterates for name, cell in cells.items()} == {"csgm": True, "csgm-bp": False, "up": False}


def test_more_images_keep_the_names_of_whole_batches(project: Callable[..., Plan]) -> None:
    few = project().studies["mine"].images["faces"].batches
    more = project(study=put("images/faces/count", 8)).studies["mine"].images["faces"].batches
    assert few[:2] == more[:2]


def test_a_scale_replaces_a_data_set_and_its_count(project: Callable[..., Plan]) -> None:
    drawn = {"faces-drawn": {"dataset": {"name": "scenes-drawn"}, "count": 3}}
    images = project(scale=put("datasets", drawn)).studies["mine"].images["faces"]
    assert images.spec.dataset["name"] == "scenes-drawn"
    assert images.spec.size == 3


def test_a_scale_may_replace_a_data_set_in_one_study_alone(project: Callable[..., Plan]) -> None:
    both = {"faces-drawn": {"dataset": {"name": "scenes-drawn"}}, "mine/faces-drawn": {"dataset": {"name": "birds"}}}
    assert project(scale=put("datasets", both)).studies["mine"].images["faces"].spec.dataset["name"] == "birds"
    with pytest.raises(UserError, match=r"datasets\.mime/faces-drawn: there is no study 'mime'; did you mean 'mine'"):
        project(scale=put("datasets", {"mime/faces-drawn": {"dataset": {"name": "birds"}}}))


def test_a_scale_may_leave_out_one_method_of_a_case(project: Callable[..., Plan]) -> None:
    case = project(scale=put("gaps", {"mine": {"s*/csgm": "too long"}})).studies["mine"].cases["sr"]
    assert (case.gap, dict(case.cell_gaps), list(case.cells)) == (None, {"csgm": "too long", "csgm-bp": "too long"}, [])
    with pytest.raises(UserError, match=r"gaps\.mine: there is no case 'sr/cgsm'; did you mean 'sr/csgm'"):
        project(scale=put("gaps", {"mine": {"sr/cgsm": "too long"}}))


def test_a_loss_that_a_scale_leaves_out_is_taken_from_sums_and_alone_is_a_gap(project: Callable[..., Plan]) -> None:
    terms = [{"name": "squared-error"}, {"name": "lpips", "net": "squeeze"}]
    left_out = put("loss_gaps", {"lpips": "no network"})
    plan = project(put("methods/csgm/loss", terms), left_out)
    (term,) = plan.studies["mine"].cases["sr"].cells["csgm"].spec["loss"]
    assert term["name"] == "squared-error"
    assert "without the loss lpips" in plan.studies["mine"].note
    assert not any("lpips/squeeze" in name for name in plan.downloads)
    case = project(put("methods/csgm/loss", terms[1:]), left_out).studies["mine"].cases["sr"]
    assert dict(case.cell_gaps) == {"csgm": "no network", "csgm-bp": "no network"}
    assert "without" not in project(scale=left_out).studies["mine"].note


def test_noise_can_be_added_in_each_step_only_where_there_is_noise(project: Callable[..., Plan]) -> None:
    asked = put("methods/csgm/sna", True)
    assert project(asked).studies["mine"].cases["sr"].cells["csgm"].spec["sna"] is True
    with pytest.raises(UserError, match=r"cases\.sr\.methods\.csgm\.sna: the case has no noise; remove the line"):
        project(both(asked, drop("cases/sr/noise")))


def test_precision_is_of_the_study_or_else_of_the_config_and_float32_is_not_written(
    project: Callable[..., Plan],
) -> None:
    def specs(plan: Plan) -> dict[str, str | None]:
        return {name: c.spec.get("precision") for name, c in plan.studies["mine"].cases["sr"].cells.items()}

    rounded, exact = put("precision", "bfloat16"), put("methods/csgm/precision", "float32")
    assert set(specs(project()).values()) == {None}
    assert project(exact) == project()
    plan = project(exact, config=rounded)
    assert specs(plan)["csgm"] is None and specs(plan)["csgm-bp"] is None, "one says so, the other has no steps"
    assert specs(project(config=rounded))["csgm"] == "bfloat16"
    assert "networks compute in bfloat16" in plan.studies["mine"].note
    with pytest.raises(UserError, match="precision"):
        project(config=put("precision", "float16"))


def test_a_metric_that_a_scale_leaves_out_is_a_gap_and_downloads_nothing(project: Callable[..., Plan]) -> None:
    assert project().downloads == ("lpips/alexnet.pth",)
    plan = project(scale=put("metric_gaps", {"lpips": "no network"}))
    assert plan.metric_gaps == {"lpips-alex": "no network"}
    assert plan.downloads == ()
    assert [spec["name"] for spec in plan.computed_metrics(plan.studies["mine"])] == ["psnr"]


def use(generator: str, **settings: Any) -> Callable[[Any], Any]:
    """An edit that replaces the study's generator."""
    return put("generators/began", {"name": generator, **settings})


def test_downloads_are_those_of_what_is_computed(project: Callable[..., Plan]) -> None:
    public = use("began", size=64, channels=64, output="tanh", weights="began-celeba-64")

    def study(content: Any) -> None:
        public(content)
        put("images/faces/dataset", {"name": "celeba-csgm64"})(content)

    assert project(study=study).downloads == (
        "began/netG_200000.pth",
        "celeba/csgm_celebAtest.zip",
        "lpips/alexnet.pth",
    )
    only_metrics = project(study=study, scale=put("gaps", {"mine": {"sr": "why"}})).downloads
    assert only_metrics == ("lpips/alexnet.pth",)


def test_weights_of_another_generator_are_refused_before_any_job(project: Callable[..., Plan]) -> None:
    with pytest.raises(UserError, match=r"weights: 'began-celeba-64' is of another generator: .*channels is 64 there"):
        project(study=use("began", size=64, channels=32, output="tanh", weights="began-celeba-64"))


def test_weights_that_nobody_makes_are_refused_unless_they_are_there(
    project: Callable[..., Plan], tmp_path: Path
) -> None:
    mine = use("began", weights="my-began")
    with pytest.raises(UserError, match=r"there is no published or trainable weights 'my-began'; .*began-celeba-64"):
        project(study=mine, config=put("data", str(tmp_path / "data")))
    (tmp_path / "data/weights").mkdir(parents=True)
    (tmp_path / "data/weights/my-began.safetensors").touch()
    generators = project(study=mine, config=put("data", str(tmp_path / "data"))).studies["mine"].generators
    assert generators["began"]["weights"] == str(tmp_path / "data/weights/my-began.safetensors")


def test_a_recipe_makes_weights_of_its_name(project: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    recipe = {"generator": {"name": "began", "size": 64}, "dataset": {"name": "celeba-subset"}, "recipe": {"steps": 1}}
    (tmp_path / "recipes/mine.yaml").write_text(yaml.safe_dump(recipe))
    plan = project(study=use("began", size=64, weights="mine"))
    assert "celeba/celeba_subset.tar" in plan.downloads
    (tmp_path / "recipes/mine.yaml").write_text(yaml.safe_dump({**recipe, "generator": {"name": "begun"}}))
    with pytest.raises(UserError, match=r"recipes/mine.yaml: generator.name: there is no generator 'begun'"):
        project()


SMALL = {"faces-drawn": {"dataset": {"name": "scenes-drawn"}, "count": 3, "of": 7}}


def test_what_a_scale_cuts_is_said_and_one_knob_restores_it(project: Callable[..., Plan]) -> None:
    scale = put("datasets", SMALL)
    cut, whole = project(scale=scale), project(scale=scale, config=put("whole", True))
    assert cut.studies["mine"].note == "3 of 7 images; share of the steps: csgm 0.1"
    assert whole.studies["mine"].note == ""
    sizes = [plan.studies["mine"].images["faces"].spec.size for plan in (cut, whole)]
    steps = [plan.studies["mine"].cases["sr"].cells["csgm"].spec["steps"] for plan in (cut, whole)]
    assert (sizes, steps) == ([3, 7], [10, 100])


def test_a_seed_chooses_images_and_ids_leave_nothing_to_choose(project: Callable[..., Plan]) -> None:
    images = project(study=put("images/faces/seed", 5)).studies["mine"].images["faces"]
    assert images.selection("0002-0003")["seed"] == 5
    named = {"dataset": {"name": "faces-drawn"}, "ids": ["000001"], "seed": 5}
    with pytest.raises(UserError, match="images.faces: 'ids' says which images"):
        project(study=put("images/faces", named))


def test_a_gap_may_end_where_weights_are(project: Callable[..., Plan], tmp_path: Path) -> None:
    gap = put("gaps", {"mine": {"s*": {"reason": "a day of GPU time", "unless": "big"}}})
    data = put("data", str(tmp_path / "data"))
    assert project(scale=gap, config=data).studies["mine"].cases["sr"].gap == "a day of GPU time"
    (tmp_path / "data/weights").mkdir(parents=True)
    (tmp_path / "data/weights/big.safetensors").touch()
    assert project(scale=gap, config=data).studies["mine"].cases["sr"].gap is None


@pytest.mark.parametrize(
    "edit", [{"study": put("cases/sr/gap", "no weights")}, {"scale": put("gaps", {"mine": {"sr": "no weights"}})}]
)
def test_a_case_with_a_gap_has_no_cells_to_compute(project: Callable[..., Plan], edit: dict[str, Any]) -> None:
    plan = project(**edit)
    assert list(plan.cells()) == []
    assert render_spec(plan, "mine", "table1")["cases"]["sr"]["gap"] == "no weights"


def denoised(study: Any) -> None:
    """An edit that adds BM3D, a method that starts from it, one that starts from that, and a claim about BM3D."""
    study["methods"] |= {
        "again": {"name": "back-projection", "start": "also"},
        "also": {"name": "back-projection", "start": "bm3d"},
        "bm3d": {"name": "bm3d", "label": "BM3D"},
    }
    study["cases"]["sr"]["methods"] |= dict.fromkeys(("again", "also", "bm3d"))
    study["artifacts"]["table1"]["methods"] = ["csgm", "bm3d", "up"]
    study["claims"] = {"c": CLAIM | {"method": "csgm", "against": "bm3d"}}


def test_a_method_without_its_package_is_a_gap_with_all_that_starts_from_it(
    project: Callable[..., Plan], package: Callable[..., None]
) -> None:
    package("bm3d", installed=False)
    plan, before = project(study=denoised), project()
    case, reason = plan.studies["mine"].cases["sr"], "the package bm3d is not installed; `pip install 'reprior[bm3d]'`"
    assert case.cell_gaps == dict.fromkeys(("again", "also", "bm3d"), reason)
    assert case.cells == before.studies["mine"].cases["sr"].cells
    assert left_out(plan) == {reason: 3}
    for artifact in ("table1", "claims"):
        spec = render_spec(plan, "mine", artifact)["cases"]["sr"]
        assert (spec["gap"], list(spec["methods"]), spec["gaps"]) == (None, ["csgm"], {"bm3d": reason})


def test_a_method_with_its_package_is_computed(project: Callable[..., Plan], package: Callable[..., None]) -> None:
    package("bm3d", installed=True)
    plan = project(study=denoised)
    case = plan.studies["mine"].cases["sr"]
    assert list(case.cells) == ["again", "also", "bm3d", "csgm", "csgm-bp"]
    assert (case.cell_gaps, left_out(plan)) == ({}, {})
    assert render_spec(plan, "mine", "table1")["cases"]["sr"]["gaps"] == {}


def test_planning_does_not_import_torch(root: Path) -> None:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from reprior.planning.resolve import make_plan;"
        "make_plan(Path('.'), {'scale': 'full', 'studies': ['iagan']}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


CLAIM: dict[str, Any] = {
    **{"text": "better", "metric": "psnr", "method": "csgm-bp", "against": "csgm", "cases": "s*", "above": 0}
}


def claimed(**given: Any) -> Callable[[Any], None]:
    """An edit that adds a claim with some keys changed, and without those that are None."""

    def edit(study: Any) -> None:
        study["cases"]["sr8"] = copy.deepcopy(study["cases"]["sr"]) | {"methods": {"csgm": None, "up": None}}
        study["cases"]["up"] = copy.deepcopy(study["cases"]["sr"]) | {"methods": {"up": None}}
        study["claims"] = {"c": {key: value for key, value in (CLAIM | given).items() if value is not None}}

    return edit


def test_claims_are_one_artifact_before_the_others(project: Callable[..., Plan]) -> None:
    plan = project(study=claimed(metric="lpips", method=["csgm-bp", "up"], **{"in": "some"}))
    spec = render_spec(plan, "mine", "claims")
    assert list(plan.studies["mine"].artifacts) == ["claims", "table1"]
    assert (list(spec["cases"]), list(spec["methods"])) == (["sr", "sr8"], ["csgm", "csgm-bp", "up"])
    (claim,) = spec["settings"]["claims"]
    assert (claim["metric"], claim["above"], claim["below"], claim["scope"]) == ("lpips-alex", 0.0, None, "some")
    assert claim["methods"] == [("csgm-bp", "csgm"), ("up", "csgm")]
    assert claim["cases"] == [("sr", "sr"), ("sr8", "sr8")]
    assert claim["compare"] == "difference"
    assert "claims" not in project().studies["mine"].artifacts


@pytest.mark.parametrize(
    ("given", "cases"),
    [
        ({"cases": ["sr8", "sr"], "against_cases": ["sr", "sr8"], "against": None}, [("sr8", "sr"), ("sr", "sr8")]),
        ({"cases": ["s*"], "against_cases": "up", "against": "up"}, [("sr", "up"), ("sr8", "up")]),
        ({"cases": ["sr", "s*", "sr8"]}, [("sr", "sr"), ("sr8", "sr8")]),
    ],
)
def test_cases_of_a_claim_are_paired_in_order_and_once(
    given: dict[str, Any], cases: Any, project: Callable[..., Plan]
) -> None:
    plan = project(study=claimed(**{"method": "csgm", "against": "up", **given}))
    assert plan.studies["mine"].artifacts["claims"].settings["claims"][0]["cases"] == cases


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cases": "ss"}, r"claims.c.cases: there is no case of this study 'ss'"),
        ({"cases": "x*"}, r"claims.c.cases: there is no case of this study 'x\*'.* known: sr, sr8, up"),
        ({"against_cases": ["srr"]}, r"claims.c.against_cases: .*'srr'; did you mean 'sr'"),
        ({"method": "cgsm"}, r"claims.c.method: .*'cgsm'; did you mean 'csgm'"),
        ({"against": ["cgsm"]}, r"claims.c.against: .*'cgsm'; did you mean 'csgm'"),
        ({"metric": "pnsr"}, r"claims.c.metric: .*'pnsr'; did you mean 'psnr'.* known: .*seconds"),
        ({"above": None}, r"claims.c: give 'above' or 'below' or both"),
        ({"above": 1.5, "below": 0.5}, r"claims.c: no difference is above 1.5 and below 0.5"),
        ({"above": 9, "below": 9, "compare": "ratio"}, r"claims.c: no ratio is above 9 and below 9"),
        ({"compare": "quotient"}, r"claims.c.compare: .*'difference' or 'ratio', got 'quotient'"),
        ({"above": "much"}, r"claims.c.above: .*number, got 'much'"),
        ({"against": None}, r"claims.c: give 'against' .* or 'against_cases'"),
        ({"cases": ["sr", "sr8", "up"], "against_cases": ["sr", "sr8"]}, r"expected one case, .* 3 of 'cases', got 2"),
        ({"against": "csgm-bp"}, r"claims.c: compares 'csgm-bp' on the case 'sr' with itself"),
        ({"against_cases": "sr", "against": None}, r"claims.c: compares 'csgm-bp' on the case 'sr' with itself"),
        ({"cases": ["sr8", "up"]}, r"claims.c: none of its cases has the methods that it compares"),
        ({"in": "most"}, r"claims.c.in: .*'every', 'some' or 'median', got 'most'"),
        ({"inn": "some"}, r"claims.c.inn: unknown key; did you mean 'in'"),
        ({"cases": []}, r"claims.c.cases: .*at least 1 item"),
    ],
)
def test_a_broken_claim_gets_one_message(given: dict[str, Any], message: str, project: Callable[..., Plan]) -> None:
    with pytest.raises(UserError) as caught:
        project(study=claimed(**given))
    assert re.search(f"study.yaml: .*{message}|study.yaml: {message}", str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_claims_are_named_by_the_house_and_listed_under_their_key(project: Callable[..., Plan]) -> None:
    with pytest.raises(UserError, match="artifacts.claims: the name 'claims' is reserved"):
        project(study=put("artifacts/claims", {}))
    with pytest.raises(UserError, match="artifacts.table1.kind: a study's claims belong under its key 'claims'"):
        project(study=put("artifacts/table1/kind", "claims"))


def test_a_metric_that_two_networks_have_must_be_named_in_full(project: Callable[..., Plan]) -> None:
    def edit(study: Any) -> None:
        claimed(metric="lpips")(study)
        study["metrics"].append({"name": "lpips", "net": "squeeze"})

    with pytest.raises(UserError, match=r"claims.c.metric: .*'lpips'.* known: .*lpips-alex, lpips-squeeze"):
        project(study=edit)
