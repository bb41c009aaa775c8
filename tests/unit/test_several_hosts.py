"""Several hosts in a play: the schedule, sessions and batches as they are, over agents that a test plays."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.agent.protocol import End, HostEvent, Ready, Result, Step
from provision.board import Board
from provision.compile import handler_id
from provision.delegation import Delegates
from provision.events import Event, HostFailed, HostUnreachable, StepEnded
from provision.inventory import load_inventory
from provision.playbook import Play
from provision.roles import load_playbook
from provision.runner import run_waves
from provision.schedule import Cast, never_begun, waves
from provision.scopes import Here, HostVariables, Run
from provision.session import Opened, Session
from provision.transport import Unreachable

Answer = Callable[[str, Step], Result]
HOSTS = ("a", "b", "c", "d")


def echoing(host: str, step: Step) -> Result:
    """A command that says its own text, and fails where that is `false`."""
    text = step.spec.get("cmd") or " ".join(step.spec.get("argv") or [])
    if text.startswith("false"):
        return Result(step.id, "failed", error={"summary": f"{text} failed"})
    return Result(step.id, "changed", fields={"stdout": text, "rc": 0})


class Agent:
    """Answers each step at once."""

    def __init__(self, host: str, fleet: Fleet) -> None:
        self.host, self.fleet = host, fleet
        self.sent = self.received = 0
        self._events: list[HostEvent] = [Ready({"user": "root", "hostname": f"{host}.example"}, list(fleet.pending))]
        self._halted = False

    def run(self, batch: int, steps: Sequence[Step], blobs: Any) -> None:
        stopped = self._halted
        for step in steps:
            with self.fleet.lock:
                self.fleet.steps.append((self.host, step))
            result = Result(step.id, "skipped") if stopped else self.fleet.answer(self.host, step)
            stopped = stopped or (result.status == "failed" and step.on_failure == "stop")
            self._events.append(result)
        self._events.append(End(batch))

    def receive(self, _timeout: float | None = None) -> HostEvent:
        return self._events.pop(0)

    def forget(self, handlers: Sequence[str]) -> None:
        with self.fleet.lock:
            self.fleet.forgotten += handlers

    def cancel(self, *, now: bool = True) -> None:
        self._halted = True

    def close(self) -> None:
        pass


class Fleet:
    """Hosts a to d in plays of a text; `lost` are those that cannot be connected to."""

    def __init__(self, folder: Path, text: str, answer: Answer = echoing, lost: Sequence[str] = ()) -> None:
        lines = "".join(f"    {host}:\n" for host in HOSTS)
        (folder / "hosts.yaml").write_text(f"all:\n  hosts:\n{lines}  vars: {{folder: /srv}}\n")
        (folder / "play.yaml").write_text(text)
        self.run = Run(load_inventory([folder / "hosts.yaml"]))
        self.plays = load_playbook(folder / "play.yaml").plays
        self.hosts = [tuple(self.run.inventory.select(play.hosts)) for play in self.plays]
        self.answer, self.lost = answer, set(lost)
        self.lock = threading.Lock()
        self.steps: list[tuple[str, Step]] = []
        self.forgotten: list[str] = []
        self.events: list[Event] = []
        self.pending: list[str] = []
        self.stopped = ""
        self.never: list[str] = []

    def opened(self, host: str) -> Opened:
        if host in self.lost:
            raise Unreachable("unreachable", f"{host} does not answer")
        agent = Agent(host, self)
        return Opened(agent, "root", agent.close)  # type: ignore[arg-type]

    def emit(self, event: Event) -> None:
        with self.lock:
            self.events.append(event)

    def here(self) -> Opened:
        opened = self.opened("localhost")
        opened.link.receive()
        return opened

    def go(self, *, forks: int = 8, here: Here | None = None) -> Fleet:
        board, delegates = Board(self.run.known_of), Delegates(self.here)

        def variables(host: str) -> Callable[[Play, Mapping[str, Any], str], HostVariables]:
            def made(play: Play, facts: Mapping[str, Any], user: str) -> HostVariables:
                self.run.facts_of[host] = facts
                everyone = self.hosts[self.plays.index(play)]
                return HostVariables(self.run, host, facts, everyone, here=here or Here())

            return made

        def session(host: str) -> Session:
            opening = lambda: self.opened(host)  # noqa: E731
            return Session(host, opening, variables(host), self.emit, board=board, delegates=delegates)

        sessions = {host: session(host) for host in HOSTS}
        cast = Cast(sessions, board, lambda play, host: None)

        def ended(reason: str) -> None:
            self.stopped, self.never = reason, list(never_begun(self.hosts, sessions))

        run_waves(waves(self.plays, self.hosts, self.run, cast), forks=forks, ended=ended)
        delegates.close()
        return self

    def said(self, title: str) -> dict[str, str]:
        """What a task came to on each host: a message, or the output of a command, or how it ended."""
        ended = [event for event in self.events if isinstance(event, StepEnded) and event.title == title]
        return {
            event.host: event.message or str(event.result.fields.get("stdout", event.result.status)) for event in ended
        }

    def errors(self) -> dict[str, str]:
        lost = [event for event in self.events if isinstance(event, HostFailed | HostUnreachable)]
        return {event.host: str(event.error) for event in lost}

    def commands(self) -> list[str]:
        return [
            f"{host}: {step.spec.get('cmd') or step.spec.get('argv') or step.resource}" for host, step in self.steps
        ]


def test_what_runs_once_is_registered_on_all_hosts_of_the_wave(tmp_path: Path) -> None:
    text = """\
