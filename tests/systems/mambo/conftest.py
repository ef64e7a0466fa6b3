import pytest


@pytest.fixture(scope="session")
def smoke_run(finished):
    """The finished smoke run; never write into it."""
    return finished("mambo")
