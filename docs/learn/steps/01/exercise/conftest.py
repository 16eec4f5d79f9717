import pytest

from app import app, people


@pytest.fixture
def client():
    """Sends requests to the app without a network. Nobody is there at first."""
    people.clear()
    return app.test_client()
