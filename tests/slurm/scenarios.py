"""What happens to runs on SLURM in the tests. All scenarios run at the same time, because they mostly wait."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from reprior.machine.files import load_tensors
from tests.workflow.conftest import STUDY, Project, environment

HERE = Path(__file__).parent
CONFIG = "scale: tiny\nstudies: [mine]\nimages_per_job: 2\ncheckpoint_seconds: 1\n"
STEPS = 100
METHODS = {
    "csgm": {"name": "csgm", "label": "CSGM", "steps": STEPS},
    "csgm-bp": {"name": "back-projection", "label": "CSGM-BP", "start": "csgm"},
}
QUICK = {"pause": 0.15}  # per step: a job takes 15 seconds
LONGER = {"pause": 0.6}
SCENARIOS: dict[str, dict[str, Any]] = {
    "end_to_end": {"from_nothing": True, "faults": {"csgm": QUICK}},
    "faulty": {"faults": {"failing": {"failures": 1}, "killed": QUICK, "cancelled": QUICK, "undisturbed": LONGER}},
    "out_of_time": {"minutes": 1, "faults": {"slow": {"pause": 0.9}}},
    "preempted": {"resources": {"slurm_partition": "spot", "cpus_per_task": 40}, "faults": {"modest": LONGER}},
    "interrupted": {"faults": {"first": QUICK}},
    "orphaned": {"faults": {"orphan": {"pause": 1.05}, "later": {}}},
    "allocated": {"faults": {"left": QUICK, "right": QUICK}},
}
"""Name of the function below that runs it -> settings of its `Scenario`."""
CONTROLLER = threading.Lock()
"""Held while the controller restarts, and while a job must get its GPUs without such a restart."""
PATIENCE = 330
"""Seconds after which a waiting scenario fails."""


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until something is true; return its value."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.3)
    return value


def write_study(project: Project, methods: dict[str, dict]) -> None:
    """Let the tiny study solve its case with these methods."""
    case = STUDY["cases"]["sr"] | {"methods": dict.fromkeys(methods)}
    table = STUDY["artifacts"]["baseline"] | {"methods": ["csgm"]}
    project.write_study(STUDY | {"methods": methods, "cases": {"sr": case}, "artifacts": {"baseline": table}})


def heed_interrupts() -> None:
    """Accept SIGINT. Processes that a shell starts in the background ignore it, and CI may start these tests so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Scenario:
    """A tiny project whose jobs can be disturbed, and a record of what happened."""

    project: Project
    minutes: int = 5
    """Time limit of a job's first attempt."""
    resources: dict[str, Any] = field(default_factory=dict)
    """Resources of `reconstruct` that differ from those of the profile."""
    faults: dict[str, dict] = field(default_factory=dict)
    """Faults by method: see payload.py. Methods that the study does not have are CSGM under another name."""
    heads: list[subprocess.Popen] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    """Observations during the scenario, for the tests."""
    error: str = ""

    @property
    def folder(self) -> Path:
        return self.project.folder

    def prepare(self, root: Path) -> Scenario:
        """Put the profiles, the replacement for python and the faults into the project's folder."""
        shutil.copytree(root / "profiles", self.folder / "profiles")
        self._shorten_profile(self.folder / "profiles/slurm/config.yaml")
        (self.folder / "config.yaml").write_text(CONFIG)
        (self.folder / "faults.json").write_text(json.dumps(self.faults))
        write_study(self.project, METHODS | {name: METHODS["csgm"] for name in self.faults if name not in METHODS})
        python = self.folder / "bin/python"
        python.parent.mkdir()
        python.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "payload.py"} "$@"\n')
        python.chmod(0o755)
        return self

    def _shorten_profile(self, path: Path) -> None:
        """Change the real profile: short times, and a cluster without accounting."""
        profile = yaml.safe_load(path.read_text())
        for resources in (profile["default-resources"], *profile["set-resources"].values()):
            resources["runtime"] = f"{self.minutes} * attempt"
        profile["set-resources"]["reconstruct"] |= self.resources
        hurry = {"slurm-init-seconds-before-status-checks": 4, "slurm-status-command": "squeue"}
        path.write_text(yaml.safe_dump(profile | hurry))

    def environment(self) -> dict[str, str]:
        usual = environment()
        return usual | {"PATH": f"{self.folder / 'bin'}{os.pathsep}{usual['PATH']}"}

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start Snakemake in the background, with its jobs on SLURM. Its output goes to a file."""
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *arguments]
        with (self.folder / f"head-{len(self.heads)}.log").open("w") as log:
            head = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=heed_interrupts,
            )
        self.heads.append(head)
        return head

    def output(self) -> str:
        """The output of the last Snakemake."""
        return (self.folder / f"head-{len(self.heads) - 1}.log").read_text()

    def finish(self, *arguments: str) -> str:
        """Run Snakemake, which must succeed; return its output."""
        status = self.start(*arguments).wait(PATIENCE)
        assert status == 0, f"Snakemake ended with {status}"
        return self.output()

    def fail(self, *arguments: str) -> str:
        """Run Snakemake, which must fail; return its output."""
        assert self.start(*arguments).wait(PATIENCE) != 0, "Snakemake should have failed"
        return self.output()

    def slurm(self, *command: str, seconds: float = 60) -> str:
        """Run a SLURM command in the project's folder; return its output."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=seconds
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def cell(self, label: str, suffix: str = ".safetensors") -> Path:
        """Path of a method's result, relative to the project."""
        return Path(f"results/tiny/mine/sr/{label}/0000-0001{suffix}")

    def cells(self, *labels: str) -> list[str]:
        return [str(self.cell(label)) for label in labels]

    def attempts(self, label: str = "") -> list[dict]:
        """Every attempt of a method's job (or of all jobs), in order."""
        path = self.folder / "attempts.jsonl"
        events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        ends = {event["pid"]: event["time"] for event in events if event["event"] == "end"}
        starts = [event | {"end": ends.get(event["pid"])} for event in events if event["event"] == "start"]
        return [event for event in starts if label in ("", event["label"])]

    def saved(self, label: str) -> dict:
        """Wait until a method's job has saved its state; return its last attempt."""
        result = self.folder / self.cell(label)
        until(result.with_name(f".{result.stem}.checkpoint").exists, f"{label} has saved its state")
        return self.attempts(label)[-1]

    def queued(self) -> list[str]:
        """Job numbers of this folder's pending and running jobs."""
        jobs = (line.split(maxsplit=1) for line in self.slurm("squeue", "--noheader", "--format=%i %Z").splitlines())
        return [number for number, folder in jobs if Path(folder) == self.folder]

    def log(self, label: str) -> str:
        """The log of a method's last attempt."""
        return (self.folder / f"results/tiny/logs/reconstruct/mine/sr/{label}/0000-0001.log").read_text()

    def tensors(self, label: str) -> dict[str, torch.Tensor]:
        return load_tensors(self.folder / self.cell(label))[0]

    def account(self) -> str:
        """Everything that was said, for a test that fails."""
        places = ("head-*.log", "attempts.jsonl", "results/tiny/logs/reconstruct/**/*.log", "allocation-*.log")
        files = [path for place in places for path in sorted(self.folder.glob(place))]
        files += sorted((self.folder / ".snakemake/slurm_logs").rglob("*.log"))
        return "\n".join([str(self.notes), *(f"---- {path}\n{path.read_text()}" for path in files)])


