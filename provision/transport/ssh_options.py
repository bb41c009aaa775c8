"""What SSH configuration means: the options of one connection, made from a target and its settings.

Owns which directives are honoured, which have nothing to act on here, and which are refused by file and line.
Must not open connections. Inventory variables win over the command line's options, these over files.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from provision.agent.record import record
from provision.transport import Target
from provision.transport.ssh_config import ConfigError, Setting, Settings, at_home, lookup
from provision.transport.ssh_directives import check

__all__ = ["Options", "choose", "resolve"]

DEFAULT_TIMEOUT = 10.0
DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
METHODS = ("publickey", "password", "keyboard-interactive")
SWITCHES = {
    "publickey": ("pubkeyauthentication",),
    "password": ("passwordauthentication",),
    "keyboard-interactive": ("kbdinteractiveauthentication", "challengeresponseauthentication"),
}
FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
LONGEST_CHAIN = 8


@record(frozen=True, slots=True)
class Algorithms:
    """A wish about algorithms in ssh's notation (`a,b`, `+a`, `-a`, `^a`), and where it was made."""

    wish: str
    where: str


@record(frozen=True, slots=True)
class Options:
    """How to reach and log in to one host; `via` is the bastion before it. Equal options mean an equal connection."""

    host: str
    port: int
    user: str
    identities: tuple[str, ...]
    default_identities: bool = False
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    methods: tuple[str, ...] = METHODS
    known_hosts: tuple[str, ...] = ()
    known_as: str | None = None
    lax: str = ""
    proxy_command: str | None = None
    via: Options | None = None
    timeout: float = DEFAULT_TIMEOUT
    attempts: int = 1
    family: int = socket.AF_UNSPEC
    source: str | None = None
    keep_alive: int = 15
    compression: bool = False
    rsa_bits: int = 0
    algorithms: tuple[tuple[str, Algorithms], ...] = ()


def resolve(target: Target, arguments: Sequence[Setting] = (), config: str | None = None) -> Options:
    """The options of a target whose `ansible_ssh_common_args` gave `arguments` and a file; raises ConfigError."""
    files = _files(config)
    maker = _Maker(target, files)
    return maker.options(target.address, target.user, target.port, arguments, depth=0)


def choose(algorithms: Algorithms | None, default: Sequence[str], available: Sequence[str]) -> tuple[str, ...]:
    """The algorithms to offer, best first: `default` changed by the wish, names that are not available left out.

    Raises ConfigError when none is left.
    """
    if algorithms is None:
        return tuple(default)
    sign = algorithms.wish[:1] if algorithms.wish[:1] in "+-^" else ""
    patterns = [name for name in algorithms.wish.lstrip("+-^").split(",") if name]
    wished = [name for pattern in patterns for name in available if fnmatchcase(name, pattern)]
    chosen = {
        "": lambda: wished,
        "+": lambda: [*default, *wished],
        "^": lambda: [*wished, *default],
        "-": lambda: [name for name in default if name not in wished],
    }[sign]()
    if not chosen:
        raise ConfigError(
            algorithms.where, f"none of `{algorithms.wish}` is available", f"available are {', '.join(available)}"
        )
    return tuple(dict.fromkeys(chosen))


def _files(config: str | None) -> tuple[str, ...]:
    if config is None:
        return ("~/.ssh/config", "/etc/ssh/ssh_config")
    if config == "none":
        return ()
    if not Path(config).expanduser().is_file():
        raise ConfigError("ansible_ssh_common_args", f"`-F {config}`: no such file", "name an existing ssh_config")
    return (config,)


