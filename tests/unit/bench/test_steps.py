from typing import Any

from bench.steps import steps_table


def step(what: str, at: float, took_s: float | None) -> dict[str, Any]:
    return {"what": what, "at": at, "took_s": took_s}


def test_steps_show_medians_after_the_acceptance_in_the_order_of_time() -> None:
    timelines = [
        (100.0, [step("started", 100.050, 0.005), step("created", 100.040, 0.030)]),
        (200.0, [step("created", 200.020, 0.010), step("started", 200.030, 0.007)]),
        (300.0, [step("created", 300.030, 0.020), step("started", 300.040, 0.006)]),
    ]
    created, started = steps_table(timelines).splitlines()[1:]
    assert created.split() == ["created", "30.0", "20.0"]
    assert started.split() == ["started", "40.0", "6.0"]


def test_a_step_that_is_no_action_took_no_time() -> None:
    (running,) = steps_table([(0.0, [step("running", 0.5, None)])]).splitlines()[1:]
    assert running.split() == ["running", "500.0"]