def undisturbed(scenario: Scenario) -> None:
    """On this machine, without SLURM."""
    scenario.project.snakemake()


def end_to_end(scenario: Scenario) -> None:
    """From nothing to the table."""
    scenario.finish()


def faulty(scenario: Scenario) -> None:
    """Four jobs of one run: one fails once, one is killed, one is cancelled; and the controller restarts during one."""
    head = scenario.start(*scenario.cells(*scenario.faults))
    os.kill(scenario.saved("killed")["pid"], signal.SIGKILL)
    scenario.slurm("scancel", scenario.saved("cancelled")["slurm_job"])
    scenario.saved("undisturbed")
    restart_controller()
    assert scenario.attempts("undisturbed")[-1]["slurm_job"] in scenario.queued(), "it ended before the restart"
    assert head.wait(PATIENCE) == 0


def restart_controller() -> None:
    """Restart slurmctld, as an administrator does."""
    with CONTROLLER:
        pid = int(Path("/run/slurm/slurmctld.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not alive(pid), "slurmctld has stopped", 60)
        subprocess.run([HERE / "slurm-up.sh", "controller"], check=True, timeout=60)
        until(registered, "the node has registered again", 60)


def registered() -> bool:
    """Whether the controller knows the node's GPUs. A job that it starts earlier gets no GPUs."""
    shown = subprocess.run(["scontrol", "show", "node"], capture_output=True, text=True, check=False, timeout=10).stdout
    return "SlurmdStartTime=" in shown and "SlurmdStartTime=None" not in shown


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def out_of_time(scenario: Scenario) -> None:
    """A job that needs more than the minute of its first attempt."""
    scenario.finish(*scenario.cells("slow"))


def preempted(scenario: Scenario) -> None:
    """A job is preempted by a job of higher priority, which needs its CPUs."""
    head = scenario.start(*scenario.cells("modest"))
    scenario.saved("modest")
    scenario.slurm("sbatch", "--partition=cpu", "--cpus-per-task=40", "--chdir=/", "--output=/dev/null", "--wrap=true")
    assert head.wait(PATIENCE) == 0


def interrupted(scenario: Scenario) -> None:
    """Snakemake is stopped as with Ctrl-C, and started again."""
    head = scenario.start(*scenario.cells("first"))
    scenario.saved("first")
    head.send_signal(signal.SIGINT)
    assert head.wait(60) != 0
    until(lambda: not scenario.queued(), "SLURM has cancelled the job", 60)
    scenario.finish(*scenario.cells("first"))


def orphaned(scenario: Scenario) -> None:
    """Snakemake is killed. It is started again while its job runs (before and after unlocking) and after that."""
    targets = scenario.cells("orphan", "later")
    result = scenario.folder / scenario.cell("orphan")
    head = scenario.start("--jobs", "1", "--prioritize", targets[0], "--", *targets)
    scenario.saved("orphan")
    head.kill()
    head.wait()
    scenario.notes["locked"] = scenario.fail(*targets)
    scenario.finish("--unlock")
    scenario.notes["refused"] = scenario.fail(*targets)
    scenario.notes["meanwhile"] = len(scenario.queued()), len(scenario.attempts()), result.exists()
    until(lambda: not scenario.queued(), "the job has ended")
    made = result.stat().st_ino
    scenario.finish(*targets)
    scenario.notes["kept"] = result.stat().st_ino == made


def allocated(scenario: Scenario) -> None:
    """Snakemake runs within one cluster job, which is cancelled and submitted again."""
    first = scenario.slurm(*allocation(scenario, "first"))
    scenario.saved("left")
    scenario.slurm("scancel", first)
    until(lambda: not scenario.queued(), "the allocation has ended", 60)
    scenario.finish("--unlock")
    with CONTROLLER:
        scenario.slurm(*allocation(scenario, "second"))
        until(lambda: len(scenario.attempts()) == 4, "both jobs have been started again")
    until(lambda: not scenario.queued(), "the second allocation has ended")


def allocation(scenario: Scenario, name: str) -> list[str]:
    """The command of docs/cluster.md."""
    run = " ".join(["snakemake --cores 2 --resources gpu=2 --", *scenario.cells("left", "right")])
    resources = ["--partition=gpu", "--gpus=2", "--cpus-per-task=2", "--mem=12G", "--time=10"]
    return ["sbatch", "--parsable", *resources, f"--output=allocation-{name}.log", f"--wrap={run}"]
