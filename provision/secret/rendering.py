"""What a renderer does about secrets: opens them, marks what was made of them. Loads the rest where there are some."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from provision.secret.value import Secret
from provision.source import Template

__all__ = ["made_of_secrets", "secretly", "secrets_exist", "shown"]


def secrets_exist() -> bool:
    """Whether this process may have met a secret: until then templates are compiled without looking for any."""
    return "provision.secret.known" in sys.modules


def made_of_secrets(value: Any) -> Any:
    """What a template that used a secret came to: secret in its turn."""
    from provision.secret.known import derived

    return derived(value)


def shown(text: Any) -> str:
    """A text as it may be shown: of one that is made of secrets, what is left without them."""
    if type(text) is not Secret:
        return str(text)
    from provision.secret.known import clean

    return str(clean(text))


def secretly(template: Template, names: Any, run: Callable[[Template, Any], Any]) -> Any:
    """The secret of an encrypted value, or what a template of an encrypted file comes to."""
    from provision.secret.sealed import Vaulted

    names.touched = True
    return template.opened() if isinstance(template, Vaulted) else made_of_secrets(run(template, names))
