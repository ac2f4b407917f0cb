"""The workflow on a real SLURM: it loses no work and gives the numbers of a run on one machine."""

from __future__ import annotations

import csv
import itertools
from operator import itemgetter

import pytest
import torch

from tests.slurm.scenarios import Scenario

pytestmark = pytest.mark.slow

MEASURED = ("seconds", "memory_mib")
"""Numbers that differ between runs."""
GPUS = set(map(str, range(12)))
"""The GPUs of slurm-up.sh."""


def numbers(scenario: Scenario) -> list[list[str]]:
    """All numbers that must not depend on where they were computed."""
    with (scenario.folder / "results/tiny/metrics.csv").open() as file:
        return [row for row in csv.reader(file) if row[4] not in MEASURED]


def assert_as_undisturbed(scenario: Scenario, reference: Scenario, *labels: str) -> None:
    expected = reference.tensors("csgm")
    for label in labels:
        found = scenario.tensors(label)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected), label


@pytest.mark.slurm("end_to_end")
def test_numbers_are_those_of_one_machine(scenario: Scenario, reference: Scenario) -> None:
    assert numbers(scenario) == numbers(reference)
    # a heading; images x (methods x (metrics, two residuals, passes), parameters of csgm)
    assert len(numbers(reference)) == 1 + 2 * (2 * (2 + 3) + 1)


@pytest.mark.slurm("faulty")
def test_each_job_at_the_same_time_has_a_gpu_of_its_own(scenario: Scenario) -> None:
    jobs = [job for job in scenario.attempts() if job["end"]]
    pairs = itertools.combinations(sorted(jobs, key=itemgetter("time")), 2)
    together = [(one["gpus"], other["gpus"]) for one, other in pairs if other["time"] < one["end"]]
    assert together
    assert all(one in GPUS and one != other for one, other in together)


@pytest.mark.slurm("end_to_end")
def test_methods_without_steps_have_no_gpu(scenario: Scenario) -> None:
    assert all(job["gpus"] in GPUS for job in scenario.attempts("csgm"))
    assert not any(job["gpus"] in GPUS for job in scenario.attempts("csgm-bp"))


@pytest.mark.slurm("end_to_end")
def test_light_stages_run_where_snakemake_runs(scenario: Scenario) -> None:
    submitted = {line.split()[1].rstrip(":") for line in scenario.output().splitlines() if line.startswith("rule ")}
    assert submitted == {"observe", "reconstruct", "reconstruct_direct"}


@pytest.mark.slurm("faulty")
@pytest.mark.parametrize("label", ["failing", "killed", "cancelled"])
def test_a_job_that_failed_is_tried_again(scenario: Scenario, reference: Scenario, label: str) -> None:
    first, second = scenario.attempts(label)
    assert first["slurm_job"] != second["slurm_job"]
    assert_as_undisturbed(scenario, reference, label)


@pytest.mark.slurm("faulty")
@pytest.mark.parametrize("label", ["killed", "cancelled"])
def test_the_next_attempt_goes_on_where_the_last_one_was(scenario: Scenario, label: str) -> None:
    assert "going on from" in scenario.log(label)


@pytest.mark.slurm("faulty")
def test_jobs_do_not_notice_a_restart_of_the_controller(scenario: Scenario, reference: Scenario) -> None:
    assert len(scenario.attempts("undisturbed")) == 1
    assert_as_undisturbed(scenario, reference, "undisturbed")


@pytest.mark.slurm("out_of_time")
def test_a_job_out_of_time_goes_on_with_more(scenario: Scenario, reference: Scenario) -> None:
    assert len(scenario.attempts("slow")) > 1
    assert "SLURM status is: 'TIMEOUT'" in scenario.output()
    assert "going on from" in scenario.log("slow")
    assert_as_undisturbed(scenario, reference, "slow")


@pytest.mark.slurm("preempted")
def test_a_preempted_job_goes_on_later(scenario: Scenario, reference: Scenario) -> None:
    attempts = scenario.attempts("modest")  # jobs of other scenarios may preempt it once more
    assert len(attempts) >= 2
    assert len({attempt["slurm_job"] for attempt in attempts}) == 1
    assert "going on from" in scenario.log("modest")
    assert_as_undisturbed(scenario, reference, "modest")


@pytest.mark.slurm("interrupted")
def test_ctrl_c_cancels_the_jobs_and_the_next_run_goes_on(scenario: Scenario, reference: Scenario) -> None:
    assert len(scenario.attempts("first")) == 2
    assert "going on from" in scenario.log("first")
    assert_as_undisturbed(scenario, reference, "first")


@pytest.mark.slurm("orphaned")
def test_a_second_run_does_not_start_beside_orphans(scenario: Scenario) -> None:
    assert "snakemake --unlock" in scenario.notes["locked"]
    assert "jobs of an earlier run still work here" in scenario.notes["refused"]
    assert scenario.notes["meanwhile"] == (1, 1, False)  # queued, attempts, result


@pytest.mark.slurm("orphaned")
def test_what_orphans_finish_is_kept(scenario: Scenario, reference: Scenario) -> None:
    assert scenario.notes["kept"]
    assert sorted(job["label"] for job in scenario.attempts()) == ["later", "orphan", "orphan"]
    assert "was made by another process and is kept" in scenario.log("orphan")
    assert_as_undisturbed(scenario, reference, "orphan", "later")


@pytest.mark.slurm("allocated")
def test_a_run_within_one_allocation_goes_on_in_the_next(scenario: Scenario, reference: Scenario) -> None:
    assert "going on from" in scenario.log("left")
    assert [len(job["gpus"].split(",")) for job in scenario.attempts()] == [2, 2, 2, 2]
    assert_as_undisturbed(scenario, reference, "left", "right")
