"""The provider that the settings name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.config import ConfigError, load
from agent.host.interfaces.choice import open_provider
from agent.host.interfaces.macvlan import Macvlan
from agent.host.interfaces.pool import Pool
from agent.host.interfaces.provider import InterfaceError, NoInterfaces, Provider
from tests import worlds


async def opened(folder: Path, **given: str) -> Provider:
    return await open_provider(load({"HOSTLER_RUN_DIR": str(folder / "run"), **given}, {}, ()))


async def test_each_setting_gives_its_provider(tmp_path: Path) -> None:
    enis = tmp_path / "enis.json"
    enis.write_text('{"interfaces": [{"mac": "0a:00:00:00:00:01"}]}')
    on_eth1 = {"HOSTLER_ENI_PARENT": "eth1", "HOSTLER_ENI_SUBNET": "10.0.5.0/24"}
    assert isinstance(await opened(tmp_path), NoInterfaces)
    assert isinstance(await opened(tmp_path, HOSTLER_ENIS=str(enis)), Pool)
    assert isinstance(await opened(tmp_path, **on_eth1), Macvlan)


async def test_a_pool_file_that_can_not_be_used_is_an_error_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^HOSTLER_ENIS: can't read"):
        await opened(tmp_path, HOSTLER_ENIS=str(tmp_path / "none"))


async def test_ec2_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.startswith("agent.host.interfaces.ec2")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("agent.host.interfaces.ec2", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigError, match="needs boto3: install Hostler with its extra 'aws'"):
        await opened(tmp_path, HOSTLER_ENI_PROVIDER="ec2")


async def test_awsvpc_may_be_switched_off() -> None:
    provider = await open_provider(load({"ECS_ENABLE_TASK_ENI": "false"}, {}, ()))
    assert provider.limit == 0
    with pytest.raises(InterfaceError, match="ECS_ENABLE_TASK_ENI=false"):
        await provider.acquire(worlds.task(worlds.container("web")))