- hosts: all
  serial: [1, 3]
  tasks:
    - {command: "echo {{ inventory_hostname }}", run_once: true, register: one}
    - {set_fact: {two: "{{ inventory_hostname }}"}, run_once: true}
    - {name: told, debug: {msg: "{{ one.stdout }} {{ two }}"}}
"""
    fleet = Fleet(tmp_path, text).go(forks=1)
    assert fleet.commands() == ["a: echo a", "b: echo b"]
    assert fleet.said("told") == {"a": "echo a a", "b": "echo b b", "c": "echo b b", "d": "echo b b"}


def test_all_have_done_what_comes_before_a_task_that_runs_once(tmp_path: Path) -> None:
    text = """\
- hosts: all
  tasks:
    - command: before
    - {command: once, run_once: true}
    - command: after
"""
    commands = Fleet(tmp_path, text).go(forks=2).commands()
    assert sorted(commands[:4]) == ["a: before", "b: before", "c: before", "d: before"]
    assert commands[4] == "a: once"
    assert sorted(commands[5:]) == ["a: after", "b: after", "c: after", "d: after"]


def test_only_the_host_that_ran_it_notifies(tmp_path: Path) -> None:
    text = """\
- hosts: all
  tasks: [{command: once, run_once: true, notify: told}]
  handlers: [{name: told, debug: {msg: yes it was}}]
"""
    assert Fleet(tmp_path, text).go().said("told") == {"a": "yes it was"}


def test_a_failure_of_what_runs_once_ends_the_run_one_that_is_ignored_does_not(tmp_path: Path) -> None:
    text = """\
- hosts: all
  tasks:
    - {command: "false", run_once: true, ignore_errors: true, register: first}
    - {name: told, debug: {msg: "{{ first.failed }}"}}
    - {command: "false", run_once: true}
    - {name: never, debug: {msg: never}}
- hosts: all
  tasks: [{name: never, debug: {msg: never}}]
"""
    fleet = Fleet(tmp_path, text).go()
    assert fleet.said("told") == dict.fromkeys(HOSTS, "true")
    assert fleet.said("never") == {}
    assert list(fleet.errors()) == ["a"]
    assert fleet.stopped == "a failure that is fatal for all hosts"


def test_a_host_that_reads_the_result_of_another_waits_for_it(tmp_path: Path) -> None:
    text = """\
- hosts: all
  tasks:
    - {command: "echo {{ inventory_hostname }}", register: mine}
    - {set_fact: {told: "{{ mine.stdout }}!"}}
    - {name: all, debug: {msg: "{{ groups.all | map('extract', hostvars, 'told') | join(' ') }}"}}
"""
    slow = threading.Event()

    def answer(host: str, step: Step) -> Result:
        if host == "d":
            assert slow.wait(20)
        elif host == "a":
            slow.set()
        return echoing(host, step)

    for forks in (2, 8):
        fleet = Fleet(tmp_path, text, answer).go(forks=forks)
        assert fleet.errors() == {}
        assert fleet.said("all") == dict.fromkeys(HOSTS, "echo a! echo b! echo c! echo d!")


def test_nobody_waits_for_a_host_that_is_gone(tmp_path: Path) -> None:
    text = """\
