"""What a host that is owned by somebody else may say: hard texts in every place, and messages of every wrong form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["payloads", "texts"]

Act = dict[str, Any]
BOOT: Act = {"frame": {"type": "boot", "python": [3, 11, 2], "uid": 0, "have": True}}
FACTS: dict[str, Any] = {"hostname": "owned", "distribution": "Debian", "machine": "x86_64", "simulated": False}
READY: Act = {"frame": {"type": "ready", "facts": FACTS, "pending": []}}
START: list[Act] = [{"marker": True}, BOOT]
HUGE = 10**4000


def texts(canary: str) -> list[str]:
    """Texts that are a program, a path, a control sequence or markup to somebody who is careless."""
    return [
        "{{ 7 * 7 }}",
        "{{ lookup('file', '/etc/hostname') }}",
        "{{ cycler.__init__.__globals__.os.popen('touch " + canary + "').read() }}",
        "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}{% include '" + canary + "' %}",
        "{#",
        "{{",
        "!unsafe '{{ 7 }}'",
        f"$(touch {canary})",
        f"`touch {canary}`",
        f"x; touch {canary}",
        f"x\ntouch {canary}\n",
        f"| touch {canary}",
        "\x1b[2J\x1b[1;1Hroot@control:~#",
        "\x1b]52;c;cm0gLXJmIC8K\x07",
        "\x1b]8;;http://attacker.example/\x1b\\press\x1b]8;;\x1b\\",
        "\x9b31mred\x9d0;title\x9c",
        "good\rbad \x08\x08\x7f\x00",
        "\u202eexe.txt\u2066\u200b",
        "[/bold][red]x[/x]",
        "[link=file:///etc/passwd]here[/link]",
        "../../../../../.." + canary,
        canary,
        "~/.ssh/authorized_keys",
        "-oProxyCommand=touch " + canary,
        "<script>document.write(1)</script>\"'><img src=x onerror=alert(1)>",
        "\ud800\udfff\ud83d",
        "__class__",
        "a" * 200_000,
    ]


def _told(
    facts: dict[str, Any] | None = None, change: Act | None = None, between: list[Act] | None = None
) -> list[Act]:
    ready = {"frame": {"type": "ready", "facts": {**FACTS, **(facts or {})}, "pending": []}}
    return [*START, ready, {"steps": change or {}, "between": between or []}]


def _placed(text: str) -> Iterator[tuple[str, list[Act]]]:
    """A text in every place where a host may put one."""
    yield "fact", _told({"hostname": text, "distribution": text})
    yield "name of a fact", _told({text: text, "nested": {text: [text, {text: text}]}})
    yield "pending handler", [*START, {"frame": {"type": "ready", "facts": FACTS, "pending": [text]}}, {"steps": {}}]
    yield "stdout", _told(change={"fields": {"stdout": text, "stdout_lines": [text], "msg": text}})
    yield "rc", _told(change={"fields": {"rc": text, "changed": text, "failed": text, text: text}})
    yield "error", _told(change={"status": "failed", "error": {"summary": text, "cause": text, "hint": text}})
    action = {"verb": "change", "target": text, "before": text, "after": text}
    yield "action", _told(change={"status": "changed", "actions": [action]})
    yield "verb", _told(change={"status": "changed", "actions": [{**action, "verb": text}]})
    yield "status", _told(change={"status": text})
    yield "output", _told(between=[{"type": "output", "stream": "stdout", "text": text}])
    yield "stream", _told(between=[{"type": "output", "stream": text, "text": text}])
    progress = {"type": "progress", "done": 1, "total": 2, "unit": text, "label": text}
    yield "progress", _told(between=[progress])
    fatal = {"type": "fatal", "kind": text, "summary": text, "cause": text, "hint": text}
    yield "fatal", [*START, {"frame": fatal}]
    yield "noise", [{"raw": text}, {"stderr": "x"}]
    yield "type", [*START, {"frame": {"type": text}}]


FORMS: dict[str, dict[str, Any]] = {
    "boot": {"python": [3, 11, 2], "uid": 0, "have": True},
    "ready": {"facts": FACTS, "pending": []},
    "need": {"sha256": ["0" * 64]},
    "progress": {"step": 1, "done": 1, "total": 2, "unit": "s", "label": "x"},
    "output": {"step": 1, "stream": "stdout", "text": "x"},
    "result": {"step": 1, "status": "ok", "fields": {}, "actions": [], "error": None, "cut": []},
    "end": {"batch": 1},
    "fatal": {"kind": "locked", "summary": "s", "cause": "c", "hint": "h"},
}
WRONG: list[Any] = [None, True, -1, 1e308, HUGE, "x", [], [[None]], {}, {"a": {"b": []}}]


def _formed() -> Iterator[tuple[str, list[Act]]]:
    """Each field of each message with a value of another kind, left out, or joined by one that nobody knows."""
    for kind, fields in FORMS.items():
        before = [{"marker": True}] if kind == "boot" else [*START] if kind == "ready" else [*START, READY]
        for number, field in enumerate(fields):
            for wrong in WRONG[number % 2 :: 4]:
                told = {"type": kind, **fields, field: wrong}
                yield f"{kind}.{field} {str(wrong)[:9]}", [*before, {"frame": told}, {"steps": {}}]
            left = {name: value for name, value in fields.items() if name != field}
            yield f"{kind} without {field}", [*before, {"frame": {"type": kind, **left}}, {"steps": {}}]
        yield f"{kind} with more", [*before, {"frame": {"type": kind, **fields, "more": 1}}, {"steps": {}}]


def _streamed() -> Iterator[tuple[str, list[Act]]]:
    """Frames that are none, too much, too deep, out of turn, or that stop."""
    for depth in (33, 1000, 100_000):
        yield f"depth {depth}", [*START, {"body": '{"type":"ready","pending":[],"facts":' + "[" * depth}]
        closed = '{"a":' * depth + "1" + "}" * depth
        yield f"closed depth {depth}", [*START, {"body": f'{{"type":"ready","pending":[],"facts":{closed}}}'}]
    for number in ("NaN", "Infinity", "-Infinity", "1e999", str(HUGE), "-0", "0x10"):
        yield (
            number[:12],
            [*START, {"body": f'{{"type":"ready","pending":[],"facts":{{"cpus":{number}}}}}'}, {"steps": {}}],
        )
    for head in ("ffffffff", "7fffffff", "00100001", "00000000", "00000001", "80000000"):
        yield f"head {head}", [*START, {"hex": head}, {"raw": "x" * 5000}]
    flood = json.dumps({"type": "output", "step": 1, "stream": "stdout", "text": "x" * 900_000})
    yield "64 MiB", [*START, READY, {"body": flood, "repeat": 80}]
    facts = json.dumps({"type": "ready", "pending": [], "facts": {f"f{index}": index for index in range(60_000)}})
    yield "60,000 facts", [*START, {"body": facts}, {"steps": {}}]
    yield "beats", [*START, READY, {"body": '{"type":"beat"}', "repeat": 50_000}]
    yield (
        "results out of turn",
        [*START, READY, {"frame": {"type": "result", "step": 1, "status": "ok"}}, {"steps": {}}],
    )
    yield "result of nobody", _told(between=[{"type": "result", "status": "ok", "fields": {}}])
    yield "two starts", [*START, BOOT, READY, READY, {"steps": {}}]
    yield "end of nothing", [*START, READY, {"frame": {"type": "end", "batch": 99}}, {"steps": {}}]
    yield "blob", [*START, READY, {"hex": "00000023" + "0001" + "00" * 33}]
    yield "same name twice", [*START, {"body": '{"type":"ready","type":"fatal","facts":{},"facts":[],"pending":[]}'}]
    yield "no UTF-8", [*START, {"hex": "00000004fffefdfc"}]
    for number in range(1, 4):
        yield f"ends after {number}", [*START, READY][:number]
    yield "ends at once", []
    yield "noise without end", [{"raw": "x" * 100_000}]
    yield "half a frame", [*START, {"hex": "000000ff"}, {"raw": '{"type":"re'}]


def payloads(canary: str) -> dict[str, list[Act]]:
    """All of them by name; `canary` is a path that comes to exist where one of them is run."""
    found = {f"{place}: {number}": acts for number, text in enumerate(texts(canary)) for place, acts in _placed(text)}
    found.update(_formed())
    found.update(_streamed())
    return found
