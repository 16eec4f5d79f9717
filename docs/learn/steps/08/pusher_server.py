"""A Pusher server of our own: the project's gateway, which needs a few lines around it."""

from flask import Flask, request

from gateway import Gateway

app = Flask(__name__)
gateway = Gateway("1", "key", "secret of the lessons")
gateway.open()


@app.get("/app/<key>", websocket=True)
def connect(key):
    """Let a client in: from here on its connection is a WebSocket."""
    answer = gateway.upgrade(request.environ, key)
    return answer.body or "", answer.status, answer.headers


@app.route("/apps/<path:_path>", methods=["GET", "POST"])
def publish(_path):
    """Take events from the application, which signs them with the secret."""
    query = request.query_string.decode()
    status, answer = gateway.api(request.method, request.path, query, request.get_data())
    return answer, status
