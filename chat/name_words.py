"""Words of names: by their beginnings people are found, however many others there are.

They are stored beside the names. An older version of the program, while it runs beside this one,
stores new people without them, and forgets them when an account ends: mend() makes that good.
"""

from sqlalchemy import delete, insert, literal_column, select

from contract.characters import beginnings, without_marks
from database import db, writing
from dialects.expressions import starts_with
from models import NameWord, User

#: People whose words are mended in one transaction.
SOME = 100

_DUE = select(User).where(User.has_words == User.deleted_at.is_not(None)).limit(SOME)


def of(username: str, display_name: str | None) -> set[str]:
    """What both names of somebody are found by."""
    return beginnings(username) | beginnings(display_name or "")


def store(user_id: int, username: str, display_name: str | None = None) -> None:
    """Replace the words of somebody by those of these names."""
    db.session.execute(delete(NameWord).where(NameWord.user_id == user_id))
    if words := sorted(of(username, display_name)):
        db.session.execute(insert(NameWord), [{"word": w, "user_id": user_id} for w in words])


def found(start: str, after: int, limit: int) -> list[int]:
    """The ids, in order and from `after` on, of those who have a word that begins like this."""
    # As a sum, or a database might go through all people in the order of their ids.
    user_id = (NameWord.user_id + literal_column("0")).label("user_id")
    ids = (
        select(user_id)
        .where(starts_with(NameWord.word, start), user_id > after)
        .distinct()
        .order_by(user_id)
        .limit(limit)
    )
    return list(db.session.scalars(ids))


def key(query: str) -> str:
    """A query as the words are stored."""
    return without_marks(query[:1_000])  # no word is longer in any spelling


def mend() -> bool:
    """Store the words that are missing of some people, and erase those of people who have left;
    whether there may be more."""
    if not db.session.scalars(_DUE).all():
        return False
    with writing():
        people = db.session.scalars(_DUE.with_for_update(skip_locked=True)).all()
        for person in people:
            store(person.id, person.username, person.display_name)
            person.has_words = person.deleted_at is None
        db.session.commit()
    return len(people) == SOME
