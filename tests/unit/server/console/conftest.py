from __future__ import annotations

from collections.abc import Iterator

import pytest
from console_site import Bench, console_over
from server_site import Site


@pytest.fixture
def bench(site: Site) -> Iterator[Bench]:
    """The console of a space in which alpha, beta and gamma agreed to everything."""
    with console_over(site) as made:
        yield made
