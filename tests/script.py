"""A script for the plan: say what is seen and what came of actions, ask what happens next."""

from collections.abc import Mapping

from agent.task.actions import Action, Decision, News, Result
from agent.task.model import Intent, Progress, StopRequest, Task, first_progress
from agent.task.plan import plan
from agent.task.stopping import Rules
from agent.task.view import ContainerSeen, View
from tests import worlds


class Script:
    """One task, one plan, and a clock that the test sets. The view stays until changed."""

    def __init__(
        self,
        task: Task,
        *,
        seen: Mapping[str, ContainerSeen] | None = None,
        progress: Progress | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.intent = Intent(task)
        self.progress = progress or first_progress(task)
        self.now = 0.0
        self.wakes_at: float | None = None
        self.decision: Decision | None = None
        self._rules = rules or Rules()
        self._news: list[News] = []
        self.view = worlds.view(task, seen or {})

    def sees(self, view: View | None = None, **seen: ContainerSeen) -> None:
        """From now on a look shows ``view``, or just these containers and what they need."""
        self.view = view or worlds.view(self.intent.task, seen)
        assert worlds.impossible(self.view) is None, worlds.impossible(self.view)

    def asked_to_stop(self, reason: str = "because", *, force: bool = False) -> None:
        """Somebody asks for a stop now."""
        self.intent = Intent(self.intent.task, StopRequest(self.now, reason, force))

    def result(self, action: Action, result: Result) -> None:
        """The action ended now with ``result``; heard at the next turn."""
        self._news.append(News(action, self.now, self.now, result))

    def turn(self, at: float | None = None) -> list[Action]:
        """What the plan wants now, or at ``at``. Asks twice: equal questions, equal answers."""
        self.now = self.now if at is None else at
        asked = (self.intent, self.progress, self.view, tuple(self._news), self.now, self._rules)
        self.decision = plan(*asked)
        assert self.decision == plan(*asked)
        self._news.clear()
        self.progress, self.wakes_at = self.decision.progress, self.decision.wake_at
        return list(self.decision.actions)
