import os
from pathlib import Path

import pytest

from bench.accounts import Account, used_s


@pytest.fixture
def account(tmp_path: Path) -> Account:
    (tmp_path / "run/peer/programs").mkdir(parents=True)
    (tmp_path / "run/peer/containers/task").mkdir(parents=True)
    return Account(tmp_path, "/run/peer")


def test_cpu_time_is_read_in_seconds_on_both_cgroup_versions(
    account: Account, tmp_path: Path
) -> None:
    (tmp_path / "run/peer/cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    assert account.used_s() == 1.5
    (tmp_path / "run/peer/cpuacct.usage").write_text("2500000000\n")
    assert account.used_s() == 2.5
    assert used_s([account, account]) == 5.0


def test_a_process_enters_the_leaf_for_programs(account: Account, tmp_path: Path) -> None:
    account.enter(4711)
    assert (tmp_path / "run/peer/programs/cgroup.procs").read_text() == "4711"
    assert account.containers == "/run/peer/containers"


def test_processes_in_containers_are_counted_by_name_and_gone_ones_are_not(
    account: Account, tmp_path: Path
) -> None:
    name = Path("/proc/self/comm").read_text().strip()
    beyond_the_largest_pid = 2**22 + 1
    procs = tmp_path / "run/peer/containers/task/cgroup.procs"
    procs.write_text(f"{os.getpid()}\n{beyond_the_largest_pid}\n")
    (tmp_path / "run/peer/programs/cgroup.procs").write_text(str(os.getpid()))
    assert account.running(name) == 1
    assert account.running("no-such-program") == 0
