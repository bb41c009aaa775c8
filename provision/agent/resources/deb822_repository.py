"""A source of packages as a .sources file in apt's newer form, with Ansible's meaning of `deb822_repository`."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List, Optional, Union

from .. import attributes, edited
from ..record import record
from ..resource import Action, Emit, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
_KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_HINT = "fetch it to /etc/apt/keyrings before, with `get_url`, and name the file"


@record(frozen=True)
class Spec:
    """A file below /etc/apt/sources.list.d, named after `name`, with apt's fields in lower case.

    - deb822_repository:
        name: docker
        types: deb
        uris: https://download.docker.com/linux/debian
        suites: bookworm
        components: stable
        signed_by: /etc/apt/keyrings/docker.asc

    `signed_by` is the path of a keyring, a fingerprint, or the text of an armored key. The package lists are not
    fetched: `apt` with `update_cache: true` does.
    """

    name: str
    types: Union[str, List[str]] = field(default_factory=lambda: ["deb"])
    uris: Optional[Union[str, List[str]]] = None
    suites: Optional[Union[str, List[str]]] = None
    components: Optional[Union[str, List[str]]] = None
    architectures: Optional[Union[str, List[str]]] = None
    languages: Optional[Union[str, List[str]]] = None
    targets: Optional[Union[str, List[str]]] = None
    signed_by: Optional[str] = None
    enabled: Optional[bool] = None
    trusted: Optional[bool] = None
    allow_downgrade_to_insecure: Optional[bool] = None
    allow_insecure: Optional[bool] = None
    allow_weak: Optional[bool] = None
    by_hash: Optional[bool] = None
    check_date: Optional[bool] = None
    check_valid_until: Optional[bool] = None
    pdiffs: Optional[bool] = None
    date_max_future: Optional[int] = None
    inrelease_path: Optional[str] = None
    mode: str = "0644"
    state: str = "present"
    directory: str = "/etc/apt"

    def __post_init__(self) -> None:
        if not self.slug:
            raise ValueError("name has no letter or digit")
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.state == "present" and not (self.uris and self.suites):
            raise ValueError("`uris` and `suites` are missing")
        if any("\n" in word for name in _LISTS for word in _listed(getattr(self, name))):
            raise ValueError("a list has a line end in it")
        if (self.signed_by or "").startswith(("http://", "https://")):
            raise ValueError("signed_by: an address is not fetched; " + _HINT)
        attributes.check(self.mode)

    @property
    def slug(self) -> str:
        """The name as it stands in the file's name."""
        joined = "-".join("".join(" " if c == "_" else c for c in self.name.lower()).split())
        return "".join(letter for letter in joined if letter in _LETTERS)

    @property
    def path(self) -> str:
        """The file."""
        return "%s/sources.list.d/%s.sources" % (self.directory, self.slug)

    def text(self) -> str:
        """The file's content, in the order of Ansible: that of its options in the alphabet."""
        rows = {name: " ".join(_listed(getattr(self, name))) for name in _LISTS}
        rows.update({name: {True: "yes", False: "no", None: ""}[getattr(self, name)] for name in _FLAGS})
        rows["name"] = self.name
        rows["date_max_future"] = "" if self.date_max_future is None else str(self.date_max_future)
        rows["inrelease_path"] = self.inrelease_path or ""
        rows["signed_by"] = _key(self.signed_by or "")
        return "".join("%s: %s\n" % (_field(name), text) for name, text in sorted(rows.items()) if text)


_LISTS = ("architectures", "components", "languages", "suites", "targets", "types", "uris")
_FLAGS = (
    "allow_downgrade_to_insecure",
    "allow_insecure",
    "allow_weak",
    "by_hash",
    "check_date",
    "check_valid_until",
    "enabled",
    "pdiffs",
    "trusted",
)


@record(frozen=True)
class State:
    """The file as it is."""

    file: edited.Edited


def observe(spec: Spec, system: System) -> State:
    """Read the file."""
    return State(edited.look(spec.path, system))


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or the file as wanted, or its removal."""
    if spec.state == "present":
        return edited.actions(state.file, spec.text(), mode=spec.mode)
    if state.file.text is None:
        return []
    return [Action(Verb.REMOVE, state.file.path, {"do": "unlink"}, state.file.text)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Write or remove the file."""
    if action.arguments["do"] != "unlink":
        return edited.write(action, system)
    system.unlink(action.target)
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`dest`, and `repo`: the file's text as wanted."""
    return {"dest": spec.path, "repo": spec.text() if spec.state == "present" else None}


def _listed(value: Any) -> List[str]:
    listed = value.split(",") if isinstance(value, str) else value or []
    return [item.strip() for item in listed]


def _field(name: str) -> str:
    special = {"name": "X-Repolib-Name", "uris": "URIs"}
    return special.get(name) or "-".join(part.capitalize() for part in name.split("_"))


def _key(text: str) -> str:
    """An armored key in the form of a field of several lines."""
    if not text.lstrip().startswith(_KEY):
        return text
    return "\n" + "\n".join(" " + (line.strip() or ".") for line in text.strip().splitlines())