- hosts: all
  tasks:
    - {command: "{{ 'false' if inventory_hostname == 'b' else 'true' }}", register: mine}
    - {name: there, debug: {msg: "{{ hostvars.b.mine is defined }} {{ hostvars.c.mine is defined }}"}}
"""
    fleet = Fleet(tmp_path, text, lost=["c"]).go(forks=1)
    assert set(fleet.errors()) == {"b", "c"}
    assert fleet.said("there") == {"a": "True False", "d": "True False"}


def test_values_are_kept_for_later_plays_and_their_hosts(tmp_path: Path) -> None:
    text = """\
- hosts: a
  tasks: [{command: echo it, register: got}]
- hosts: a:b
  tasks: [{name: told, debug: {msg: "{{ got.stdout | default('none') }} {{ hostvars.a.got.stdout }}"}}]
"""
    assert Fleet(tmp_path, text).go().said("told") == {"a": "echo it echo it", "b": "none echo it"}


def test_hosts_that_failed_leave_the_magic_lists(tmp_path: Path) -> None:
    text = """\
- hosts: all
  serial: 2
  tasks:
    - {command: "{{ 'false' if inventory_hostname == 'a' else 'true' }}"}
    - {command: "true", run_once: true}
    - name: lists
      debug:
        msg: >-
          {{ ansible_play_batch | join }} {{ play_hosts | join }} {{ ansible_play_hosts | join }}
          {{ ansible_play_hosts_all | join }}
"""
    said = Fleet(tmp_path, text).go().said("lists")
    assert said == {"b": "b b bcd abcd", "c": "cd cd bcd abcd", "d": "cd cd bcd abcd"}


@pytest.mark.parametrize("place", ["play", "task"])
def test_a_failure_may_be_fatal_for_all(tmp_path: Path, place: str) -> None:
    fatal = "any_errors_fatal: true"
    text = f"""\
- hosts: all
  {fatal if place == "play" else "name: x"}
  pre_tasks:
    - {{command: "{{{{ 'false' if inventory_hostname == 'b' else 'true' }}}}", {fatal if place == "task" else ""}}}
  tasks: [{{name: never, debug: {{msg: never}}}}]
- hosts: all
  tasks: [{{name: never, debug: {{msg: never}}}}]
"""
    fleet = Fleet(tmp_path, text).go()
    assert fleet.said("never") == {}
    assert list(fleet.errors()) == ["b"], "the others did not fail"
    assert fleet.stopped


def test_an_unreachable_host_is_fatal_where_errors_are(tmp_path: Path) -> None:
    text = (
        "- hosts: all\n  any_errors_fatal: true\n  tasks: [{command: never}]\n- hosts: a\n  tasks: [{command: never}]\n"
    )
    fleet = Fleet(tmp_path, text, lost=["a"]).go(forks=1)
    assert fleet.commands() == []
    assert fleet.stopped


def test_more_failures_than_allowed_end_the_run_before_the_next_wave(tmp_path: Path) -> None:
    text = """\
- hosts: all
  serial: 2
  max_fail_percentage: 40
  tasks: [{command: "{{ 'false' if inventory_hostname == 'a' else 'true' }}"}]
"""
    fleet = Fleet(tmp_path, text).go(forks=1)
    assert {host for host, _ in fleet.steps} <= {"a", "b"}
    assert fleet.never == ["c", "d"]
    assert fleet.stopped == "1 of 2 hosts failed, more than 40 %"


@pytest.mark.parametrize(("throttle", "most"), [("throttle: 2", 2), ("throttle: '{{ 1 }}'", 1), ("name: x", 4)])
def test_a_throttle_bounds_the_hosts_at_a_task(tmp_path: Path, throttle: str, most: int) -> None:
    text = f"""\
- hosts: all
  tasks:
    - block: [{{command: first}}, {{command: second}}]
      {throttle}
    - command: free
"""
    state = {"now": 0, "most": 0}
    everyone = threading.Barrier(most)

    def answer(host: str, step: Step) -> Result:
        if step.spec.get("cmd") == "first":
            with fleet.lock:
                state["now"] += 1
                state["most"] = max(state["most"], state["now"])
            everyone.wait(20)  # as many as may be are here at once
            with fleet.lock:
                state["now"] -= 1
        return echoing(host, step)

    fleet = Fleet(tmp_path, text, answer)
    fleet.go()
    assert state["most"] == most
    assert len(fleet.steps) == 12


def test_an_unreachable_host_is_ignored_where_that_is_written(tmp_path: Path) -> None:
    text = """\
