"""Cards and branches of a trunk in tasks, between two machines."""

import pytest

from tests.vm.guest import nics
from tests.vm.lab import Job, Lab
from tests.vm.wires import ENDS, MACHINES, End

NAMED = pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)


def job(lab: Lab, name: str) -> Job:
    return {"alpha": lab.alpha, "beta": lab.beta}[name]


@NAMED
@pytest.mark.parametrize("name", MACHINES)
def test_a_task_has_the_interface_that_is_its_and_its_address(
    lab: Lab, name: str, end: End
) -> None:
    told = job(lab, name).facts("talked")[end.name]
    assert told["addresses"] == [end.address(name)]
    assert told["attachment"] == "ATTACHED"
    assert told["kind"] == ("vlan" if end.vlan else None)
    assert (told["mac"] == end.mac(name)) is not bool(end.vlan)


@NAMED
@pytest.mark.parametrize("name", MACHINES)
def test_a_task_hears_its_peer_on_the_other_machine(lab: Lab, name: str, end: End) -> None:
    (other,) = set(MACHINES) - {name}
    assert f"{other} {end.name}" in job(lab, name).facts("talked")[end.name]["heard"]


def test_branches_of_a_trunk_do_not_meet(lab: Lab) -> None:
    told = lab.alpha.facts("isolated")
    assert told["own"]
    assert not told["far"]
    assert not told["near"]


def test_cards_come_back_as_they_were(lab: Lab) -> None:
    told = lab.alpha.facts("given-back")
    cards = [each.mac("alpha") for each in ENDS if not each.vlan]
    assert not set(cards) & set(told["meanwhile"])
    for each in cards:
        assert told["after"][each] == told["before"][each]
    assert told["after"][cards[1]]["addresses"] == [nics.OWN_ADDRESS.split("/")[0]]
    assert told["after"][cards[1]]["mtu"] == nics.OWN_MTU
