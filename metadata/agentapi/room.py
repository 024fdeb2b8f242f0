"""The room of the agent API: which path means what, and which methods it takes.

Unlike those of metadata, its paths check the method, as on ECS.
"""

import re
from typing import Final

from metadata.agentapi.faults import FAULTS, OPERATIONS, Faults
from metadata.agentapi.protection import Protection
from metadata.front.asking import NOT_FOUND, TEXT, Answer, Asking

_PROTECTION: Final = re.compile(r"/api/([^/]*)/task-protection/v1/state")
_FAULT: Final = re.compile(rf"/api/([^/]*)/fault/v1/({'|'.join(FAULTS)})/({'|'.join(OPERATIONS)})")


class AgentApi:
    """`front.asking.Room` for all that tasks may ask of the agent."""

    def __init__(self, protection: Protection, faults: Faults) -> None:
        self._protection = protection
        self._faults = faults

    async def answer(self, asking: Asking) -> Answer:
        """Whatever a container may ask, it is one of the codes."""
        if match := _PROTECTION.fullmatch(asking.path):
            if asking.method == "GET":
                return await self._protection.show(asking, match[1])
            if asking.method == "PUT":
                return await self._protection.change(asking, match[1])
            return _only("GET, PUT")
        if match := _FAULT.fullmatch(asking.path):
            if asking.method == "POST":
                return await self._faults.answer(asking, *match.groups())
            return _only("POST")
        return NOT_FOUND


def _only(methods: str) -> Answer:
    return Answer(b"", 405, TEXT, {"Allow": methods})
