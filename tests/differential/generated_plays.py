"""Hypothesis strategies for plays that touch only a folder of their own on a host.

Owns what is generated. Every task has a name of its own; the last one writes down what variables and results are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from hypothesis import strategies as st
from pairs import Case

EXPRESSIONS = (
    "{{ word | upper }}",
    "{{ number | int + 1 }}",
    "{{ words | join('-') }}",
    "{{ words | map('upper') | list }}",
    "{{ table | dict2items }}",
    "{{ table | combine({'b': number}) }}",
    "{{ words | length }}",
    "{{ (words + [word]) | unique }}",
    "{{ words | union(['x']) | sort }}",
    "{{ words | difference(['two']) | sort }}",
    "{{ missing | default('none') }}",
    "{{ word | regex_replace('o', '0') }}",
    "{{ flag | ternary('yes', 'no') }}",
    "{{ [[1, 2], [3]] | flatten }}",
    "{{ words | zip([1, 2]) | list }}",
    "{{ records | selectattr('on') | map(attribute='name') | list }}",
    "{{ records | rejectattr('on') | list | length }}",
    "{{ word | b64encode }}",
    "{{ word | hash('sha1') }}",
    "{{ '/a/b.txt' | basename }}",
    "{{ table | to_json }}",
    "{{ words | first }}{{ words | last }}",
    "{{ '1.10' is version('1.9', '>') }}",
    "{{ word is match('w') }}",
    "{{ number > 3 }}",
    "{{ hostvars[inventory_hostname].word | default('none') }}",
    "{{ group_names }}",
    "{{ groups['all'] | sort }}",
    "{{ words | product([1]) | list }}",
    "{{ {'k': word}.k }}",
    "{{ records | map(attribute='name') | sort(reverse=true) }}",
    "{% for w in words %}{{ w }};{% endfor %}",
    "{{ number }}",
    "{{ flag }}",
    "{{ words }}",
    "{{ table.a | default(omit) }}",
    "{{ outer | default('no loop') }}",
    "text",
)
CONDITIONS = (
    "flag",
    "not flag",
    "number > 3",
    "word == 'word'",
    "missing is defined",
    "missing is not defined",
    "'two' in words",
    "flag and number < 10",
    "words | length > 5",
    "inventory_hostname == 'n1'",
    "true",
)
VARIABLES = {
    "word": ("word", "other", "w w"),
    "number": (1, 5, 12),
    "flag": (True, False),
    "words": (["one", "two"], ["two", "three", "four"], ["one"]),
    "table": ({"a": 1}, {"a": "x", "b": [1]}, {"b": 2}),
    "records": ([{"name": "r1", "on": True}, {"name": "r2", "on": False}], [{"name": "r3", "on": True}]),
}
PLACES = ("a", "b", "sub/c", "sub")
MODES = ("0644", "0600", "0755", "u=rw,g=r,o=", "0640")
PARTS = ("changed", "rc", "stdout", "stdout_lines", "attempts")
TAGS = ("one", "two", "always", "never")


@dataclass
class Play:
    """What a play came to hold while it is drawn."""

    draw: st.DrawFn
    number: int = 0
    registered: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    notifiable: tuple[str, ...] = ()
    tags: bool = False

    def one_of(self, values: Any) -> Any:
        return self.draw(st.sampled_from(values))

    def chance(self, of: int) -> bool:
        """True once in so many times; false is what a counterexample shrinks to."""
        return bool(self.draw(st.integers(0, of - 1)) == of - 1)

    def name(self) -> str:
        self.number += 1
        return f"t{self.number}"


def _text(play: Play) -> str:
    return f"{play.one_of(EXPRESSIONS)}\n"


def _place(play: Play) -> str:
    return "{{ base }}/" + str(play.one_of(PLACES[:3]))


def _copy(play: Play) -> dict[str, Any]:
    return {"copy": {"dest": _place(play), "content": _text(play), "mode": play.one_of(MODES)}}


def _directory(play: Play) -> dict[str, Any]:
    return {
        "file": {
            "path": "{{ base }}/d" + str(play.one_of((1, 2))),
            "state": "directory",
            "mode": play.one_of(MODES[1:]),
        }
    }


def _touched(play: Play) -> dict[str, Any]:
    return {"file": {"path": _place(play), "mode": play.one_of(MODES), "state": "file"}}


def _link(play: Play) -> dict[str, Any]:
    options = {"src": play.one_of(("sub", "{{ base }}/sub")), "dest": "{{ base }}/link", "state": "link"}
    return {"file": options | ({"src": "nowhere", "force": True} if play.chance(4) else {})}


def _absent(play: Play) -> dict[str, Any]:
    return {"file": {"path": _place(play), "state": "absent"}}


def _template(play: Play) -> dict[str, Any]:
    name = f"templates/{play.number}.j2"
    play.files[name] = "# {{ inventory_hostname }}\n" + _text(play) + _text(play)
    return {"template": {"src": name.partition("/")[2], "dest": _place(play), "mode": play.one_of(MODES)}}


def _sent(play: Play) -> dict[str, Any]:
    name = f"files/{play.number}.txt"
    play.files[name] = "sent {{ not_rendered }}\n"
    return {"copy": {"src": name.partition("/")[2], "dest": _place(play), "mode": play.one_of(MODES)}}


def _line(play: Play) -> dict[str, Any]:
    options = {"path": _place(play), "create": True, "mode": "0644", "line": "key = " + play.one_of(EXPRESSIONS[:3])}
    if play.chance(2):
        options["regexp"] = play.one_of(("^key", "^text", "o"))
    if play.chance(3):
        options[play.one_of(("insertafter", "insertbefore"))] = (
            play.one_of(("^#", "EOF", "zzz")) if play.chance(2) else "^t"
        )
        if options.get("insertbefore") == "EOF":
            options["insertbefore"] = "BOF"
    return {"lineinfile": options}


def _block_of_text(play: Play) -> dict[str, Any]:
    return {"blockinfile": {"path": _place(play), "create": True, "mode": "0644", "block": "held " + _text(play)}}


def _command(play: Play) -> dict[str, Any]:
    if play.chance(2):
        return {"command": {"cmd": "touch {{ base }}/made", "creates": "{{ base }}/made"}}
    return {"command": "touch made", "args": {"chdir": "{{ base }}", "creates": "made"}}


def _shell(play: Play) -> dict[str, Any]:
    return {"shell": f"echo {play.number} >> {{{{ base }}}}/order; echo said"}


def _exits(play: Play) -> dict[str, Any]:
    task: dict[str, Any] = {"shell": f"echo out{play.number}; exit {play.one_of((0, 1, 3))}"}
    return task | play.one_of(
        (
            {"ignore_errors": True},
            {"failed_when": False},
            {"failed_when": "result.rc == 3", "register": "result"},
            {"changed_when": False, "ignore_errors": True},
            {"changed_when": "result.rc == 0", "failed_when": ["result.rc > 0", "flag"], "register": "result"},
            {},
        )
    )


def _set_fact(play: Play) -> dict[str, Any]:
    name = f"fact{play.one_of((1, 2))}"
    play.facts.append(name)
    return {"set_fact": {name: play.one_of(EXPRESSIONS)}}


def _overriding_fact(play: Play) -> dict[str, Any]:
    name = play.one_of(tuple(VARIABLES))
    return {"set_fact": {name: play.one_of(VARIABLES[name])}}


def _debug(play: Play) -> dict[str, Any]:
    return {"debug": {"msg": play.one_of(EXPRESSIONS)}}


def _assert(play: Play) -> dict[str, Any]:
    task: dict[str, Any] = {"assert": {"that": [play.one_of(CONDITIONS)], "fail_msg": "no"}}
    return task | ({"ignore_errors": True} if play.chance(2) else {})


def _stat(play: Play) -> dict[str, Any]:
    return {"stat": {"path": _place(play)}}


SIMPLE = (
    *(_copy, _directory, _template, _shell, _set_fact, _line, _command, _sent, _exits, _debug, _overriding_fact),
    *(_link, _absent, _assert, _stat, _block_of_text, _touched),
)


def _simple(play: Play) -> dict[str, Any]:
    """A task of one kind, with some of what any task may have."""
    task: dict[str, Any] = {"name": play.name()} | play.one_of(SIMPLE)(play)
    word = next(key for key in task if key not in ("name", "register", "failed_when", "changed_when", "ignore_errors"))
    if play.chance(3):
        _condition(play, task)
    if play.chance(4) and "register" not in task:
        _loop(play, task, word)
    if play.chance(3) and "register" not in task and word != "set_fact":
        task["register"] = f"r{play.number}"
        play.registered.append(task["register"])
    if play.notifiable and play.chance(3):
        task["notify"] = play.one_of(play.notifiable)
    if play.chance(6):
        task["vars"] = {name: play.one_of(VARIABLES[name]) for name in (play.one_of(tuple(VARIABLES)),)}
    if play.tags and play.chance(3):
        task["tags"] = play.one_of((*TAGS, ["one", "two"]))
    if play.chance(12):
        task["run_once"] = True
    return task


def _condition(play: Play, task: dict[str, Any]) -> None:
    if play.registered and play.chance(2):
        name = play.one_of(play.registered)
        tests = ("%s is changed", "%s is not failed", "%s is skipped", "%s is succeeded", "%s.changed | default(false)")
        task["when"] = play.one_of(tests) % name
    else:
        task["when"] = play.one_of(CONDITIONS)
        if play.chance(4):
            task["when"] = [task["when"], play.one_of(CONDITIONS)]


def _loop(play: Play, task: dict[str, Any], word: str) -> None:
    items = play.one_of(("{{ words }}", ["x", "y"], "{{ records | map(attribute='name') | list }}", []))
    kind = play.one_of(("loop", "with_items", "with_list"))
    task[kind] = [items, "last"] if kind == "with_items" and play.chance(2) else items
    options = task[word]
    variable = "item"
    if play.chance(3):
        task["loop_control"] = {"loop_var": "each", "index_var": "position"}
        variable = "each"
    for option in ("dest", "path"):
        if isinstance(options, dict) and option in options:
            options[option] += f"-{{{{ {variable} }}}}"
    if word == "shell":
        task["shell"] = f"echo {{{{ {variable} }}}} >> {{{{ base }}}}/order; {options}"
    if play.chance(4) and "when" not in task:
        task["when"] = f"{variable} != 'x'"


def _block(play: Play, depth: int) -> dict[str, Any]:
    task: dict[str, Any] = {"name": play.name(), "block": _tasks(play, depth + 1, 1, 3)}
    if play.chance(2):
        # not for one host alone: what then counts for all is another matter
        failing = {"name": play.name(), "command": "false"} | (
            {"when": play.one_of(CONDITIONS)} if play.chance(2) else {}
        )
        task["block"].append(failing)
    if play.chance(2):
        task["rescue"] = _tasks(play, depth + 1, 1, 2)
    if play.chance(3):
        task["always"] = _tasks(play, depth + 1, 1, 2)
    if play.chance(3):
        task["when"] = play.one_of(CONDITIONS)
    if play.chance(4):
        task["vars"] = {"word": "inblock"}
    return task


def _until(play: Play) -> dict[str, Any]:
    number = play.one_of((1, 2, 3))
    task = {
        "name": play.name(),
        "shell": f"echo x >> {{{{ base }}}}/tries{play.number}; wc -l < {{{{ base }}}}/tries{play.number}",
        "register": f"r{play.number}",
        "until": f"r{play.number}.stdout | trim | int >= {number}",
        "retries": 2,
        "delay": 0,
        "ignore_errors": play.chance(2),
    }
    play.registered.append(f"r{play.number}")
    return task


def _included(play: Play, depth: int) -> dict[str, Any]:
    word, name = play.one_of(("import_tasks", "include_tasks")), play.name()
    file = f"{name}.yaml"
    inner = _tasks(play, depth + 1, 2, 3)
    play.files[file] = _dump(inner)
    task: dict[str, Any] = {"name": name, word: file}
    if play.chance(2):
        task["vars"] = {"word": "included"}
    if play.chance(3):
        task["when"] = play.one_of(CONDITIONS)
    if word == "include_tasks" and play.chance(2):
        task[play.one_of(("loop", "with_items"))] = play.one_of((["p", "q"], "{{ words }}", []))
        task["loop_control"] = {"loop_var": "outer"}
        if "vars" in task:
            task["vars"] = {"word": "{{ outer }}"}
    return task


def _end_of_host(play: Play) -> dict[str, Any]:
    """At the end of a host's part; only where a condition holds, else little would be seen."""
    return {"name": play.name(), "meta": "end_host", "when": play.one_of(CONDITIONS[:10])}