- hosts: all
  gather_facts: false
  ignore_unreachable: true
  tasks:
    - {name: asked, command: "true", register: answer}
    - {name: told, debug: {msg: "{{ answer.unreachable | default(false) }}"}}
"""
    fleet = Fleet(tmp_path, text, lost=["c"]).go()
    assert fleet.errors() == {}
    assert fleet.said("told") == {"a": "false", "b": "false", "c": "true", "d": "false"}
    (ignored,) = [event for event in fleet.events if isinstance(event, StepEnded) and event.ignored]
    assert (ignored.host, ignored.result.error) == ("c", {"summary": "c does not answer", "cause": "", "hint": ""})


def test_a_host_that_comes_back_is_gone_on_with(tmp_path: Path) -> None:
    text = """\
- hosts: c
  gather_facts: false
  tasks:
    - {name: first, command: echo one, ignore_unreachable: true}
    - {name: second, command: echo two}
"""

    def answer(host: str, step: Step) -> Result:
        if step.spec["cmd"] == "echo one":
            raise Unreachable("silence", "c is silent")
        return echoing(host, step)

    fleet = Fleet(tmp_path, text, answer).go()
    assert fleet.errors() == {}
    assert fleet.said("second") == {"c": "echo two"}


DELEGATED = """\
- hosts: a:b
  tasks:
    - {name: here, command: "echo {{ inventory_hostname }}", delegate_to: localhost, register: told, notify: changed}
    - {name: there, command: "echo {{ told.stdout }}"}
    - {set_fact: {kept: "{{ inventory_hostname }}"}, delegate_to: localhost, delegate_facts: true, run_once: true}
    - {name: kept, debug: {msg: "{{ hostvars.localhost.kept }} {{ kept is defined }}"}}
  handlers:
    - {name: changed, command: "echo handled", delegate_to: 127.0.0.1}
"""


def test_delegated_tasks_run_here_with_the_variables_of_their_hosts(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, DELEGATED).go()
    assert fleet.errors() == {}
    assert sorted(fleet.commands()) == [
        "a: echo echo a",
        "b: echo echo b",
        *["localhost: echo a", "localhost: echo b", "localhost: echo handled", "localhost: echo handled"],
    ]
    assert fleet.said("kept") == {"a": "a False", "b": "a False"}
    here = [step for host, step in fleet.steps if host == "localhost"]
    assert all((step.notify, step.clears) == ([], []) for step in here), "the journal is that of the host"
    assert len(fleet.forgotten) == 2, "the host is told that its handler has run"


def test_who_does_delegated_tasks(tmp_path: Path) -> None:
    text = """\
- hosts: a
  tasks:
    - {command: plain, delegate_to: localhost}
    - {command: root, delegate_to: localhost, become: true}
    - {command: other, delegate_to: localhost, become: true, become_user: backup}
"""
    user = getpass.getuser()
    fleet = Fleet(tmp_path, text).go(here=Here("root", "operator"))
    assert [step.user for _, step in fleet.steps] == ["operator", None, "backup"]
    fleet = Fleet(tmp_path, text).go(here=Here(user, ""))
    assert [step.user for _, step in fleet.steps] == [None, None if user == "root" else "root", "backup"]


REFUSED = {
    "a fact in a path": "{file: {path: '/backup/{{ ansible_hostname }}', state: touch}, delegate_to: localhost}",
    "a result in shell text": "{shell: 'echo {{ got.stdout }}', delegate_to: localhost}",
    "a result in a command's text": "{command: 'echo {{ got.stdout }}', delegate_to: localhost}",
    "a result as the program": "{command: {argv: ['{{ got.stdout }}']}, delegate_to: localhost}",
    "through set_fact and vars": "{file: {path: '{{ place }}'}, vars: {place: '{{ made }}/x'}, delegate_to: localhost}",
    "of another host": "{file: {path: '{{ hostvars.b.got.stdout }}'}, delegate_to: localhost}",
    "in the environment": "{command: 'true', environment: {PATH: '{{ got.stdout }}'}, delegate_to: localhost}",
    "in the loop": "{command: '{{ item }}', loop: '{{ got.stdout_lines }}', delegate_to: localhost}",
}


def gathering(task: str) -> str:
    return f"""\
- hosts: a:b
  tasks:
    - {{command: /bin/rm, register: got}}
    - {{command: /bin/mktemp, register: local, delegate_to: localhost}}
    - {{set_fact: {{made: "/tmp/{{{{ got.stdout }}}}"}}}}
    - {task}
