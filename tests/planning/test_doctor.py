"""What `reprior doctor` finds on machines where one thing is missing."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from reprior.acquire.registry import known_source
from reprior.cli import main
from reprior.machine import devices
from reprior.planning import doctor
from reprior.planning.doctor import FIX, NOTE, OK, Finding, described, examine
from reprior.planning.plan import Plan
from reprior.planning.resolve import make_plan

Planned = Callable[..., Plan]
Programs = Callable[..., None]


@pytest.fixture
def planned(root: Path, tmp_path: Path) -> Planned:
    """Makes a plan of the project's own study, with temporary folders."""

    def plan(scale: str = "demo", **config: Any) -> Plan:
        folders = {"data": str(tmp_path / "data"), "results": str(tmp_path / "results")}
        return make_plan(root, {"studies": ["iagan"], "scale": scale, **folders, **config})

    return plan


@pytest.fixture(autouse=True)
def programs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A machine with this Python and 1 TB free, without GPU and SLURM. Adds programs, given as shell scripts."""
    (tmp_path / "bin").mkdir()

    def write(**scripts: str) -> None:
        for name, body in scripts.items():
            path = tmp_path / "bin" / name.replace("_", "-")
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)

    write(python=f'exec {sys.executable} "$@"')
    monkeypatch.chdir(root)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with_free(monkeypatch, 10**12)
    return write


def found(plan: Plan, root: Path, about: str) -> list[Finding]:
    return [finding for finding in examine(plan, root) if finding.about == about]


def only(plan: Plan, root: Path, about: str) -> Finding:
    (finding,) = found(plan, root, about)
    return finding


@pytest.mark.parametrize("scale", ["demo", "small", "full"])
def test_a_sound_machine_has_nothing_to_fix_and_fits_on_a_screen(
    planned: Planned, root: Path, tmp_path: Path, scale: str
) -> None:
    findings = examine(planned(scale), root)
    lines = described(findings).splitlines()
    assert {finding.mark for finding in findings} <= {OK, NOTE}
    assert lines[-1] == "Nothing to fix."
    assert len(lines) <= 32
    assert max(len(line.replace(str(tmp_path), "")) for line in lines) <= 80


def test_what_is_to_fix_is_counted_and_followed_by_advice() -> None:
    findings = [Finding(OK, "disk", "enough"), Finding(FIX, "device", "none", "buy one")]
    assert described(findings).splitlines() == [
        "ok    disk       enough",
        "FIX   device     none",
        "                 -> buy one",
        "",
        "To fix: 1.",
    ]


def test_nothing_is_written(planned: Planned, root: Path, tmp_path: Path) -> None:
    examine(planned("small"), root)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("exit 1", "has no reprior"),
        ("echo /elsewhere/reprior/__init__.py", "another reprior, that of"),
    ],
)
def test_jobs_would_use_a_python_that_is_not_this_one(
    planned: Planned, root: Path, programs: Programs, body: str, text: str
) -> None:
    programs(python=body)
    finding = only(planned(), root, "python")
    assert (finding.mark, text in finding.text) == (FIX, True)
    assert "source .venv/bin/activate" in finding.advice


def test_no_python_on_path(planned: Planned, root: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "python").unlink()
    finding = only(planned(), root, "python")
    assert (finding.mark, "there is no `python` on PATH" in finding.text) == (FIX, True)


def test_packages_that_lack_or_are_too_old(planned: Planned, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "lmdb":
            raise metadata.PackageNotFoundError(name)
        return "1.26" if name == "numpy" else real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    finding = only(planned(), root, "packages")
    assert finding.mark == FIX
    assert finding.text == "lmdb is not installed; numpy is 1.26, and >=2.0 is needed"
    assert "envs/install.sh" in finding.advice


def test_cells_without_their_package_are_noted(
    planned: Planned, root: Path, monkeypatch: pytest.MonkeyPatch, package: Callable[..., None]
) -> None:
    package("bm3d", installed=False)
    reason = "the package bm3d is not installed; `pip install 'reprior[bm3d]'`"
    monkeypatch.setattr(doctor.footprint, "left_out", lambda plan: {reason: 3, "too long; at this scale": 2})
    sound, finding = found(planned(), root, "packages")
    assert (sound.mark, finding.mark) == (OK, NOTE)
    assert finding.text == "the package bm3d is not installed, so 3 cells are left out"
    assert finding.advice == "`pip install 'reprior[bm3d]'`"


def test_a_torch_that_cannot_be_imported(planned: Planned, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    finding = only(planned(), root, "device")
    assert (finding.mark, finding.text.startswith("torch cannot be imported: ")) == (FIX, True)
    assert "envs/install.sh" in finding.advice


def test_a_configured_device_that_is_not_there(planned: Planned, root: Path) -> None:
    finding = only(planned(device="cuda"), root, "device")
    assert (finding.mark, finding.text.startswith("cuda was asked for, but torch ")) == (FIX, True)
    assert "set device to auto" in finding.advice


def smi(count: int) -> str:
    return "\n".join(f"echo 'GPU-{index}, {index}, Fake GPU, 8000 MiB'" for index in range(count))


def test_gpus_are_counted_with_what_uses_them_all(
    planned: Planned, root: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    programs(nvidia_smi=smi(2))
    finding = only(planned(jobs_per_gpu=2), root, "device")
    assert (finding.mark, finding.text) == (OK, "cuda: 2 x Fake GPU, 8000 MiB")
    assert "--resources gpu=4" in finding.advice


def test_a_gpu_that_torch_cannot_use(planned: Planned, root: Path, programs: Programs) -> None:
    programs(nvidia_smi=smi(1))
    finding = only(planned(), root, "device")
    assert (finding.mark, finding.text) == (NOTE, "cpu: torch cannot use 1 x Fake GPU, 8000 MiB")
    assert "TORCH=locked" in finding.advice


def test_a_broken_driver(planned: Planned, root: Path, programs: Programs) -> None:
    programs(nvidia_smi="echo no communication with the driver; exit 9")
    findings = found(planned(), root, "device")
    assert [finding.mark for finding in findings] == [NOTE, NOTE]
    assert "nvidia-smi failed (no communication with the driver)" in findings[0].text


def test_a_folder_that_cannot_be_written(planned: Planned, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = only(planned(results=str(tmp_path / "file" / "results")), root, "folders")
    assert (finding.mark, f"{tmp_path / 'file'}: cannot be written" in finding.text) == (FIX, True)
    assert "--config data=... results=..." in finding.advice


def test_a_file_system_without_locks(planned: Planned, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> NoReturn:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(doctor.fcntl, "flock", flock)
    findings = found(planned(), root, "folders")
    assert {finding.mark for finding in findings} == {FIX}
    assert "offers no locks" in findings[0].text
    assert "mount it with locks" in findings[0].advice


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))


def test_a_full_disk(planned: Planned, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 1_000_000)
    finding = only(planned(), root, "disk")
    assert (finding.mark, "1.0 MB free" in finding.text) == (FIX, True)
    assert finding.advice.startswith("free some, or name another folder")


def test_what_is_there_already_needs_no_room(
    planned: Planned, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 1_000_000)
    for path in (tmp_path / "results" / "demo" / "big", tmp_path / "data" / "images" / "demo" / "big"):
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            file.truncate(1_000_000_000)
    finding = only(planned(), root, "disk")
    assert (finding.mark, "about 0.0 MB to be written" in finding.text) == (OK, True)


def test_downloads_that_come_by_themselves(planned: Planned, root: Path, tmp_path: Path) -> None:
    place = tmp_path / "data/raw/celeba/csgm_celebAtest.zip"
    place.parent.mkdir(parents=True)
    place.touch()
    there, missing = found(planned("small"), root, "downloads")
    assert (there.mark, there.text) == (OK, f"1 of 3 are in {tmp_path}/data/raw")
    assert missing.mark == NOTE
    assert "began/netG_200000.pth (2.3 MB)" in missing.text
    assert "csgm_celebAtest" not in missing.text


def test_offline_downloads_must_be_placed_by_hand(planned: Planned, root: Path, tmp_path: Path) -> None:
    manual = tmp_path / "data/manual"
    manual.mkdir(parents=True)
    (manual / known_source("lpips/squeezenet1_1.pth").accepts[0].file).touch()
    fetched, missing = found(planned("small", offline=True), root, "downloads")
    assert (fetched.mark, missing.mark) == (NOTE, FIX)
    assert "lpips/squeezenet1_1.pth" in fetched.text
    assert "as offline=true: began/netG_200000.pth (2.3 MB), celeba/csgm_celebAtest.zip" in missing.text
    assert f"put the files into {manual}/" in missing.advice


def test_a_mirror_is_looked_into(planned: Planned, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor.mirrors, "find", lambda wanted, folders: folders[-1] == tmp_path / "mirror" and len(wanted) or None
    )
    findings = found(planned("small", offline=True, mirrors=[str(tmp_path / "mirror")]), root, "downloads")
    assert {finding.mark for finding in findings} == {NOTE}


def test_weights_by_where_they_come_from(planned: Planned, root: Path, tmp_path: Path) -> None:
    small = found(planned("small"), root, "weights")
    assert [(finding.mark, finding.text) for finding in small] == [
        (NOTE, "began-celeba-64.safetensors: will be converted from began/netG_200000.pth")
    ]
    made = tmp_path / "data/weights/began-celeba-64.safetensors"
    made.parent.mkdir(parents=True)
    made.touch()
    assert only(planned("small"), root, "weights").mark == OK


def test_weights_that_nobody_makes(planned: Planned, root: Path, tmp_path: Path) -> None:
    plan = planned()
    generators = plan.studies["iagan"].generators
    for generator in generators.values():
        generator["weights"] = str(tmp_path / "mine.safetensors")
    finding = only(plan, root, "weights")
    assert (finding.mark, finding.text) == (FIX, f"{tmp_path}/mine.safetensors is not there, and no job makes it")


def test_without_slurm(planned: Planned, root: Path) -> None:
    assert only(planned(), root, "slurm") == Finding(OK, "slurm", "not installed: jobs run on this machine")


def test_a_slurm_that_does_not_answer(planned: Planned, root: Path, programs: Programs) -> None:
    programs(sinfo="echo Unable to contact slurm controller >&2; exit 1")
    finding = only(planned(), root, "slurm")
    assert finding.mark == NOTE
    assert "does not answer: sinfo failed (Unable to contact slurm controller)" in finding.text
    assert "jobs run on this machine alone" in finding.advice


def test_slurm_without_the_plug_in(
    planned: Planned, root: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "snakemake-executor-plugin-slurm":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    programs(sinfo="echo cpu; echo gpu; echo cpu", squeue="")
    finding = only(planned(), root, "slurm")
    assert (finding.mark, finding.text) == (NOTE, "answers; partitions: cpu, gpu; Snakemake has no plug-in for it")
    assert "install snakemake-executor-plugin-slurm" in finding.advice


def test_jobs_that_are_still_queued(
    planned: Planned, root: Path, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = "2e5a1b0c-7c1d-4f6e-9a3b-0123456789ab"
    programs(sinfo="echo cpu", squeue=f"echo '17|RUNNING|{run}|{tmp_path}|rule_train'")
    finding = found(planned(), root, "slurm")[-1]
    assert (finding.mark, "1 jobs of a run in this folder" in finding.text) == (NOTE, True)
    assert "17 running: rule_train" in finding.text


def test_a_check_that_breaks_does_not_stop_the_others(
    planned: Planned, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> NoReturn:
        raise OSError("stale file handle")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    findings = examine(planned(), root)
    assert [finding.about for finding in findings if finding.mark == FIX] == ["disk"]
    assert "OSError: stale file handle" in next(finding.text for finding in findings if finding.about == "disk")
    assert findings[-1].about == "slurm"


def test_the_exit_status_says_whether_there_is_something_to_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [f"data={tmp_path}/data", f"results={tmp_path}/results"]
    main(["doctor", "--config", *folders])
    assert "Nothing to fix." in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--config", *folders, "device=cuda"])
    assert stop.value.code == 1
    assert "To fix: 1." in capsys.readouterr().out