def _role(play: Play, depth: int) -> dict[str, Any]:
    name = play.name()
    role = _role_files(play, depth)
    task: dict[str, Any] = {"name": name, play.one_of(("include_role", "import_role")): {"name": role}}
    if play.chance(2):
        task["vars"] = {"word": "passed"}
    if play.chance(3):
        task["when"] = play.one_of(CONDITIONS)
    return task


def _role_files(play: Play, depth: int) -> str:
    play.number += 1
    role = f"role{play.number}"
    if play.chance(2):
        play.files[f"roles/{role}/defaults/main.yml"] = _dump({"word": "default", "of_role": 1})
    if play.chance(2):
        play.files[f"roles/{role}/vars/main.yml"] = _dump({"number": 7})
    tasks = _tasks(play, depth + 1, 1, 3)
    play.files[f"roles/{role}/tasks/main.yml"] = _dump(tasks)
    return role


def _tasks(play: Play, depth: int, least: int, most: int) -> list[dict[str, Any]]:
    tasks = []
    for _ in range(play.draw(st.integers(least, most))):
        kind = play.draw(st.integers(0, 11)) if depth < 2 else 0
        if kind < 7:
            tasks.append(_simple(play))
        elif kind == 7:
            tasks.append(_until(play))
        elif kind == 8:
            tasks.append(_included(play, depth))
        elif kind == 9:
            tasks.append(_role(play, depth))
        elif kind == 10 and play.chance(4):
            tasks.append(_end_of_host(play))
        else:
            tasks.append(_block(play, depth))
    return tasks


