"""Step 4: people log in, and requests say who is asking."""

import unicodedata
from datetime import UTC, datetime, timedelta
from functools import wraps
from uuid import uuid4

import jwt
from flask import Flask, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.exceptions import Conflict, HTTPException, Unauthorized
from werkzeug.security import check_password_hash, generate_password_hash

# The application -----------------------------------------------------------------------------


class Base(DeclarativeBase):
    """What every table is made from."""


app = Flask(__name__)
app.json.sort_keys = False  # answers keep the order in which they are written here
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///chat.db"  # instance/chat.db
app.config["SECRET_KEY"] = "for lessons only: set FLASK_SECRET_KEY to a long random text"
app.config["PASSWORD_HASH"] = "scrypt"
app.config["TOKEN_SECONDS"] = 86_400
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
app.config.from_prefixed_env()  # FLASK_SECRET_KEY sets SECRET_KEY, and so on
db = SQLAlchemy(app, model_class=Base)


# Tables --------------------------------------------------------------------------------------


class User(Base):
    """Somebody who has registered."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50))
    username_key: Mapped[str] = mapped_column(unique=True)  # the same for "Ada" and "ada"
    password_hash: Mapped[str]


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
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
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


def text(members, name, least=0, most=100_000):
    """A member that has to be a text of so many characters."""
    value = members.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        abort(400, f"{name} must be a text of {least} to {most} characters.")
    if any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value):
        abort(400, f"{name} has a character that cannot be stored.")
    return value


# Who is asking ---------------------------------------------------------------------------------


def name_key(username):
    """What all spellings of a name have in common."""
    return unicodedata.normalize("NFKC", username).casefold()


def login_required(view):
    """Pass the caller to the view, or answer 401."""

    @wraps(view)
    def with_caller(**arguments):
        return view(caller(), **arguments)

    return with_caller


def caller():
    """The user whose token came with the request."""
    key = app.config["SECRET_KEY"]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("Send a token: Authorization: Bearer <token>.")
    try:
        claims = jwt.decode(token.strip(), key, ["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        raise Unauthorized("The token is not valid. Log in again.") from None
    user = db.session.get(User, int(claims["sub"]))
    if user is None:
        raise Unauthorized("This account does not exist any more.")
    return user


@app.post("/api/register")
def register():
    """Store a new user."""
    members = body()
    username = text(members, "username", 1, 50)
    if username != username.strip():
        abort(400, "username must not begin or end with white space.")
    hashed = generate_password_hash(text(members, "password", 8, 128), app.config["PASSWORD_HASH"])
    user = User(username=username, username_key=name_key(username), password_hash=hashed)
    db.session.add(user)
    try:
        db.session.commit()
    except IntegrityError:
        raise Taken("This username is in use. Choose another one.") from None
    data = {"id": user.id, "username": user.username}
    return {"status": "success", "message": "Registered. Now log in.", "data": data}, 201


@app.post("/api/login")
def login():
    """Give a token to somebody who knows the password."""
    members = body()
    key, password = name_key(text(members, "username").strip()), text(members, "password")
    user = db.session.scalar(select(User).where(User.username_key == key))
    # If nobody has the name, compare all the same: the time must not tell who is registered.
    hashed = user.password_hash if user else HASH_OF_NOBODY
    if not check_password_hash(hashed, password) or user is None:
        raise Unauthorized("Wrong username or password.")
    now, seconds = datetime.now(UTC), app.config["TOKEN_SECONDS"]
    expires_at = now + timedelta(seconds=seconds)
    claims = {"sub": str(user.id), "iat": now, "exp": expires_at, "jti": uuid4().hex}
    token = jwt.encode(claims, app.config["SECRET_KEY"], "HS256")
    data = {"id": user.id, "username": user.username, "token": token, "expires_in": seconds}
    return {"status": "success", "message": "Logged in.", "data": data}


HASH_OF_NOBODY = generate_password_hash(uuid4().hex, app.config["PASSWORD_HASH"])


@app.get("/api/users")
@login_required
def users(_user):
    """List everybody by id."""
    found = db.session.scalars(select(User).order_by(User.id))
    return [{"id": each.id, "username": each.username, "userName": each.username} for each in found]


with app.app_context():
    db.create_all()  # the tables that are missing
