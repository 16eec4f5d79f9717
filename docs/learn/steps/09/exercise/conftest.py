import os
from tempfile import mkdtemp

import pytest

# The tests have a database of their own. The app reads this when it is imported.
os.environ["FLASK_SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{mkdtemp()}/test.db"

from app import app, db


@pytest.fixture
def client():
    """Sends requests to the app without a network. Its tables are empty at first."""
    with app.app_context():
        db.drop_all()
        db.create_all()
    return app.test_client()
