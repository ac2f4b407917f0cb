"""Shared by tests in several folders."""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import urllib3

from reprior import provenance
from reprior.planning import plugin_folders

ROOT = Path(__file__).parents[1]


FIRST = (
    *("slurm", "faults"),
    *("workflow/test_projector.py", "workflow/test_own_plugins.py", "workflow/test_rerun_matrix.py"),
    *("workflow/test_plan_growth.py", "workflow/test_small_scale.py", "workflow", "test_docs.py"),
)
"""Folders and files whose tests take longest, and so run first. One process runs all tests of each."""


def _group(nodeid: str) -> str:
    """The entry of `FIRST` that a test belongs to, or else its file."""
    file = nodeid.removeprefix("tests/").partition("::")[0]
    return next((place for place in FIRST if file == place or file.startswith(f"{place}/")), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that take longest first."""
    order = {place: number for number, place in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(_group(item.nodeid), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """For runs in several processes (`-n`): tests that may share fixtures stay together.

    The groups of pytest-xdist 3.8 (`--dist loadgroup`) have no effect with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images and weights that the project may not contain: see docs/architecture.md."""
    folder = Path(os.environ.get("REPRIOR_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the folder of real data {folder} (set REPRIOR_SHARED_DATA)")
    return folder


@pytest.fixture(autouse=True)
def no_outside_plugins() -> Iterator[None]:
    """Forgets the folders of plug-ins that a test's plan has named."""
    yield
    if plugin_folders.used():
        plugin_folders.use([])


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a package look as if it were installed, or not."""
    real = importlib.util.find_spec

    def pretend(package: str, installed: bool) -> None:
        def find_spec(name: str, *among: str | None) -> object:
            return (object() if installed else None) if name == package else real(name, *among)

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    return pretend


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes outputs and record of a job, in an empty working folder. Each job starts a minute after the last."""
    monkeypatch.chdir(tmp_path)
    minutes = itertools.count(20)

    def write(stage: str, outputs: dict[str, str], inputs: tuple[str, ...] = (), **facts: object) -> None:
        for path, text in outputs.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        known = {
            "stage": stage,
            "command": f"python -m reprior {stage} --out {next(iter(outputs))}",
            "settings": {},
            "inputs": {path: provenance.content(Path(path))["sha256"] for path in inputs},
            "code": f"{len(stage):064x}",
            "modules": [f"reprior.stages.{stage}"],
            "commit": "c0ffee" + 34 * "0",
            "versions": {"python": "3.11.7", "reprior": "0.1.0"},
            "device": None,
            "host": "node1",
            "seeds": {},
            "started": f"2026-11-20T17:{next(minutes)}:00+00:00",
            "seconds": 12.3,
            "peak_memory_mib": 100.0,
        }
        provenance.write_record(map(Path, outputs), known | facts)

    return write


SCHEMA_ORG = """
    CreativeWork Dataset SoftwareSourceCode SoftwareApplication ComputerLanguage HowTo HowToStep CreateAction Person
    Organization about name description license author datePublished mainEntity hasPart mentions version
    encodingFormat contentSize sdDatePublished programmingLanguage step workExample url softwareVersion
    instrument object result startTime endTime actionStatus
"""
RO_CRATE_CONTEXT = {term: f"http://schema.org/{term}" for term in SCHEMA_ORG.split()} | {
    "File": "http://schema.org/MediaObject",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
}
"""The terms that our crates use, as RO-Crate 1.1 defines them. The full list of terms is only on the web."""


@pytest.fixture(scope="session")
def objections(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """The objections of the RO-Crate community's validator to a crate: check -> message. It needs no network."""
    from rocrate_validator import services
    from rocrate_validator.utils.http import HttpRequester

    cache = tmp_path_factory.mktemp("validator") / "http"
    request = requests.Request("GET", "https://w3id.org/ro/crate/1.1/context").prepare()
    body = io.BytesIO(json.dumps({"@context": RO_CRATE_CONTEXT}).encode())
    kind = {"Content-Type": "application/ld+json"}
    answer = urllib3.HTTPResponse(body, kind, 200, preload_content=False, request_url=request.url)
    session = HttpRequester.initialize_cache(cache_path=str(cache), offline=True).session
    session.cache.save_response(requests.adapters.HTTPAdapter().build_response(request, answer))

    def validate(crate: Path, severity: str = "REQUIRED") -> dict[str, str]:
        settings = services.ValidationSettings(
            rocrate_uri=crate.as_posix(),
            profile_identifier="provenance-run-crate",  # it includes ro-crate-1.1 and the others
            requirement_severity=severity,
            cache_path=cache,
            offline=True,
            skip_availability_check=True,
        )
        return {issue.check.identifier: issue.message for issue in services.validate(settings).get_issues()}

    return validate
