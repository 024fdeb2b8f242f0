"""Whatever a plugin is given, it answers as the specification says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import plugin as plugins
from cni.errors import Code
from cni.program import skel
from tests.fakes.cni_plugin import Recorder
from tests.unit.cni.program.test_skel import CONF, ENVIRON, RESULT, context

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
keys = st.sampled_from(
    ["name", "cniVersion", "type", "prevResult", "runtimeConfig", "args", "cni.dev/attachments"]
)
stdins = st.binary(max_size=30) | st.dictionaries(keys, json_values).map(
    lambda conf: json.dumps({**CONF, **conf}).encode()
)
variables = st.dictionaries(
    st.sampled_from([*ENVIRON, "CNI_ARGS", "CNI_NETNS_OVERRIDE"]),
    st.text(max_size=20) | st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS"]),
)


@given(variables, stdins)
def test_whatever_comes_in_the_answer_is_nothing_or_one_object(
    environ: dict[str, str], stdin: bytes
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "find", lambda name: Recorder(RESULT))
        outcome = skel.run({**ENVIRON, **environ}, stdin, "hostler-bridge", context)

    printed = json.loads(outcome.stdout) if outcome.stdout else {}
    assert outcome.status == (1 if "code" in printed else 0)
    # Anything else than a bug has a number of its own; NUL in a path can't come from a real one.
    assert printed.get("code") != Code.INTERNAL or "null byte" in printed["msg"]
