"""The turns that are timed are those that they are said to be."""

from agent.task.actions import AttachNetwork, ObtainImage
from agent.task.model import Intent, first_progress
from agent.task.plan import plan
from agent.task.stopping import Rules
from agent.task.view import ContainerSeen, Running, Seen
from bench import planning


def test_a_task_that_runs_wants_nothing() -> None:
    task = planning._task()
    view = planning._view(task, Seen(ContainerSeen(Running.RUNNING, pid=1)))
    decision = plan(Intent(task), planning._running(task), view, (), planning.AT, Rules())
    assert decision.actions == ()
    assert len(task.containers) == 10


def test_a_task_that_starts_wants_its_first_container() -> None:
    task = planning._task()
    fresh, view = first_progress(task), planning._view(task, None)
    decision = plan(Intent(task), fresh, view, (), planning.AT, Rules())
    assert decision.actions == (ObtainImage("c0"), AttachNetwork("c0"))


def test_both_figures_are_microseconds() -> None:
    for figure in (planning.plan10_us(), planning.plan10_starting_us()):
        assert 1 < figure < 100_000
