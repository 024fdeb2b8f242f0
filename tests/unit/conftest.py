"""What all unit tests rely on."""

from __future__ import annotations

import gc
import os

from hypothesis import HealthCheck, settings

# Where a person waits, half the examples: another run tries others. On a machine that is busy
# otherwise, drawing them may take long; that says nothing of what is tested.
settings.register_profile(
    "waited for",
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
if not os.environ.get("CI"):  # there hypothesis has a profile of its own
    settings.load_profile("waited for")


def pytest_collection_finish() -> None:
    """Modules are most of what is in memory, and stay: not to be searched for garbage again."""
    gc.collect()
    gc.freeze()
