"""What tests of objects share."""

import pytest

from fairlead.objects import Objects


@pytest.fixture
def objects(bucket: str) -> Objects:
    """Objects at the server."""
    return Objects.connect()
