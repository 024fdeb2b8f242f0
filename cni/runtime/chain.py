"""The runtime's side: a network's plugins in their order, ours as functions, others as programs.

Order, `prevResult` and what is kept between ADD and DEL are the specification's (section
"Execution of network configurations") and libcni's, so that whoever uses the same cache directory
can end what another began. Operations on one container must not overlap; nor a GC with any other
on its network: that is the caller's to see to.
"""

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cni import formats
from cni.context import Context
from cni.errors import CNIError, Code, reported
from cni.plugin import Restorable
from cni.runtime import cache, external
from cni.runtime.cache import Cached
from cni.runtime.conflist import Network, Step
from cni.spec import Args, Attachment, Result

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Runtime:
    """Attaches containers to networks; for one thread at a time, that of the context.

    `cache_dir` is libcni's, `path` where other plugins are looked for; one that takes longer than
    `deadline_s` is killed.
    """

    def __init__(
        self,
        context: Context,
        cache_dir: Path,
        path: tuple[Path, ...] = (),
        deadline_s: float = external.DEADLINE_S,
    ) -> None:
        search = ":".join(str(each) for each in path)
        self._context = replace(context, environ={**os.environ, "CNI_PATH": search})
        self._cache_dir = cache_dir
        self._path = path
        self._deadline_s = deadline_s

    @property
    def context(self) -> Context:
        """What its plugins work with."""
        return self._context

    @property
    def cache_dir(self) -> Path:
        """Where the results are kept."""
        return self._cache_dir

    def add(
        self,
        network: Network,
        container_id: str,
        netns: Path,
        ifname: str = "eth0",
        capabilities: Mapping[str, Any] = _NOTHING,
        cni_args: Mapping[str, str] = _NOTHING,
    ) -> Result:
        """Attach; after a failure the whole list has been asked to DEL. Raises CNIError."""
        args = Args(container_id, netns, ifname, cni_args, self._path)
        try:
            for step in network.steps:
                result = self._attachment("ADD", step, args, capabilities)
                args = replace(args, prev=result)
            result = args.prev or Result()
            cached = Cached(args.attachment, result, network.name, netns, cni_args, capabilities)
            cache.write(self._cache_dir, cached, network.raw, network.version)
        except BaseException:
            self._undo(network, args, capabilities)
            raise
        return result

    def check(self, network: Network, container_id: str, netns: Path, ifname: str = "eth0") -> None:
        """Raise number 101, or another plugin's own, unless the attachment is as it was made.

        Raises number 1 when the network's version has no CHECK, 3 when nothing is known of the
        attachment.
        """
        if not formats.speaks(network.version, "0.4.0"):
            msg = f"network {network.name}: version {network.version} has no CHECK"
            raise CNIError(Code.INCOMPATIBLE_VERSION, msg)
        if network.disable_check:
            return
        attachment = Attachment(container_id, ifname)
        cached = cache.read(self._cache_dir, network.name, attachment, network.version)
        if cached is None:
            msg = f"{container_id} is not attached to network {network.name} by {ifname}"
            raise CNIError(Code.UNKNOWN_CONTAINER, msg)
        args = Args(container_id, netns, ifname, cached.cni_args, self._path, prev=cached.result)
        for step in network.steps:
            self._attachment("CHECK", step, args, cached.capabilities)

    def delete(
        self,
        network: Network,
        container_id: str,
        netns: Path | None,
        ifname: str = "eth0",
        capabilities: Mapping[str, Any] = _NOTHING,
        cni_args: Mapping[str, str] = _NOTHING,
    ) -> None:
        """Detach, with the arguments of ADD where none are given; may be repeated.

        Stops at the first plugin that fails. Raises CNIError.
        """
        attachment = Attachment(container_id, ifname)
        cached = None
        # Without what ADD gave, a DEL removes what it can; a damaged file must not prevent that.
        with suppress(CNIError):
            cached = cache.read(self._cache_dir, network.name, attachment, network.version)
        cached = cached or Cached(attachment, Result())
        prev = cached.result if formats.speaks(network.version, "0.4.0") else None
        known = Args(container_id, netns, ifname, cni_args or cached.cni_args, self._path)
        args = replace(known, prev=prev if prev != Result() else None)
        for step in reversed(network.steps):
            self._attachment("DEL", step, args, capabilities or cached.capabilities)
        cache.remove(self._cache_dir, network.name, attachment)

    def restore(self, network: Network, cached: Cached) -> None:
        """Make good what an attachment lacks in the host's firewall; no link is touched.

        Foreign plugins know nothing of that and are left out. Raises CNIError.
        """
        args = Args(
            cached.attachment.container_id,
            cached.netns,
            cached.attachment.ifname,
            cached.cni_args,
            self._path,
            prev=cached.result,
        )
        for step in network.steps:
            plugin: object = step.plugin
            if isinstance(plugin, Restorable):
                runtime = _wanted(step, cached.capabilities)
                plugin.restore(step.parsed, replace(args, runtime=runtime), self._context)

    def gc(self, network: Network, valid: Collection[Attachment]) -> None:
        """Remove what belongs to none of the valid attachments.

        Goes on after errors and raises the first, with the others in its details.
        """
        if network.disable_gc:
            return
        errors: list[CNIError] = []
        for cached in list(cache.of_network(self._cache_dir, network.name, network.version)):
            if cached.attachment not in valid:
                try:
                    self.delete(
                        network,
                        cached.attachment.container_id,
                        cached.netns,
                        cached.attachment.ifname,
                    )
                except CNIError as error:
                    errors.append(error)
        for step in network.steps if formats.speaks(network.version, "1.1.0") else ():
            try:
                self._network("GC", step, valid)
            except CNIError as error:
                errors.append(error)
        if errors:
            first, *others = errors
            details = "; ".join(
                [first.details] * bool(first.details) + [str(each) for each in others]
            )
            raise CNIError(first.code, first.msg, details) from first

    def status(self, network: Network) -> None:
        """Raise number 50 or 51 when an ADD could not succeed; before 1.1.0 nobody can say."""
        for step in network.steps if formats.speaks(network.version, "1.1.0") else ():
            self._network("STATUS", step, ())

    def _undo(self, network: Network, args: Args, capabilities: Mapping[str, Any]) -> None:
        """After a failed ADD: every plugin is asked, whatever the others say."""
        for step in reversed(network.steps):
            with suppress(CNIError):
                self._attachment("DEL", step, args, capabilities)
        with suppress(CNIError):
            cache.remove(self._cache_dir, network.name, args.attachment)

    def _attachment(
        self, verb: str, step: Step, args: Args, capabilities: Mapping[str, Any]
    ) -> Result:
        """Ask one plugin; its result, which only ADD has."""
        args = replace(args, runtime=_wanted(step, capabilities))
        if step.plugin is None:
            return external.delegate(
                verb, step.type, step.conf, args, self._context, self._deadline_s
            )
        with reported(f"{step.type} cannot {verb}"):
            match verb:
                case "ADD":
                    return step.plugin.add(step.parsed, args, self._context)
                case "CHECK":
                    step.plugin.check(step.parsed, args, self._context)
                case _:
                    step.plugin.delete(step.parsed, args, self._context)
        return Result()

    def _network(self, verb: str, step: Step, valid: Collection[Attachment]) -> None:
        if step.plugin is None:
            external.delegate_network(
                verb, step.type, step.conf, self._context, valid, self._deadline_s
            )
            return
        with reported(f"{step.type} cannot {verb}"):
            if verb == "GC":
                step.plugin.gc(step.parsed, valid, self._context)
            else:
                step.plugin.status(step.parsed, self._context)


def _wanted(step: Step, capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """The plugin's `runtimeConfig`: of what is given that which it wants."""
    return {key: capabilities[key] for key in step.capabilities if key in capabilities}
