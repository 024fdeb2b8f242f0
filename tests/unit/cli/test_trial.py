"""Names that a trial takes on the host."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from agent.cli import trial
from agent.cli.errors import CommandError

TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_the_kernels_routes_are_read() -> None:
    assert trial.routes(TABLE) == [IPv4Network("0.0.0.0/0"), IPv4Network("192.168.1.0/24")]


def test_the_subnet_is_one_that_nobody_routes() -> None:
    every_but_one = list(trial.SUBNETS.subnets(new_prefix=24))[:-1]
    found = trial.free_subnet([IPv4Network("0.0.0.0/0"), *every_but_one])
    assert found == IPv4Network("10.214.255.0/24")


def test_it_is_said_when_no_subnet_is_left() -> None:
    with pytest.raises(CommandError, match=r"routes all of 10\.214\.0\.0/16"):
        trial.free_subnet([IPv4Network("10.0.0.0/8")])


def test_an_agent_for_a_trial_takes_no_port_of_the_host_for_its_api() -> None:
    assert trial.private_settings(Path("/tmp/x"))["HOSTLER_API_LISTEN"] == "off"
