"""Step 1: people in memory, and the verbs of HTTP."""

from itertools import count

from flask import Flask, abort, request

app = Flask(__name__)
app.json.sort_keys = False  # answers keep the order in which they are written here

# The resources: a name for each id. They are gone when the server stops; step 2 keeps them.
people = {}
ids = count(1)


@app.get("/people")
def list_people():
    """Show everybody. This is safe: asking changes nothing."""
    return [{"id": id, "name": name} for id, name in people.items()]


@app.post("/people")
def add_person():
    """Add somebody. This is not idempotent: sent twice, it adds two."""
    id = next(ids)
    people[id] = request.json["name"]
    return {"id": id, "name": people[id]}, 201, {"Location": f"/people/{id}"}


@app.put("/people/<int:id>")
def rename_person(id):
    """Give somebody a name. This is idempotent: twice is the same as once."""
    if id not in people:
        abort(404)
    people[id] = request.json["name"]
    return {"id": id, "name": people[id]}


@app.delete("/people/<int:id>")
def remove_person(id):
    """Remove somebody. This is idempotent, too: gone is gone."""
    people.pop(id, None)
    return "", 204
