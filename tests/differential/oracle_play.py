"""Runs one playbook with ansible-core's own API and tells what each task came to on each host, in order.

Part of the oracle: run by its interpreter only.
"""

from __future__ import annotations

from typing import Any

from ansible import context
from ansible.cli import CLI
from ansible.executor.playbook_executor import PlaybookExecutor
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.callback import CallbackBase
from ansible.utils.vars import load_extra_vars, load_options_vars
from ansible.vars.manager import VariableManager

UNCOUNTED = ("meta", "gather_facts", "setup")
"""What has no result of its own here: facts come with the connection."""


class Recorder(CallbackBase):
    """Keeps each result as [task, status]: ok, changed, failed, ignored, skipped or unreachable."""

    CALLBACK_VERSION = 2.0
    CALLBACK_NAME = "recorder"

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, list[list[str]]] = {}
        self.summary: dict[str, dict[str, int]] = {}
        self.messages: list[str] = []

    def _add(self, result: Any, status: str) -> None:
        task = result.task
        if str(task.resolved_action or task.action).rpartition(".")[2] not in UNCOUNTED:
            self.results.setdefault(str(result.host.name), []).append([task.get_name().strip(), status])

    def v2_runner_on_ok(self, result: Any) -> None:
        self._add(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self.messages.append(f"{result.host.name} {result.task.get_name()}: {result.result.get('msg')}")
        self._add(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._add(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self.messages.append(f"{result.host.name}: {result.result.get('msg')}")
        self._add(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        for host in stats.processed:
            self.summary[host] = dict(stats.summarize(host))


def run(question: dict[str, Any]) -> dict[str, Any]:
    """What one playbook came to."""
    context.CLIARGS = ImmutableDict(
        tags=tuple(question.get("tags") or ["all"]),
        skip_tags=tuple(question.get("skip_tags") or []),
        check=question.get("check", False),
        diff=False,
        verbosity=0,
        forks=8,
        connection="ssh",
        module_path=None,
        become=False,
        become_method="sudo",
        become_user="root",
        become_ask_pass=False,
        private_key_file=None,
        remote_user="root",
        timeout=60,
        extra_vars=tuple(question.get("extra_vars") or ()),
        subset=question.get("limit"),
        force_handlers=False,
        flush_cache=False,
        start_at_task=None,
        step=False,
        syntax=False,
        listhosts=False,
        listtasks=False,
        listtags=False,
        inventory=(question["inventory"],),
        basedir=None,
    )
    for remembered in (load_extra_vars, load_options_vars):
        vars(remembered).clear()  # the original keeps them for the process
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[question["inventory"]])
    if question.get("limit"):
        inventory.subset(question["limit"])
    manager = VariableManager(loader=loader, inventory=inventory, version_info=CLI.version_info(gitinfo=False))
    executor = PlaybookExecutor([question["playbook"]], inventory, manager, loader, {})
    recorder = Recorder()
    recorder._init_callback_methods()
    executor._tqm._callback_plugins.append(recorder)
    error = ""
    try:
        code = executor.run()
    except Exception as failure:
        code, error = 4, f"{type(failure).__name__}: {failure}"
    return {
        "code": int(code),
        "error": error,
        "results": recorder.results,
        "summary": recorder.summary,
        "messages": recorder.messages,
    }
