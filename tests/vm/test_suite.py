"""System tests that this host's kernel may have no use for, on one that has."""

from xml.etree import ElementTree

from tests.vm.guest.suite import CASES, REPORT
from tests.vm.lab import Lab


def test_none_of_them_fails_or_is_skipped(lab: Lab) -> None:
    told = lab.beta.facts("suite")
    assert told["code"] == 0, told["said"]
    report = ElementTree.parse(lab.beta.share / REPORT)
    ended = {
        f"{each.get('name')}".partition("[")[0]: list(each) for each in report.iter("testcase")
    }
    assert set(ended) == {each.rpartition("::")[2] for each in CASES}
    assert not any(ended.values()), told["said"]
