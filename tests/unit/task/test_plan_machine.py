"""plan() in every life that hypothesis can think of (``tests.lives``).

HOSTLER_LIVES sets the number of lives, for a longer run (with pytest's ``--timeout=0``).
"""

import os

from hypothesis import HealthCheck, settings

from tests.lives.machine import Lives

TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=int(os.environ.get("HOSTLER_LIVES", "200")),
    stateful_step_count=40,
    deadline=None,
    derandomize="HOSTLER_LIVES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
