"""How a sandbox gets connected: what is still missing, and until when to wait for it.

In awsvpc mode a sandbox needs a network interface first: the task acquires one, and then its device
may take a while to appear on the host.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.task.actions import AcquireInterface, AttachNetwork
from agent.task.model import Progress, Task
from agent.task.network import NetworkInterface
from agent.task.patience import Hopeless, tried
from agent.task.stopping import Rules
from agent.task.view import Absent, ContainerSeen, Running, Seen, Unknown, View


@dataclass(frozen=True, slots=True)
class Connected:
    """The sandbox is attached."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The action brings the sandbox nearer."""

    action: AcquireInterface | AttachNetwork


@dataclass(frozen=True, slots=True)
class Awaited:
    """Nothing can be done: ``why`` says what must come, ``until`` when that becomes pointless.

    Without ``why`` it is only a look that is lacking; without ``until`` something is being done
    or can't be seen.
    """

    why: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """What had to come did not."""

    reason: str


Connection = Connected | Missing | Awaited | Failed


def connection(
    task: Task, progress: Progress, view: View, sandbox: str, now: float, rules: Rules
) -> Connection:
    """How far ``sandbox`` is. Each answer but Connected says how it goes on."""
    network = view.networks[sandbox]
    if isinstance(network, Unknown):
        return Awaited()
    there = isinstance(network, Seen)
    if there and progress.networks[sandbox].attachment is not None:
        return Connected()
    if not there and any(_runs(view, each) for each in task.members(sandbox)):
        return Failed("ResourceInitializationError: the network namespace of the task is gone")
    if task.awsvpc:
        lacking = _interface(progress, view, now, rules, there=there)
        if lacking is not None:
            return lacking
    return Missing(AttachNetwork(sandbox))


def as_left(task: Task, progress: Progress, view: View) -> View:
    """The view without the sandboxes that were left on the host's network.

    There is nothing to be seen of those: a look goes by facts, and the news that one was left came
    after the facts that this look went by.
    """
    if task.definition.network_mode != "host":
        return view
    left = {each: Absent() for each, facts in progress.networks.items() if facts.detached}
    return replace(view, networks={**view.networks, **left})


def _runs(view: View, name: str) -> bool:
    """Whether a container runs: if its sandbox can't be found, another would not be the same."""
    match view.containers[name]:
        case Seen(ContainerSeen(Running.RUNNING)):
            return True
        case _:
            return False


def _interface(
    progress: Progress, view: View, now: float, rules: Rules, *, there: bool
) -> Missing | Awaited | Failed | None:
    """What is lacking of the interface before the sandbox can be attached.

    Where the sandbox is ``there`` but its attachment isn't known, the device may be inside it.
    """
    look, interface = view.interface, progress.interface
    if isinstance(look, Unknown):
        return Awaited()
    if interface is None or progress.interface_at is None or isinstance(look, Absent):
        return _acquired(progress, now, rules)
    if there or look.state.present:
        return None
    if look.state.present is None:
        return Awaited(until=now)
    until = progress.interface_at + rules.interface_timeout_s
    if now < until:
        return Awaited(f"for network interface {shown(interface)} to appear on this host", until)
    return Failed(
        f"ResourceInitializationError: network interface {shown(interface)} did not appear within "
        f"{rules.interface_timeout_s:.0f} s: {_absent(interface)}"
    )


def _acquired(progress: Progress, now: float, rules: Rules) -> Missing | Failed:
    """Try to get one, and again for as long as a device may take; who holds all may keep them."""
    match tried(AcquireInterface(), progress, rules.interface_timeout_s, now):
        case Hopeless(reason):
            return Failed(reason)
        case action:
            return Missing(action)


def shown(interface: NetworkInterface) -> str:
    """The interface as people find it: its id, and its MAC or its device's name."""
    mark = interface.mac or interface.name or interface.parent
    return f"{interface.id} ({mark})" if mark else interface.id


def _absent(interface: NetworkInterface) -> str:
    if interface.kind != "nic":
        return f"this host has no device {interface.parent}, which it is to be made on"
    if interface.mac:
        return f"no device of this host has MAC address {interface.mac}"
    return f"this host has no device {interface.name}"
