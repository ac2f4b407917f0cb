"""The entities that describe a run in an RO-Crate, as Provenance Run Crate 0.5 and RO-Crate 1.1 define them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from reprior.provenance import Record, content
from reprior.provenance.crate_files import Entity, Files
from reprior.provenance.lineage import Lineage, name

_CRATE = "https://w3id.org/ro/crate/1.1"
CONTEXT = [f"{_CRATE}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_LICENCE = "https://spdx.org/licenses/MIT"
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_SUMMARY = (
    "GAN priors for imaging inverse problems: tables, figures and reconstructions, and how each came about. "
    "Pictures of downloaded images stay under the licence of their download."
)


@dataclass(frozen=True)
class Entities:
    """The entities of a run."""

    lineage: Lineage
    jobs: Sequence[Record]
    results: Sequence[str]
    command: str
    copied: Sequence[Path]
    files: Files

    def graph(self) -> list[Entity]:
        """All entities, without duplicates."""
        profiles = (_work(address, *about) for address, about in _PROFILES.items())
        every = [
            self._descriptor(),
            self._root(),
            *profiles,
            _work(_LICENCE, "MIT License"),
            _work(_SNAKEMAKE, "Snakemake") | {"@type": "ComputerLanguage", "url": "https://snakemake.readthedocs.io"},
            *self._authors,
            *self._parts.values(),
            *self._steps,
            *self._tools.values(),
            *self._actions,
        ]
        return list({entity["@id"]: entity for entity in every}.values())

    def _descriptor(self) -> Entity:
        return {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": _links([_CRATE, _WORKFLOW_CRATE]),
        }

    def _root(self) -> Entity:
        parts = [file["@id"] for file in self._parts.values() if file["@type"] != "CreativeWork"]
        authors = [author["@id"] for author in self._authors]
        return {
            "@id": "./",
            "@type": "Dataset",
            "name": f"Results of reprior at scale {self.files.folder.name}",
            "description": _SUMMARY,
            "license": {"@id": _LICENCE},
            "datePublished": max(map(_ended, self.jobs)),
            "conformsTo": _links(_PROFILES),
            "mainEntity": {"@id": self._main},
            "hasPart": _links(parts),
            "mentions": _links(action["@id"] for action in self._actions),
            **({"author": _links(authors)} if authors else {}),
        }

    @property
    def _main(self) -> str:
        return self.files.name(self.copied[0].as_posix())

    @cached_property
    def _authors(self) -> list[Entity]:
        """The authors in the citation file."""
        citation = next((file for file in self.copied if file.name == "CITATION.cff"), None)
        authors = yaml.safe_load(citation.read_text(encoding="utf-8"))["authors"] if citation else []
        return [_author(author) for author in authors]

    @cached_property
    def _parts(self) -> dict[str, Entity]:
        """Every file that a job read or made, and the copied files, by their names in the crate."""
        read = {file: {"sha256": sha256} for job in self.jobs for file, sha256 in job["inputs"].items()}
        made = {file: known for job in self.jobs for file, known in job["outputs"].items()}
        read |= {file: {"sha256": sha256} for job in self.jobs for file, sha256 in job.get("plugins", {}).items()}
        copied = {copy.as_posix(): content(copy) for copy in self.copied}
        found = [self.files.entity(file, known) for file, known in (read | made | copied).items()]
        files = {file["@id"]: file for file in found}
        return files | {self._main: files[self._main] | self._workflow()}

    def _workflow(self) -> Entity:
        """The properties that the Snakefile has in addition to those of a file."""
        return {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "reprior",
            "version": self.jobs[0]["versions"]["reprior"],
            "license": {"@id": _LICENCE},
            "encodingFormat": "text/plain",
            "programmingLanguage": {"@id": _SNAKEMAKE},
            "conformsTo": {"@id": _BIOSCHEMAS},
            "hasPart": _links(self._tools),
            "step": _links(step["@id"] for step in self._steps),
        }

    @cached_property
    def _tools(self) -> dict[str, Entity]:
        """The software of each stage: one entity per version of its code."""
        return {tool["@id"]: tool for tool in map(self._tool, self.jobs)}

    def _tool(self, job: Record) -> Entity:
        plugins = [self.files.name(file) for file in job.get("plugins", ())]
        return _tool(job) | ({"hasPart": _links(plugins)} if plugins else {})

    @cached_property
    def _steps(self) -> list[Entity]:
        stages = sorted({job["stage"] for job in self.jobs})
        tools = {stage: {_tool(job)["@id"] for job in self.jobs if job["stage"] == stage} for stage in stages}
        return [
            {"@id": f"#step-{stage}", "@type": "HowToStep", "name": stage, "workExample": _links(sorted(ids))}
            for stage, ids in tools.items()
        ]

    @cached_property
    def _actions(self) -> list[Entity]:
        """One action for the whole run, and one per job."""
        got = {file for job in self.jobs if job["stage"] == "acquire" for file in job["outputs"]}
        given = got | {file for job in self.jobs for file in self.lineage.lost(job["inputs"])}
        run = {
            "@id": "#run",
            "@type": "CreateAction",
            "name": "Run of the workflow",
            "description": self.command,
            "instrument": {"@id": self._main},
            "object": self._linked(sorted(given)),
            "result": self._linked(self.results),
            "startTime": min(job["started"] for job in self.jobs),
            "endTime": max(map(_ended, self.jobs)),
        }
        return [run, *map(self._action, self.jobs)]

    def _action(self, job: Record) -> Entity:
        versions = [f"{package} {version}" for package, version in job["versions"].items()]
        circumstances = ", ".join([*([job["device"]] if job["device"] else []), *versions])
        return {
            "@id": f"#job-{quote(name(job))}",
            "@type": "CreateAction",
            "name": f"{job['stage']} {Path(name(job)).name}",
            "description": f"{job['command']}\n{circumstances}",
            "instrument": {"@id": _tool(job)["@id"]},
            "object": self._linked(job["inputs"]),
            "result": self._linked(job["outputs"]),
            "startTime": job["started"],
            "endTime": _ended(job),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        }

    def _linked(self, files: Iterable[str]) -> Any:
        return _links(map(self.files.name, files))


def _tool(job: Record) -> Entity:
    commit = job["commit"] or "unknown"
    return {
        "@id": f"#{job['stage']}-{job['code'][:12]}-{commit[:12]}",
        "@type": "SoftwareApplication",
        "name": f"reprior {job['stage']}",
        "description": f"Begins at {', '.join(job['modules'])}; hash of its source {job['code']}",
        "softwareVersion": f"{job['versions']['reprior']}, commit {commit}",
    }


def _author(author: Mapping[str, str]) -> Entity:
    full = author.get("name") or f"{author.get('given-names', '')} {author.get('family-names', '')}".strip()
    kind = "Organization" if "name" in author else "Person"
    return {"@id": author.get("orcid") or f"#{quote(full)}", "@type": kind, "name": full}


def _work(address: str, title: str, version: str = "") -> Entity:
    return {"@id": address, "@type": "CreativeWork", "name": title, **({"version": version} if version else {})}


def _links(identifiers: Iterable[str]) -> Any:
    """References to entities: a list, or the reference itself if there is only one, as in compact JSON-LD."""
    links = [{"@id": each} for each in identifiers]
    return links[0] if len(links) == 1 else links


def _ended(job: Record) -> str:
    return (datetime.fromisoformat(job["started"]) + timedelta(seconds=job["seconds"])).isoformat(timespec="seconds")
