"""The cells of a case: each method with its settings, its starts, and the steps from which others start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from reprior.errors import UserError
from reprior.planning import plugins
from reprior.planning.messages import checked_spec, nearest, parse, reference
from reprior.planning.plan import OBSERVATION, Cell, Start
from reprior.planning.study import Case, OfAll, Scale, Spec, Study, Weight
from reprior.types import Precision

RESERVED = {OBSERVATION, "original"}
OF_ALL = tuple(OfAll.model_fields)


@dataclass(frozen=True)
class Cells:
    """Makes the cells of a study at a scale."""

    study: Study
    path: Path
    scale: Scale
    scale_path: Path
    shares: Mapping[str, float]
    """By plug-in name of a method: the share of its steps that is run."""
    precision: Precision = "float32"
    """That of methods with steps, where neither study nor scale says."""

    def of(self, name: str, case: Case) -> dict[str, Cell]:
        """The cells of one case, by method."""
        cells = {method: self._cell(name, case, method) for method in case.methods}
        needed = {need for cell in cells.values() for need in cell.networks}
        if unused := sorted(set(case.networks) - needed):
            key = f"cases.{name}.networks.{unused[0]}"
            raise UserError(f"{self.path}: {key}: no method of this case needs it; remove the line")
        return self._marked(name, cells)

    def check_entry(self, name: str, entry: Spec) -> None:
        """Check a method as the study lists it. UserError with one message if something is wrong."""
        key = f"methods.{name}"
        if name in RESERVED:
            raise UserError(f"{self.path}: {key}: the name '{name}' is reserved; choose another")
        starts = _starts(entry)
        checked = checked_spec("method", entry, self.path, key, also=("label", "start", *OF_ALL, *starts))
        if "start" in entry and "start" not in starts:
            raise UserError(
                f"{self.path}: {key}.start: '{checked['name']}' does not start from another method's result"
            )
        for need in starts:
            if need not in entry:
                raise UserError(
                    f"{self.path}: {key}.{need}: is missing; '{checked['name']}' starts from another method's result"
                )
            start = _parsed_start(entry[need])
            reference(start.method, self.study.methods, self.path, f"{key}.{need}", "method of this study")

    def _cell(self, case_name: str, case: Case, method: str) -> Cell:
        key = f"cases.{case_name}.methods.{method}"
        entry = self.study.methods[method]
        override, fixed = case.methods[method] or {}, ("name", "label", *_starts(entry))
        if set(override) & {*fixed, "start"}:
            named = ", ".join(fixed[:-1]) + f" and {fixed[-1]}"
            raise UserError(f"{self.path}: {key}: {named} belong under 'methods'; only settings go here")
        spec = checked_spec("method", {**entry, **override}, self.path, key, also=(*fixed[1:], *OF_ALL))
        spec.pop("label", None)
        starts = {need: self._start(f"{key}.{need}", case, spec.pop(need)) for need in fixed[2:]}
        spec |= self._of_all(key, {name: spec.pop(name) for name in OF_ALL if name in spec}, spec, starts)
        if spec.get("sna") and not (case.noise or case.noise_norm):
            raise UserError(f"{self.path}: {key}.sna: the case has no noise; remove the line")
        needs_generator = "generator" in plugins.plugin("method", spec["name"]).needs
        if needs_generator and case.generator is None:
            raise UserError(f"{self.path}: cases.{case_name}.generator: is missing; '{method}' needs one")
        networks = {need: self._network(case_name, case, need, method) for need in _networks(entry)}
        return Cell(method, self._scaled(spec), starts, case.generator if needs_generator else None, networks)

    def _network(self, case_name: str, case: Case, need: str, method: str) -> str:
        """The study's name of a trained network that a method needs."""
        key = f"cases.{case_name}.networks"
        if need not in case.networks:
            raise UserError(f"{self.path}: {key}.{need}: is missing; '{method}' needs a trained network of this name")
        return reference(case.networks[need], self.study.networks, self.path, f"{key}.{need}", "network of this study")

    def _of_all(self, key: str, given: Spec, spec: Spec, starts: Mapping[str, Start]) -> Spec:
        """The loss and the restarts of a cell, if the study gives them."""
        for name in given:
            if "steps" not in spec:
                raise UserError(f"{self.path}: {key}.{name}: '{spec['name']}' takes no steps; remove the line")
        settings = parse(OfAll, given, self.path, key).model_dump(exclude_unset=True)
        if settings.get("restarts", 1) > 1 and starts:
            raise UserError(
                f"{self.path}: {key}.restarts: '{spec['name']}' starts from another method's result, so that all"
                " restarts would be the same; remove the line"
            )
        if "loss" in settings:
            losses = enumerate(settings["loss"])
            terms = [self._loss(f"{key}.loss.{number}", loss) for number, loss in losses]
            settings["loss"] = [term for term in terms if term["name"] not in self.scale.loss_gaps] or terms
        return settings

    def _loss(self, key: str, spec: Spec) -> Spec:
        """One loss with every setting, including what the scale changes."""
        override = self.scale.losses.get(str(spec.get("name")), {})
        path, key = (self.scale_path, f"losses.{spec['name']}") if override else (self.path, key)
        weight = parse(Weight, {k: v for k, v in spec.items() if k == "weight"}, self.path, key).model_dump()
        return {**checked_spec("loss", {**spec, **override}, path, key, also=("weight",)), **weight}

    def _start(self, key: str, case: Case, text: str) -> Start:
        """What a cell starts from. The step is scaled down like the steps of that method."""
        start = _parsed_start(text)
        if start.method not in case.methods:
            raise UserError(
                f"{self.path}: {key.rpartition('.')[0]}: starts from '{start.method}', which this case lacks"
                f"{nearest(start.method, case.methods)}"
            )
        if start.step is None:
            return start
        return replace(start, step=self._cut(self.study.methods[start.method]["name"], start.step))

    def _cut(self, plugin: str, steps: int) -> int:
        """The number of steps of a method at this scale."""
        return max(1, round(steps * self.shares.get(plugin, 1.0)))

    def _marked(self, case: str, cells: Mapping[str, Cell]) -> dict[str, Cell]:
        """The cells, each with the steps from which others start."""
        marks: dict[str, set[int]] = {method: set() for method in cells}
        for cell in cells.values():
            for need, start in cell.starts.items():
                if start.step is not None:
                    self._check_mark(f"cases.{case}.methods.{cell.method}.{need}", start, cells[start.method].spec)
                    marks[start.method].add(start.step)
        return {method: replace(cell, marks=tuple(sorted(marks[method]))) for method, cell in cells.items()}

    def _check_mark(self, key: str, start: Start, spec: Spec) -> None:
        begins = f"{self.path}: {key}: starts from step {start.step} of '{start.method}', which"
        if start.step is not None and start.step >= spec.get("steps", 0):
            raise UserError(f"{begins} takes {spec.get('steps', 'no')} steps here; choose an earlier one")
        if spec.get("restarts", 1) > 1:
            raise UserError(f"{begins} has {spec['restarts']} restarts; set its `restarts: 1`")

    def _scaled(self, spec: Spec) -> Spec:
        """A method's settings at this scale."""
        name = spec["name"]
        if "steps" in spec:
            spec = {**spec, "steps": self._cut(name, spec["steps"])}
        if name in self.scale.methods:
            override = self.scale.methods[name]
            spec = checked_spec("method", {**spec, **override}, self.scale_path, f"methods.{name}", also=OF_ALL)
        return self._in_precision(spec)

    def _in_precision(self, spec: Spec) -> Spec:
        """With the precision, if it is not float32: float32 looks the same whether or not it is written down."""
        spec, found = dict(spec), spec.get("precision", self.precision if "steps" in spec else "float32")
        spec.pop("precision", None)
        return spec if found == "float32" else {**spec, "precision": found}


