"""Blocks: who wants to hear nothing of whom."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, ForeignKey, and_, delete, exists, or_
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import Forbidden

from database import Base, insert_once, session


class Blocked(Forbidden):
    word = "blocked"

    def __init__(self) -> None:
        super().__init__("One of you has blocked the other.")


class Block(Base):
    __tablename__ = "blocks"

    blocker_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"), primary_key=True)
    blocked_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("users.id"), primary_key=True, index=True
    )

    @classmethod
    def put(cls, blocker_id: int, blocked_id: int) -> None:
        pair: dict[str, Any] = {"blocker_id": blocker_id, "blocked_id": blocked_id}
        insert_once(cls, tuple(pair), **pair)

    @classmethod
    def lift(cls, blocker_id: int, blocked_id: int) -> None:
        session.execute(
            delete(cls).where(cls.blocker_id == blocker_id, cls.blocked_id == blocked_id)
        )

    @classmethod
    def between(cls, one: Any, other: Any) -> ColumnElement[bool]:
        """Whether there is one, either way."""
        return exists().where(
            or_(
                and_(cls.blocker_id == one, cls.blocked_id == other),
                and_(cls.blocker_id == other, cls.blocked_id == one),
            )
        )