"""


@pytest.mark.parametrize("case", REFUSED)
def test_no_host_says_what_is_done_on_the_control_node(tmp_path: Path, case: str) -> None:
    fleet = Fleet(tmp_path, gathering(REFUSED[case])).go()
    assert [host for host, step in fleet.steps if host == "localhost"] == ["localhost"] * 2, "mktemp, and no more"
    assert set(fleet.errors()) == {"a", "b"}
    assert "of a task on the control node is made of what a host says" in fleet.errors()["a"]


ALLOWED = {
    "names of the inventory": "{file: {path: '{{ folder }}/{{ inventory_hostname }}'}, delegate_to: localhost}",
    "content": "{copy: {content: '{{ got.stdout }}', dest: /srv/x}, delegate_to: localhost}",
    "behind the program": "{command: {argv: [a, '{{ got.stdout }}'], stdin: '{{ got.rc }}'}, delegate_to: localhost}",
    "what was made here": "{file: {path: '{{ local.stdout }}'}, delegate_to: localhost}",
    "of the inventory of another": "{file: {path: '{{ hostvars.b.folder }}'}, delegate_to: localhost}",
    "on the host itself": "{file: {path: '{{ got.stdout }}'}}",
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_may_stand_in_a_task_on_the_control_node(tmp_path: Path, case: str) -> None:
    fleet = Fleet(tmp_path, gathering(ALLOWED[case])).go()
    assert fleet.errors() == {}
    assert len(fleet.steps) == 6


def test_over_a_local_connection_only_other_hosts_are_foreign(tmp_path: Path) -> None:
    own = gathering("{file: {path: '{{ got.stdout }}', state: touch}}")
    assert Fleet(tmp_path, own).go(here=Here(local=True, own=True)).errors() == {}
    assert set(Fleet(tmp_path, own).go(here=Here(local=True)).errors()) == {"a", "b"}
    other = gathering("{file: {path: '{{ hostvars.b.got.stdout }}'}}")
    assert "hostvars[…].got" in Fleet(tmp_path, other).go(here=Here(local=True, own=True)).errors()["a"]


FORCED = """\
- hosts: all
  {play}
  tasks:
    - {{command: change, notify: told}}
    - {{command: "{{{{ 'false' if inventory_hostname == 'b' else 'true' }}}}"{task}}}
    - {{command: behind}}
  handlers: [{{name: told, command: handled}}]
"""


@pytest.mark.parametrize("forced", ["play", "option", ""])
def test_handlers_that_are_forced_run_on_a_host_that_fails(tmp_path: Path, forced: str) -> None:
    play = "force_handlers: true" if forced == "play" else "name: x"
    fleet = Fleet(tmp_path, FORCED.format(play=play, task=""))
    fleet.run = replace(fleet.run, force_handlers=forced == "option")
    fleet.go()
    assert fleet.commands().count("b: handled") == (1 if forced else 0)
    assert fleet.commands().count("a: handled") == 1
    assert fleet.errors()["b"].startswith("error: false failed")
    assert list(fleet.errors()) == ["b"]


def test_handlers_that_are_forced_run_on_all_hosts_when_a_failure_is_fatal(tmp_path: Path) -> None:
    play = "force_handlers: true\n  any_errors_fatal: true"
    text = FORCED.format(play=play, task=", run_once: true")
    text = text.replace("'b' else", "'a' else")
    fleet = Fleet(tmp_path, text).go()
    assert sorted(line for line in fleet.commands() if "handled" in line) == [f"{host}: handled" for host in HOSTS]
    assert not [line for line in fleet.commands() if "behind" in line]
    assert list(fleet.errors()) == ["a"]


def test_handlers_that_an_earlier_run_left_run_in_their_own_plays_and_waves(tmp_path: Path) -> None:
    text = """\
- {name: first, hosts: all, tasks: [{command: one}], handlers: [{name: told, command: handled first}]}
- {name: second, hosts: all, serial: 2, tasks: [{command: two}], handlers: [{name: told, command: handled second}]}
"""
    fleet = Fleet(tmp_path, text)
    fleet.pending = [handler_id(play, play.handlers[0]) for play in fleet.plays]
    fleet.go()
    for host in HOSTS:
        own = [line.removeprefix(f"{host}: ") for line in fleet.commands() if line.startswith(host)]
        assert own == ["one", "handled first", "two", "handled second"]