def cell_gaps(cells: Mapping[str, Cell], left_out: Mapping[str, str], loss_gaps: Mapping[str, str]) -> dict[str, str]:
    """Why methods of a case are not computed here. One that starts from such a method is not, either."""
    lacking = {
        method: left_out[method] or plugins.not_installed("method", cell.spec["name"]) or _without_loss(cell, loss_gaps)
        for method, cell in cells.items()
    }
    found = {method: reason for method, reason in lacking.items() if reason}
    starts = [(method, start.method) for method, cell in cells.items() for start in cell.starts.values()]
    while begun := {method: found[start] for method, start in starts if start in found and method not in found}:
        found |= begun
    return found


def _without_loss(cell: Cell, loss_gaps: Mapping[str, str]) -> str:
    """Why a method has nothing left to minimise at this scale; empty if it has."""
    reasons = [loss_gaps.get(term["name"], "") for term in cell.spec.get("loss", [])]
    return reasons[0] if reasons and all(reasons) else ""


def _starts(entry: Spec) -> tuple[str, ...]:
    """Names of the arguments that are results of other methods: all but the problem and networks."""
    try:
        needs = plugins.plugin("method", str(entry.get("name"))).needs
    except KeyError:
        return ()
    return tuple(need for need in needs if need not in ("problem", "generator", *_networks(entry)))


def _networks(entry: Spec) -> tuple[str, ...]:
    """Names of the arguments that are trained networks, besides the generator."""
    return tuple(need for need in plugins.plugin("method", entry["name"]).networks if need != "generator")


def _parsed_start(text: str) -> Start:
    """`csgm`: its result; `csgm@500`: its state after 500 steps. Any other text is taken as a name."""
    method, at, step = str(text).partition("@")
    return Start(method, int(step)) if at and step.isdecimal() and int(step) > 0 else Start(str(text))
