"""Which plugin an `ipam` object names, and that a foreign one is given the whole configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code
from cni.ipam import addressing, static
from cni.ipam import plugin as ipam
from cni.spec import Args, Attachment

NONE: Any = None
PLUGIN = """\
#!/bin/sh
echo "$CNI_COMMAND $CNI_CONTAINERID" >> {log}
cat >> {log}
echo >> {log}
test "$CNI_COMMAND" != ADD || echo '{{"ips": [{{"address": "10.0.0.9/24"}}]}}'
"""


def conf(**ipam: Any) -> Fields:
    return Fields({"cniVersion": "1.1.0", "name": "net", "type": "hostler-bridge", "ipam": ipam})


def test_ours_are_called_as_functions_also_by_the_reference_names() -> None:
    ranges = {"subnet": "10.0.0.0/24"}
    modules = {"hostler-ipam": ipam, "host-local": ipam, "static": static}
    for name, module in modules.items():
        found = addressing.parse(conf(type=name, **ranges))
        assert found is not None
        assert found.plugin is module


def test_no_ipam_is_no_addressing() -> None:
    assert addressing.parse(conf()) is None
    assert addressing.parse(Fields({"ipam": None})) is None


def test_an_ipam_without_a_type_is_refused() -> None:
    with pytest.raises(CNIError, match=r"ipam\.type must be given") as caught:
        addressing.parse(conf(subnet="10.0.0.0/24"))
    assert caught.value.code == Code.INVALID_CONFIG


def test_a_foreign_one_is_an_executable_that_is_given_the_whole_configuration(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    program = tmp_path / "foreign"
    program.write_text(PLUGIN.format(log=log))
    program.chmod(0o755)
    fields = conf(type="foreign", pool="x")
    found = addressing.parse(fields)
    assert found is not None
    args = Args("a", None, path=(tmp_path,))
    environ = {"CNI_PATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    context = Context(NONE, NONE, NONE, tmp_path, environ)

    result = found.add(args, context)
    found.check(args, context)
    found.delete(args, context)
    found.gc([Attachment("b", "eth0")], context)
    found.status(context)

    assert [str(ip.address) for ip in result.ips] == ["10.0.0.9/24"]
    lines = log.read_text().splitlines()
    assert lines[::2] == ["ADD a", "CHECK a", "DEL a", "GC ", "STATUS "]
    requests = [json.loads(line) for line in lines[1::2]]
    assert all(fields.values.items() <= request.items() for request in requests)
    assert requests[3]["cni.dev/valid-attachments"] == [{"containerID": "b", "ifname": "eth0"}]
