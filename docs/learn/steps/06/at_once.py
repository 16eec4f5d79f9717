"""Sends one message eight times at the same moment: python at_once.py localhost:5000 <token>"""

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

server, token = sys.argv[1:]
message = {"channel": "private-chat_1_2", "message": "Once!", "client_message_id": "a2"}


def send(_number):
    """Send it, and give back the status and the id that it got."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"http://{server}/api/send_message"
    with urlopen(Request(url, json.dumps(message).encode(), headers)) as answer:
        return answer.status, json.load(answer)["id"]


with ThreadPoolExecutor(8) as threads:
    answers = Counter(threads.map(send, range(8)))
for (status, id), times in sorted(answers.items()):
    print(f"{times} times {status}, with the id {id}")
