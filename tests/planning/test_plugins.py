"""Plug-ins are found by file name. What is read from source is the same as after an import."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from reprior import loading
from reprior.planning import plugins

EVERY = [(kind, name) for kind in plugins.kinds() for name in plugins.names(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_settings_read_from_source_are_those_of_the_imported_entry(kind: plugins.Kind, name: str) -> None:
    entry = loading.load(kind, name)
    parameters = inspect.signature(entry).parameters.values()
    keyword_only = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    found = plugins.plugin(kind, name)
    fields = {key: ... if field.is_required() else field.default for key, field in found.settings.model_fields.items()}
    assert fields == {
        key: ... if default is inspect.Parameter.empty else default for key, default in keyword_only.items()
    }
    assert found.needs == tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)


def test_every_kind_has_plugins() -> None:
    assert {kind for kind, _ in EVERY} == set(plugins.kinds())


def test_a_package_that_lacks_is_told_with_the_command_that_installs_it(package: Callable[..., None]) -> None:
    package("bm3d", installed=False)
    assert "`pip install 'reprior[bm3d]'`" in plugins.not_installed("method", "bm3d")
    package("bm3d", installed=True)
    assert [plugins.not_installed("method", name) for name in ("bm3d", "csgm")] == ["", ""]


@pytest.mark.parametrize("name", ["base", "nothing", "back_projection", "../errors"])
def test_what_is_no_plugin_is_not_found(name: str) -> None:
    with pytest.raises(KeyError):
        plugins.plugin("method", name)