def _handlers(play: Play) -> list[dict[str, Any]]:
    handlers = []
    for number in range(play.draw(st.integers(0, 3))):
        task: dict[str, Any] = {"name": f"h{number}", "shell": f"echo h{number} >> {{{{ base }}}}/order"}
        if play.chance(3):
            task["listen"] = "topic"
        if play.chance(4):
            task["when"] = play.one_of(CONDITIONS)
        handlers.append(task)
    play.notifiable = (*(task["name"] for task in handlers), *{task["listen"] for task in handlers if "listen" in task})
    return handlers


def _written(play: Play) -> dict[str, Any]:
    """The task that writes down what variables and registered results are."""
    shown = {name: f"{{{{ {name} | default('none') }}}}" for name in (*VARIABLES, "fact1", "fact2", "of_role")}
    for name in play.registered:
        shown[name] = {part: f"{{{{ {name}.{part} | default('none') }}}}" for part in PARTS} | {
            "failed": f"{{{{ {name}.failed | default(false) }}}}",
            "skipped": f"{{{{ {name}.skipped | default(false) }}}}",
            "exists": f"{{{{ ({name}.stat | default({{}})).exists | default('none') }}}}",
            "results": f"{{{{ {name}.results | default([]) | map(attribute='changed', default='none') | list }}}}",
        }
    return {
        "name": "written",
        "copy": {"dest": "{{ base }}/written", "content": "{{ shown | to_json }}"},
        "vars": {"shown": shown},
    }


