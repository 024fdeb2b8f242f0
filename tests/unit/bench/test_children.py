import asyncio
import sys

import pytest

from bench import children
from bench.programs import ProgramFailed


async def test_a_program_is_run_to_its_end_and_its_processor_time_is_its_own() -> None:
    busy = "import time\nwhile time.process_time() < 0.1: pass"
    run = await children.run((sys.executable, "-c", busy), {})
    assert run.cpu_s >= 0.1
    assert run.wall_s >= 0.1


async def test_a_program_that_fails_is_named() -> None:
    with pytest.raises(ProgramFailed, match="ended with 3"):
        await asyncio.wait_for(children.run(("/bin/sh", "-c", "exit 3"), {}), 10)
