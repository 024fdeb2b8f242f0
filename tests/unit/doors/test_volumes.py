"""Hostler's calls about shared volumes."""

from __future__ import annotations

from typing import Any

import pytest

from agent.host.provisions import ProvisionUnavailable
from agent.host.volumes.sharing import Sharing
from tests.unit.doors.agents import Agent
from tests.unit.doors.client import Refused

MEMORY = {"type": "tmpfs", "device": "tmpfs"}


async def create(agent: Agent, name: str, **fields: Any) -> dict[str, Any]:
    answer = await agent.client.ours("CreateVolume", name=name, **fields)
    made: dict[str, Any] = answer["volume"]
    return made


async def test_a_volume_is_made_listed_and_removed(agent: Agent) -> None:
    made = await create(agent, "one", driverOpts=MEMORY, labels={"team": "a"})
    assert made["createdAt"].endswith("Z")
    folder = agent.desk.settings.names.shared_volumes
    assert made == {
        "name": "one",
        "driver": "local",
        "driverOpts": MEMORY,
        "labels": {"team": "a"},
        "createdAt": made["createdAt"],
        "mountpoint": str(folder / "one" / "data"),
        "mounted": False,
        "tasks": [],
    }
    assert await agent.client.ours("ListVolumes") == {"volumes": [made]}
    assert await agent.client.ours("InspectVolume", name="one") == {"volume": made}
    assert await agent.client.ours("RemoveVolume", name="one") == {"removed": "one"}
    assert await agent.client.ours("ListVolumes") == {"volumes": []}


async def test_a_volume_in_use_is_not_removed(agent: Agent) -> None:
    await create(agent, "one")
    names = agent.desk.settings.names
    for task in ("1", "2"):
        (names.mounts_dir / task / "shared" / "one").mkdir(parents=True)
    listed = (await agent.client.ours("ListVolumes"))["volumes"]
    assert [each["tasks"] for each in listed] == [["1", "2"]]
    with pytest.raises(Refused, match="volume one is in use by task 1 and 1 more: stop") as caught:
        await agent.client.ours("RemoveVolume", name="one")
    assert caught.value.code == "ResourceInUseException"


async def test_a_volume_whose_record_is_lost_is_listed_with_that(agent: Agent) -> None:
    await create(agent, "one")
    (agent.desk.settings.names.shared_volumes / "one" / "volume.json").write_text("{")
    (listed,) = (await agent.client.ours("ListVolumes"))["volumes"]
    assert (listed["name"], listed["problem"]) == ("one", "its record volume.json can't be read")
    with pytest.raises(Refused, match=r"shared volume one: .*volume\.json can't be read") as caught:
        await create(agent, "one")
    assert caught.value.status == 500


@pytest.mark.parametrize("call", ["InspectVolume", "RemoveVolume"])
async def test_there_is_no_such_volume(agent: Agent, call: str) -> None:
    with pytest.raises(Refused, match="there is no shared volume none") as caught:
        await agent.client.ours(call, name="none")
    assert caught.value.code == "InvalidParameterException"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "one"}, "there is a shared volume one already"),
        ({"name": "../etc"}, "name: String should match pattern"),
        ({"name": "two", "driverOpts": {"type": "nfs"}}, "driverOpts: type: needs device"),
        ({"name": "two", "driverOpts": {"size": "1g"}}, "size: is no option of driver local"),
    ],
)
async def test_what_cant_be_made_is_refused(
    agent: Agent, fields: dict[str, Any], says: str
) -> None:
    await create(agent, "one")
    with pytest.raises(Refused, match=says) as caught:
        await create(agent, **fields)
    assert caught.value.status == 400
    assert [each["name"] for each in (await agent.client.ours("ListVolumes"))["volumes"]] == ["one"]


@pytest.mark.parametrize("error", [OSError("no space"), ProvisionUnavailable("is being mounted")])
@pytest.mark.parametrize("call", ["create", "remove"])
async def test_what_fails_here_is_the_agents_fault(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, error: Exception, call: str
) -> None:
    async def fails(sharing: Sharing, of: object) -> None:
        raise error

    monkeypatch.setattr(Sharing, call, fails)
    with pytest.raises(Refused, match=f"volume one: {error}") as caught:
        await agent.client.ours(f"{call.capitalize()}Volume", name="one")
    assert caught.value.status == 500
