"""Hostler's units, as systemd has them: whether they run, and are what this Hostler needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.host.cgroups import slices
from agent.host.checkup.outcomes import Fact, Finding, Outcome, Unseen, warning
from agent.host.checkup.programs import NotRun
from agent.host.checkup.subject import Subject

CHECK = "units"

AGENT, ROUTER = "hostler.service", "hostler-logs.service"
UNITS = (AGENT, ROUTER, "hostler-containerd.service")

PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "FragmentPath"),
    *("DropInPaths", "NeedDaemonReload", "UnitFileState", "Type", "KillMode", "Delegate"),
    *("RuntimeDirectoryPreserve", "FileDescriptorStoreMax", "NFileDescriptorStore"),
)

_NEEDED = {
    "Type": ("notify", "notify-reload"),
    "KillMode": ("process",),
    "Delegate": ("yes",),
    "RuntimeDirectoryPreserve": ("yes",),
}
"""What the agent's unit must say for tasks to outlive the agent."""

_OFTEN = 5
_NEARLY = 0.9

Unit = Mapping[str, str]


def check(subject: Subject) -> Iterator[Outcome]:
    """Raises OSError."""
    if not subject.path(slices.BOOTED).is_dir():
        yield Fact(CHECK, "systemd is not the first process of this host")
        return
    try:
        ran = subject.run("systemctl", "show", *UNITS, f"--property={','.join(PROPERTIES)}")
    except NotRun as error:
        yield Unseen(CHECK, str(error))
        return
    if ran.code:
        yield Unseen(CHECK, f"systemctl show: {ran.err.strip()}")
        return
    units = {each.get("Id", ""): each for each in parsed(ran.out)}
    for name in UNITS:
        yield from _unit(name, units.get(name, {}))
    yield from _agent(units.get(AGENT, {}))


def parsed(text: str) -> Iterator[Unit]:
    """The units that ``systemctl show`` tells of: properties, an empty line between two."""
    for block in text.strip().split("\n\n"):
        yield {key: value for key, _, value in (line.partition("=") for line in block.splitlines())}


def _unit(name: str, unit: Unit) -> Iterator[Outcome]:
    if unit.get("LoadState") != "loaded":
        yield Fact(CHECK, f"{name} is {unit.get('LoadState', 'unknown')}")
        return
    state = f"{unit.get('ActiveState')} ({unit.get('SubState')})"
    if unit.get("ActiveState") == "failed":
        what = f"{name} has failed ({unit.get('Result')}){_consequence(name)}"
        cure = f"'journalctl -u {name} -n 50' says why; then 'systemctl restart {name}'"
        yield Finding(CHECK, what, cure)
    else:
        yield Fact(CHECK, f"{name} is {state}")
    if unit.get("NeedDaemonReload") == "yes":
        what = f"the file of {name} has changed since systemd read it"
        yield warning(CHECK, what, f"'systemctl daemon-reload', then 'systemctl restart {name}'")
    restarts = int(unit.get("NRestarts") or 0)
    if restarts >= _OFTEN:
        what = f"systemd has started {name} again {restarts} times since it was asked to"
        yield warning(CHECK, what, f"'journalctl -u {name} -p warning' says what ended it")


def _consequence(name: str) -> str:
    return ": containers wait once their pipes are full" if name == ROUTER else ""


def _agent(unit: Unit) -> Iterator[Outcome]:
    if unit.get("LoadState") != "loaded":
        return
    wrong = [key for key, values in _NEEDED.items() if key in unit and unit[key] not in values]
    if wrong:
        said = ", ".join(f"{key}={unit[key]}" for key in wrong)
        what = f"{AGENT} has {said}: tasks would not outlive the agent, or it would not be ready"
        yield Finding(CHECK, what, _from_where(unit))
    yield from _descriptors(unit)


def _from_where(unit: Unit) -> str:
    places = " and ".join(filter(None, (unit.get("FragmentPath"), unit.get("DropInPaths"))))
    return (
        f"it is older than this Hostler, or was changed: take {places or 'it'} back to what came"
        " with Hostler ('systemctl cat hostler' shows all), then 'systemctl daemon-reload'"
    )


def _descriptors(unit: Unit) -> Iterator[Outcome]:
    """Metadata sockets that outlive the agent are kept by systemd."""
    most = int(unit.get("FileDescriptorStoreMax") or 0)
    kept = int(unit.get("NFileDescriptorStore") or 0)
    what = f"systemd keeps {kept} metadata sockets of at most {most}"
    if most == 0:
        cure = f"take FileDescriptorStoreMax= of {AGENT} back to what came with Hostler"
        what = "systemd keeps no metadata sockets: requests are refused while the agent restarts"
        yield Finding(CHECK, what, cure)
    elif kept > most * _NEARLY:
        cure = "raise FileDescriptorStoreMax= ('systemctl edit hostler'): others are refused"
        yield warning(CHECK, f"{what}: requests of new containers are refused at a restart", cure)
    else:
        yield Fact(CHECK, what)