def _dump(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=200)


@st.composite
def plays(draw: st.DrawFn) -> Case:
    """A playbook of one play, sometimes two, with its files."""
    play = Play(draw)
    play.tags = play.chance(4)
    hosts = ("n1",) if not play.chance(2) else ("n1", "n2")
    handlers = _handlers(play)
    body: dict[str, Any] = {"name": "p", "hosts": "all", "gather_facts": False}
    body["vars"] = {name: play.one_of(values) for name, values in VARIABLES.items()}
    for word, value in (("serial", 1), ("force_handlers", True)):
        if play.chance(8) and (len(hosts) > 1 or word == "force_handlers"):
            body[word] = value
    sub = {"name": "sub", "file": {"path": "{{ base }}/sub", "state": "directory", "mode": "0755"}, "tags": "always"}
    body["tasks"] = [sub]
    if play.chance(4):
        body["pre_tasks"] = [dict(sub), *_tasks(play, 1, 1, 2)]
    if play.chance(4):
        role = _role_files(play, 1)
        body["roles"] = [{"role": role, "vars": {"number": 9}} if play.chance(2) else role]
        body["pre_tasks"] = body.get("pre_tasks", [dict(sub)])
    body["tasks"] += _tasks(play, 0, 2, 5)
    if play.chance(4):
        middle = play.draw(st.integers(1, len(body["tasks"])))
        body["tasks"].insert(middle, {"name": "flush", "meta": "flush_handlers"})
    if play.chance(4):
        body["post_tasks"] = _tasks(play, 1, 1, 2)
    body["handlers"] = handlers
    last = body.setdefault("post_tasks", [])
    last.append(_written(play) | ({"tags": "always"} if play.tags else {}))
    files = {**play.files, "play.yaml": _dump([body])}
    variables = {name: play.one_of(VARIABLES[name]) for name in ("word", "number")} if play.chance(3) else {}
    options: dict[str, Any] = {}
    if play.tags:
        options = {play.one_of(("tags", "skip_tags")): [play.one_of(("one", "two", "tagged", "untagged"))]}
    if play.chance(6):
        options["extra_vars"] = ["word=extra"]
    return Case(files, hosts=hosts, variables=variables, options=options)
