"""Templates are looked into for secrets from the first one on, also those that were compiled or begun before it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from provision.errors import Mark
from provision.render import Renderer
from provision.source import Template
from provision.variables import Layer, Scope

renderer, text = Renderer(), Template("a {{ plain }} {{ ansible_password }} {{ 1 | abs }}", Mark("f", 1, 1), "")
values = {"plain": "word", "ansible_password": "opensesame"}
before = Scope(renderer, (Layer("vars", {**values, "ansible_password": 1}),))
assert before.render(Template("{{ plain }} x", text.mark, "")) == "word x"
assert not any(name in sys.modules for name in ("provision.secret.known", "provision.secret.watch")), "not needed yet"
scope = Scope(renderer, (Layer("vars", values),))
value = scope.render(text)
assert (value, type(value).__name__, scope.touched) == ("a word opensesame 1", "Secret", True)
again = Scope(renderer, (Layer("vars", values),))
assert type(again.render(text)).__name__ == "Secret"
assert type(renderer.text("x {{ ansible_password }}", "f.j2", again)).__name__ == "Secret"
"""


def test_a_secret_that_comes_up_while_a_template_is_rendered() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