@record(frozen=True, slots=True)
class _Maker:
    """Makes options of hosts and of the bastions before them; what the target says applies to its own host only."""

    target: Target
    files: tuple[str, ...]

    def options(
        self,
        host: str,
        user: str | None,
        port: int | None,
        first: Sequence[Setting],
        depth: int,
        via: Options | None = None,
    ) -> Options:
        settings = lookup(host, self.files, user=user, first=first)
        check(settings)
        reader = _Reader(host, user, port, settings)
        own = depth == 0
        identities = reader.identities(self.target.private_key_file if own else None)
        command, jumps = reader.proxy()
        if via is None and jumps:
            via = self._chain(jumps, reader, depth)
        return Options(
            host=reader.host,
            port=reader.port,
            user=reader.user,
            identities=identities or tuple(at_home(path) for path in DEFAULT_KEYS),
            default_identities=not identities,
            certificates=reader.paths("certificatefile"),
            identities_only=reader.yes("identitiesonly"),
            agent=reader.agent(),
            methods=reader.methods(),
            known_hosts=(*self.target.known_hosts, *reader.known_hosts()),
            known_as=reader.known_as(),
            lax=reader.lax(),
            proxy_command=None if via else command,
            via=via,
            timeout=self._timeout(reader, own),
            attempts=reader.number("connectionattempts", 1),
            family=reader.family(),
            source=reader.text("bindaddress"),
            keep_alive=reader.number("serveraliveinterval", 0) or 15,
            compression=reader.yes("compression"),
            rsa_bits=reader.number("requiredrsasize", 0),
            algorithms=reader.algorithms(),
        )

    def _chain(self, jumps: Sequence[str], reader: _Reader, depth: int) -> Options | None:
        via: Options | None = None
        for jump in jumps:
            user, host, port = parse_jump(jump, reader.where("proxyjump"))
            if host == reader.original and port in (None, reader.port) and user in (None, reader.user):
                continue  # `Host *` with a ProxyJump also covers the bastion itself, which then needs none
            if depth >= LONGEST_CHAIN:
                raise ConfigError(
                    reader.where("proxyjump"), "bastions behind bastions without end", "is there a circle?"
                )
            via = self.options(host, user, port, (), depth + 1, via)
        return via

    def _timeout(self, reader: _Reader, own: bool) -> float:
        if own and self.target.connect_timeout != DEFAULT_TIMEOUT:
            return self.target.connect_timeout
        return float(reader.number("connecttimeout", 0)) or DEFAULT_TIMEOUT


