"""requests: a session that keeps its connection."""

import hashlib
import sys

import requests

base = sys.argv[1]
session = requests.Session()
session.trust_env = False


def told(name, answer):
    kept = sorted((key.lower(), value) for key, value in answer.headers.items() if key.lower() != "date")
    print(name, answer.status_code, answer.reason, hashlib.sha256(answer.content).hexdigest(), kept)


def pieces():
    for number in range(10):
        yield b"%d" % number * 1000


told("small", session.get(base + "/small?q=%7e&a=b%2Fc", headers={"X-oDD": "kept \xe4"}))
told("unchanged", session.get(base + "/small", headers={"If-None-Match": '"small"'}))
told("head", session.head(base + "/small"))
told("big", session.get(base + "/big"))
told("chunked", session.get(base + "/chunked"))
told("empty", session.get(base + "/empty"))
told("none", session.get(base + "/missing/../x"))
told("post", session.post(base + "/echo", data={"a": "1", "b": "2"}))
told("post big", session.post(base + "/echo", data=b"x" * (1 << 20)))
told("post chunks", session.post(base + "/echo", data=pieces()))
told("put", session.put(base + "/echo", data=b"", headers={"X-Odd": "y"}))
told("delete", session.delete(base + "/echo"))
told("options", session.options(base + "/echo"))
told("range", session.get(base + "/big", headers={"Range": "bytes=100-199"}))
told("close", session.get(base + "/small", headers={"Connection": "close"}))
told("again", session.get(base + "/small"))
