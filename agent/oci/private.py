"""A spec for everybody to see, and the whole one, which must be in no file. Pure.

The public one lacks the values of private variables; an annotation keeps their names, so that the
whole one is made of it whenever a process of the container is to begin. That one is to be in a
folder beside the root file system (see ``agent.host.private.handover``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.oci.inputs import Private, SpecInputs
from agent.oci.process import environment
from agent.oci.spec import build_spec

NAMES_ANNOTATION = "hostler.private-variables"
"""JSON list of the names of the variables whose values are not in the spec."""


def build_public_spec(inputs: SpecInputs) -> dict[str, Any]:
    """The spec without the values of private variables. Raises SpecError."""
    if not inputs.private:
        return build_spec(inputs)
    annotations = {**inputs.annotations, NAMES_ANNOTATION: json.dumps(_names(inputs))}
    return build_spec(replace(inputs, annotations=annotations, private=Private()))


def whole_spec(public: Mapping[str, Any], private: Private) -> dict[str, Any] | None:
    """The spec with the private values in it; None: there are no such variables.

    A variable that was in a file, and is there no longer, is left out.
    """
    listed = public.get("annotations", {}).get(NAMES_ANNOTATION)
    if listed is None:
        return None
    values = {name: private.value(name) for name in json.loads(listed)}
    given = {name: value for name, value in values.items() if value is not None}
    process, root = public["process"], public["root"]
    others = (each for each in process["env"] if each.partition("=")[0] not in given)
    env = [*others, *(f"{name}={value}" for name, value in given.items())]
    return {
        **public,
        "process": {**process, "env": env},
        "root": {**root, "path": f"../{root['path']}"},
    }


def _names(inputs: SpecInputs) -> list[str]:
    """The names that have their values from ``private``."""
    given = (each.name for each in inputs.container.environment)
    others = {*given, *inputs.edits.env, *inputs.injected}
    return [
        name
        for name in environment(inputs)
        if name in inputs.private.secrets
        or (name in inputs.private.from_files and name not in others)
    ]
