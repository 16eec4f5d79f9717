"""Step 3: what is wrong is refused, in one shape."""

from uuid import uuid4

from flask import Flask, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.exceptions import Conflict, HTTPException

# The application -----------------------------------------------------------------------------


class Base(DeclarativeBase):
    """What every table is made from."""


app = Flask(__name__)
app.json.sort_keys = False  # answers keep the order in which they are written here
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///chat.db"  # instance/chat.db
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
app.config.from_prefixed_env()  # FLASK_SECRET_KEY sets SECRET_KEY, and so on
db = SQLAlchemy(app, model_class=Base)


# Tables --------------------------------------------------------------------------------------


class User(Base):
    """Somebody who has registered."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50), unique=True)


# Refusals ------------------------------------------------------------------------------------

#: The words for programs that differ from the names that HTTP has for these.
CODES = {400: "invalid", 413: "too_large", 500: "internal"}


class Taken(Conflict):
    """A name belongs to somebody else."""

    code_word = "taken"


@app.errorhandler(HTTPException)
def refuse(error):
    """Answer every error in one shape."""
    word = CODES.get(error.code, error.name.lower().replace(" ", "_"))
    word = getattr(error, "code_word", word)
    response = error.get_response()  # with its headers, such as Allow
    response.data = jsonify(status="error", code=word, message=error.description).data
    response.content_type = "application/json"
    return response


@app.after_request
def name_request(response):
    """Give each answer an id, so that a report of a failure can say which one it was."""
    response.headers["X-Request-ID"] = uuid4().hex
    if response.status_code >= 500:
        app.logger.error("The answer above is %s.", response.headers["X-Request-ID"])
    return response


# What clients send -----------------------------------------------------------------------------


def body():
    """The members of the JSON object that was sent."""
    members = request.get_json()
    if not isinstance(members, dict):
        abort(400, "Send a JSON object.")
    return members


def text(members, name, least, most):
    """A member that has to be a text of so many characters."""
    value = members.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        abort(400, f"{name} must be a text of {least} to {most} characters.")
    if any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value):
        abort(400, f"{name} has a character that cannot be stored.")
    return value


# Users -----------------------------------------------------------------------------------------


@app.post("/api/register")
def register():
    """Store a new user."""
    username = text(body(), "username", 1, 50)
    if username != username.strip():
        abort(400, "username must not begin or end with white space.")
    user = User(username=username)
    db.session.add(user)
    try:
        db.session.commit()
    except IntegrityError:
        raise Taken("This username is in use. Choose another one.") from None
    data = {"id": user.id, "username": user.username}
    return {"status": "success", "message": "Registered.", "data": data}, 201


@app.get("/api/users")
def users():
    """List everybody by id."""
    found = db.session.scalars(select(User).order_by(User.id))
    return [{"id": user.id, "username": user.username} for user in found]


with app.app_context():
    db.create_all()  # the tables that are missing
