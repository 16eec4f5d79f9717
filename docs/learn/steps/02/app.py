"""Step 2: people register, and a table keeps them."""

from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What every table is made from."""


app = Flask(__name__)
app.json.sort_keys = False  # answers keep the order in which they are written here
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///chat.db"  # instance/chat.db
app.config.from_prefixed_env()  # FLASK_SQLALCHEMY_DATABASE_URI names another database
db = SQLAlchemy(app, model_class=Base)


class User(Base):
    """Somebody who has registered."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50), unique=True)


@app.post("/api/register")
def register():
    """Store a new user."""
    user = User(username=request.json["username"])
    db.session.add(user)
    db.session.commit()
    data = {"id": user.id, "username": user.username}
    return {"status": "success", "message": "Registered.", "data": data}, 201


@app.get("/api/users")
def users():
    """List everybody by id."""
    found = db.session.scalars(select(User).order_by(User.id))
    return [{"id": user.id, "username": user.username} for user in found]


with app.app_context():
    db.create_all()  # the tables that are missing