class _Reader:
    """Reads the settings of one host as values, tokens and `~` expanded."""

    def __init__(self, original: str, user: str | None, port: int | None, settings: Settings) -> None:
        self.original = original
        self.settings = settings
        named = settings.get("hostname")
        self.host = expand(named.value, {"h": original}, named.where) if named else original
        self.user = user or self.text("user") or getpass.getuser()
        self.port = port or self.number("port", 22)
        if not 0 < self.port < 65536:
            raise ConfigError(self.where("port"), f"no port: {self.port}", "ports are 1 to 65535")

    def where(self, key: str) -> str:
        setting = self.settings.get(key)
        return setting.where if setting else "the inventory"

    def text(self, key: str) -> str | None:
        setting = self.settings.get(key)
        return setting.value if setting and setting.value.lower() != "none" else None

    def yes(self, key: str, default: bool = False) -> bool:
        value = self.text(key)
        if value is not None and value.lower() not in ("yes", "no", "true", "false"):
            raise ConfigError(self.where(key), f"`{value}` is neither yes nor no")
        return default if value is None else value.lower() in ("yes", "true")

    def number(self, key: str, default: int) -> int:
        value = self.text(key)
        if value is None:
            return default
        seconds = re.fullmatch(r"(\d+)([smhSMH]?)", value)
        if not seconds:
            raise ConfigError(self.where(key), f"`{value}` is no number")
        return int(seconds[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[seconds[2].lower()]

    def identities(self, given: str | None) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*([at_home(given)] if given else []), *self.paths("identityfile")]))

    def paths(self, key: str) -> tuple[str, ...]:
        settings = [setting for setting in self.settings.every(key) if setting.value.lower() != "none"]
        return tuple(self._path(setting.value, setting.where) for setting in settings)

    def agent(self) -> str | None:
        """The agent's socket: None for the environment's, "" for no agent."""
        setting = self.settings.get("identityagent")
        if setting is None or setting.value == "SSH_AUTH_SOCK":
            return None
        if setting.value.lower() == "none":
            return ""
        value = setting.value
        return os.environ.get(value[1:], "") if value.startswith("$") else self._path(value, setting.where)

    def methods(self) -> tuple[str, ...]:
        wished = self.text("preferredauthentications")
        order = [name for name in wished.split(",") if name in METHODS] if wished else list(METHODS)
        allowed = tuple(name for name in order if all(self.yes(key, default=True) for key in SWITCHES[name]))
        if not allowed:
            where = self.where("preferredauthentications")
            raise ConfigError(where, "no way to log in is left", f"allow one of {', '.join(METHODS)}")
        return allowed

    def known_hosts(self) -> tuple[str, ...]:
        files: list[str] = []
        for key, default in (
            ("userknownhostsfile", ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")),
            ("globalknownhostsfile", ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")),
        ):
            setting = self.settings.get(key)
            words = default if setting is None else setting.words
            files += [self._path(word, self.where(key)) for word in words if word.lower() != "none"]
        return tuple(files)

    def known_as(self) -> str | None:
        setting = self.settings.get("hostkeyalias")
        return expand(setting.value, self._tokens(), setting.where) if setting else None

    def lax(self) -> str:
        """Where host keys are said not to be checked; they are all the same."""
        setting = self.settings.get("stricthostkeychecking")
        if setting is None or setting.value.lower() in ("yes", "ask", "true"):
            return ""
        return f"`{setting.name} {setting.value}` ({setting.where})"

    def proxy(self) -> tuple[str | None, Sequence[str]]:
        """The ProxyCommand or the jumps, whichever stands first."""
        command, jump = self.settings.get("proxycommand"), self.settings.get("proxyjump")
        if command and jump:
            keys = list(self.settings.found)
            command, jump = (command, None) if keys.index("proxycommand") < keys.index("proxyjump") else (None, jump)
        if command and command.value.lower() != "none":
            tokens = {"h": self.host, "p": str(self.port), "r": self.user, "n": self.original}
            for value in tokens.values():
                if not re.fullmatch(r"[\w.:@%\[\]-]+", value) or value.startswith("-"):
                    raise ConfigError(command.where, f"`{value}` must not reach the shell that runs a ProxyCommand")
            return expand(command.value, tokens, command.where), ()
        return None, jump.value.split(",") if jump and jump.value.lower() != "none" else ()

    def family(self) -> int:
        value = (self.text("addressfamily") or "any").lower()
        if value not in FAMILIES:
            raise ConfigError(self.where("addressfamily"), f"`{value}` is no address family", "any, inet or inet6")
        return FAMILIES[value]

    def algorithms(self) -> tuple[tuple[str, Algorithms], ...]:
        kinds = (
            ("kex", "kexalgorithms"),
            ("ciphers", "ciphers"),
            ("macs", "macs"),
            ("keys", "hostkeyalgorithms"),
            ("pubkeys", "pubkeyacceptedalgorithms"),
            ("pubkeys", "pubkeyacceptedkeytypes"),
        )
        found = {kind: setting for kind, key in kinds if (setting := self.settings.get(key))}
        return tuple((kind, Algorithms(setting.value, setting.where)) for kind, setting in found.items())

    def _path(self, text: str, where: str) -> str:
        return at_home(expand(text, self._tokens(), where))

    def _tokens(self) -> Mapping[str, str | Callable[[], str]]:
        return {
            "h": self.host,
            "n": self.original,
            "p": str(self.port),
            "r": self.user,
            "k": lambda: self.text("hostkeyalias") or self.original,
            "u": getpass.getuser,
            "i": lambda: str(os.getuid()),
            "d": lambda: at_home("~"),
            "l": socket.gethostname,
            "L": lambda: socket.gethostname().partition(".")[0],
        }


def expand(text: str, tokens: Mapping[str, str | Callable[[], str]], where: str) -> str:
    """`text` with `%h` and the like and `${VARIABLE}` replaced; raises ConfigError on one that has no meaning here."""

    def token(found: re.Match[str]) -> str:
        if found[1] == "%":
            return "%"
        value = tokens.get(found[1])
        if value is None:
            known = " ".join(f"%{key}" for key in tokens)
            raise ConfigError(where, f"`%{found[1]}` has no meaning here", f"known: {known}")
        return value if isinstance(value, str) else value()

    def variable(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigError(where, f"the environment has no `{found[1]}`", "set it, or write the value out")
        return os.environ[found[1]]

    return re.sub(r"\$\{(\w+)\}", variable, re.sub(r"%(.)", token, text))


def parse_jump(text: str, where: str) -> tuple[str | None, str, int | None]:
    """User, host and port of one `[user@]host[:port]` or ssh:// hop; raises ConfigError."""
    plain = text.strip().removeprefix("ssh://").rstrip("/")
    found = re.fullmatch(r"(?:(?P<user>.+)@)?(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:@\[\]]+))(?::(?P<port>\d+))?", plain)
    if not found:
        raise ConfigError(where, f"`{text}` is no bastion", "write `[user@]host[:port]`, several with commas")
    return found["user"], found["six"] or found["host"], int(found["port"]) if found["port"] else None
