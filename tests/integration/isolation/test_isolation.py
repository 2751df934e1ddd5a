"""Nobody learns anything from a document that they may not read, whatever was changed before and however they ask.

`ISOLATION_EXAMPLES` sets the number of examples, for the long run on demand.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from opaa.db.embedded import Urls
from opaa.db.session import Database
from tests.integration.isolation.machine import Isolation
from tests.integration.isolation.world import World

EXAMPLES = int(os.environ.get("ISOLATION_EXAMPLES", "2000"))
STEPS = 8


@pytest.fixture
def machine(database_urls: Urls, tmp_path: Path) -> Iterator[type[Isolation]]:
    with asyncio.Runner() as runner:
        # Few connections, so that both tenants meet on each of them.
        database = Database(database_urls.application, pool_size=2)
        world = World(database, tmp_path)
        runner.run(world.open())
        Isolation.world, Isolation.runner = world, runner
        yield Isolation
        runner.run(world.close())
        runner.run(database.close())


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.req("SEC-6", "SEC-7", "TEN-1")
def test_every_way_to_read_agrees_with_the_reference(machine: type[Isolation]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
