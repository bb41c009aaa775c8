"""Shell completion: what the command line's words are by their names (cyclopts makes that), and which names of the
project may stand next: hosts and groups, tags, playbooks, environments.

`provision complete -- WORDS` is asked by the shell at each TAB: it contacts nobody, asks nothing and fails silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from provision.errors import ProvisionError, ProvisionErrors

__all__ = ["complete", "names", "script", "wanted"]

_AFTER_OPTION = {
    "-l": "hosts",
    "--limit": "hosts",
    "--hosts": "hosts",
    "--host": "hosts",
    "-t": "tags",
    "--tags": "tags",
    "--skip-tags": "tags",
    "--playbook": "playbooks",
    "--group": "hosts",
}
_AFTER_COMMAND = {
    "apply": "playbooks",
    "plan": "playbooks",
    "verify": "playbooks",
    "facts": "hosts",
    "offboard": "hosts",
    "adopt": "hosts",
    "rollback": "environments",
}
_SEPARATORS = ",:&!"
"""What stands between the names of a pattern or a list of tags."""
_CUTS = (":", "=")

_WRAPPERS = {
    "bash": """
_provision_names() {
  local found
  if [[ "${COMP_WORDS[COMP_CWORD]}" != -* ]] \\
      && found="$(provision complete -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)" && [[ -n "$found" ]]; then
    mapfile -t COMPREPLY <<< "$found"
  else
    _provision
  fi
}
complete -o bashdefault -F _provision_names provision
""",
    "zsh": """
_provision_names() {
  local -a found
  if [[ "$words[CURRENT]" != -* ]]; then
    found=("${(@f)$(provision complete -- "${(@)words[1,CURRENT]}" 2>/dev/null)}")
    if (( $#found )) && [[ -n "$found[1]" ]]; then
      compadd -Q -a found
      return
    fi
  fi
  _cyclopts_provision "$@"
}
compdef _provision_names provision
""",
    "fish": """
function __provision_names
    provision complete -- (commandline -opc) (commandline -ct) 2>/dev/null
end
complete -c provision -n 'not string match -q -- "-*" (commandline -ct)' -a '(__provision_names)'
complete -c provision -r -f -s l -l limit -a '(__provision_names)'
complete -c provision -r -f -s t -l tags -l skip-tags -a '(__provision_names)'
complete -c provision -r -f -l hosts -l host -l group -a '(__provision_names)'
complete -c provision -r -l playbook -a '(__provision_names)'
""",
}
"""What each shell asks first; the generated script stays what is asked where no name of the project may stand."""


def script(shell: str, generated: str) -> str:
    """The completion script of a shell, around the one that is generated from the commands; KeyError for others."""
    return generated.rstrip("\n") + "\n" + _WRAPPERS[shell]


def complete(*words: str) -> int:
    """Print what may stand for the last word, one a line; exit code 1 where that is no name of the project.

    Parameters
    ----------
    words
        The command line up to the cursor, the program included.
    """
    kind = wanted(words)
    if kind is None:
        return 1
    try:
        known = list(_KNOWN[kind](words))
    except (ProvisionError, ProvisionErrors, OSError):
        return 1
    # bash cuts words, and replaces no more than the last piece
    for name in names("" if words[-1] in _CUTS else words[-1], known):
        print(name)
    return 0


def wanted(words: Sequence[str]) -> str | None:
    """The kind of name that the last of a command line's words is, None where it is none of the project's."""
    joined = _joined(words)
    if len(joined) < 3:
        return None
    if joined[-2] in _AFTER_OPTION:
        return _AFTER_OPTION[joined[-2]]
    option, equals, _ = joined[-1].partition("=")
    if equals and option in _AFTER_OPTION:
        return _AFTER_OPTION[option]
    return _AFTER_COMMAND.get(joined[1]) if len(joined) == 3 else None


def names(word: str, known: Iterable[str]) -> Iterator[str]:
    """The names that a half-written word may become; what stands before its last name stays."""
    cut = max((word.rfind(mark) for mark in _SEPARATORS + "="), default=-1) + 1
    for name in sorted(set(known)):
        if name.startswith(word[cut:]):
            yield word[:cut] + name


def _joined(words: Sequence[str]) -> list[str]:
    """Words as they were written: bash cuts them at colons and equal signs."""
    joined: list[str] = []
    glue = False
    for word in words:
        if len(joined) > 1 and (glue or word in _CUTS):
            joined[-1] += word
        else:
            joined.append(word)
        glue = word in _CUTS
    return joined


def _hosts(words: Sequence[str]) -> Iterator[str]:
    from provision.inventory import load_inventory
    from provision.usual_files import INVENTORY, inventory_there

    paths = [Path(words[index + 1]) for index, word in enumerate(words[:-1]) if word in ("-i", "--inventory")]
    if not paths and not inventory_there():
        return
    inventory = load_inventory(paths or [INVENTORY])
    yield from inventory.hosts
    yield from inventory.groups


def _tags(words: Sequence[str]) -> Iterator[str]:
    from provision.roles import load_playbook

    for path in [Path(word) for word in words if word.endswith((".yaml", ".yml")) and Path(word).is_file()]:
        try:
            for play in load_playbook(path).plays:
                for task in play.tasks:
                    yield from task.tags
        except (ProvisionError, ProvisionErrors):
            continue


def _playbooks(words: Sequence[str]) -> Iterator[str]:
    found = [*Path("playbooks").glob("*.y*ml"), *Path().glob("*.y*ml")] if Path("playbooks").is_dir() else []
    yield from (str(path) for path in found if path.name not in ("inventory.yaml", "inventory.yml"))
    if words and ("/" in words[-1] or not found):
        yield from (str(path) for path in Path().glob(f"{words[-1]}*"))


def _environments(_: Sequence[str]) -> Iterator[str]:
    from provision.conda.environment import read

    for path in Path("roles").glob("*/environment*.yml"):
        yield read(path).name


_KNOWN: Mapping[str, Callable[[Sequence[str]], Iterator[str]]] = {
    "hosts": _hosts,
    "tags": _tags,
    "playbooks": _playbooks,
    "environments": _environments,
}
