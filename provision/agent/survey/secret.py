"""Which words and variables of a process are secrets, by their names and by how they look. Pure.

Judged on the host, so that no secret ever leaves it. When in doubt it is one.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

__all__ = ["is_secret", "named", "split", "variables"]

_ENDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS", "APIKEY", "COOKIE")
_PARTS = (*_ENDS, "KEY", "KEYS", "PASS", "PWD", "PAT", "AUTH", "CREDS", "SALT", "DSN")
_PLAIN = ("PWD", "OLDPWD")
_NOT = ("FILE", "PATH", "DIR", "LIMIT", "COUNT", "LENGTH", "SIZE")
"""A name that ends so says where a secret is, or how long, and is none."""
_BEGINNINGS = (
    *("hf_", "sk-", "sk_", "pk_", "rk_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "AKIA"),
    *("ASIA", "AIza", "ya29.", "eyJ", "nvapi-", "dckr_pat_", "npm_", "pypi-", "r8_", "gsk_"),
)
_LONG = 24
"""Letters and digits mixed without a break, this many or more, are taken for a key."""


def named(name: str) -> bool:
    """Whether a name (of a variable, or of an option) says that its value is a secret."""
    upper = name.lstrip("-").replace("-", "_").upper()
    if upper in _PLAIN:
        return False
    parts = upper.split("_")
    return parts[-1] not in _NOT and any(part in _PARTS or part.endswith(_ENDS) for part in parts)


def is_secret(value: str) -> bool:
    """Whether a value looks like a secret: a known beginning, a password in a URL, or long and random."""
    if any(value.startswith(start) and len(value) >= len(start) + 8 for start in _BEGINNINGS):
        return True
    _, sign, rest = value.partition("://")
    if sign:
        account = rest.partition("/")[0].rpartition("@")[0]
        return (
            ":" in account
            or _random(account)
            or any(_random(part) for part in rest.replace("?", "/").replace("&", "/").split("/"))
        )
    return _random(value)


def _random(value: str) -> bool:
    text = value.rpartition("=")[2] if value.count("=") == 1 and not value.endswith("=") else value
    bare = text.rstrip("=")
    if len(bare) < _LONG or not all(c.isalnum() or c in "_-+/." for c in bare):
        return False
    if "/" in bare and (bare.startswith("/") or "." in bare):
        return False
    runs, digits = bare.replace(".", "-").replace("_", "-").split("-"), sum(c.isdigit() for c in bare)
    longest = max(runs, key=len)
    mixed = any(c.isalpha() for c in longest) and any(c.isdigit() for c in longest)
    # a UUID of a GPU, or of a file system, is no secret
    if bare.startswith(("GPU-", "MIG-")) or [len(run) for run in runs] == [8, 4, 4, 4, 12]:
        return False
    return len(longest) >= _LONG and mixed and digits >= 3


def split(argv: List[str]) -> List[Tuple[str, Optional[str]]]:
    """Each word as `(what stands before the secret, name of the secret)`; the name is None for an ordinary word.

    A secret follows the option that names it, stands after its `=`, or is a word that looks like one.
    """
    found: List[Tuple[str, Optional[str]]] = []
    option = ""
    for word in argv:
        head, sign, value = word.partition("=")
        if option and not word.startswith("-"):
            found.append(("", _name(option)))
        elif sign and _takes_value(head) and (named(head) or is_secret(value)):
            found.append((head + "=", _name(head)))
        elif is_secret(word):
            found.append(("", "ARGUMENT"))
        else:
            found.append((word, None))
        option = word if word.startswith("-") and not sign and named(word) else ""
    return found


def _takes_value(head: str) -> bool:
    """Whether a word that goes on with `=` is an option, or a setting as Hydra and others take them."""
    return head.startswith("-") or head.replace(".", "_").lstrip("+").isidentifier()


def variables(environment: Dict[str, str]) -> Tuple[Dict[str, str], List[str]]:
    """The variables that are no secrets, and the names of those that are."""
    secrets = sorted(name for name, value in environment.items() if value and (named(name) or is_secret(value)))
    return {name: value for name, value in environment.items() if name not in secrets}, secrets


def _name(option: str) -> str:
    return option.strip("-").replace("-", "_").upper() or "ARGUMENT"
