"""Stands in for python3 on a host that is owned by somebody else: says what its payload tells it to.

Run as `owned_host.py PAYLOAD python-arguments…`; needs nothing but the standard library. A payload is a JSON list of
acts: `{"raw": TEXT}` or `{"hex": HEX}` (bytes as they are), `{"marker": true}`, `{"frame": OBJECT}`, `{"body": TEXT}`
(one frame of that body, or with `repeat` many), `{"steps": {…}}` (for each step that comes a result with these fields),
and `{"stderr": TEXT}`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def put(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def batch() -> tuple[int, list[int]]:
    """The next batch of steps that is to be run, with their ids; blobs and the agent's archive are passed over."""
    found: list[int] = []
    while True:
        head = sys.stdin.buffer.read(4)
        if len(head) < 4:
            sys.exit(0)
        body = sys.stdin.buffer.read(int.from_bytes(head, "big"))
        if body[:1] != b"{":
            continue
        message = json.loads(body)
        if message["type"] == "steps":
            found += [step["id"] for step in message["steps"]]
        if message["type"] == "run":
            return message["batch"], found
        if message["type"] in ("bye", "cancel"):
            sys.exit(0)


def result(number: int, change: dict[str, Any]) -> dict[str, Any]:
    usual = {"rc": 0, "stdout": "x", "stdout_lines": ["x"], "stderr": "", "stderr_lines": []}
    fields = {**usual, **change.get("fields", {})}
    return {"type": "result", "step": number, "status": "ok", **change, "fields": fields}


def answer(change: dict[str, Any], between: list[dict[str, Any]]) -> None:
    """Results for every step that comes, until nothing comes any more."""
    while True:
        number, steps = batch()
        for step in steps:
            put(framed(json.dumps({"type": "started", "step": step}).encode()))
            for message in between:
                put(framed(json.dumps({**message, "step": step}).encode("utf-8", "surrogatepass")))
            put(framed(json.dumps(result(step, change)).encode("utf-8", "surrogatepass")))
        put(framed(json.dumps({"type": "end", "batch": number}).encode()))


def act(what: dict[str, Any], marker: str) -> None:
    if "raw" in what:
        put(what["raw"].encode("utf-8", "surrogatepass"))
    elif "hex" in what:
        put(bytes.fromhex(what["hex"]))
    elif "marker" in what:
        put(marker.encode())
    elif "frame" in what:
        put(framed(json.dumps(what["frame"]).encode("utf-8", "surrogatepass")))
    elif "body" in what:
        for _ in range(what.get("repeat", 1)):
            put(framed(what["body"].encode("utf-8", "surrogatepass")))
    elif "steps" in what:
        answer(what["steps"], what.get("between", []))
    elif "stderr" in what:
        sys.stderr.write(what["stderr"])
        sys.stderr.flush()


def main() -> None:
    sys.stderr.reconfigure(errors="surrogatepass")  # type: ignore[union-attr]
    marker = next(word for word in sys.argv[2:] if re.fullmatch(r"[0-9a-f]{32}", word))
    acts = json.loads(Path(sys.argv[1]).read_text())
    try:
        for what in acts:
            act(what, marker)
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()
