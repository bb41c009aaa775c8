"""The directives of ssh_config and ssh's options on the command line: honoured, without effect here, or refused.

Owns the tables and the reading of `ansible_ssh_common_args`. Must not know what honouring one takes.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Sequence

from provision.errors import Mark, ProvisionError
from provision.transport.ssh_config import ConfigError, Setting, Settings, matches, parse_line

__all__ = ["check", "parse_ssh_arguments", "settings_of"]


def _names(text: str) -> frozenset[str]:
    """The words of a table, lines that start with # left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return frozenset(" ".join(lines).split())


HONOURED = _names("""
    addressfamily bindaddress certificatefile challengeresponseauthentication ciphers compression connectionattempts
    connecttimeout globalknownhostsfile hostkeyalgorithms hostkeyalias hostname identitiesonly identityagent
    identityfile ignoreunknown kbdinteractiveauthentication kexalgorithms macs passwordauthentication port
    preferredauthentications proxycommand proxyjump pubkeyacceptedalgorithms pubkeyacceptedkeytypes
    pubkeyauthentication requiredrsasize serveraliveinterval stricthostkeychecking user userknownhostsfile
""")
WITHOUT_EFFECT = _names("""
    # What concerns sessions of people, forwarded things and ssh's own multiplexing. Commands on hosts run in a clean
    # environment, so that they would not see a forwarded agent either.
    addkeystoagent batchmode clearallforwardings controlmaster controlpath controlpersist dynamicforward
    enableescapecommandline escapechar exitonforwardfailure forwardagent forwardx11 forwardx11timeout forwardx11trusted
    gatewayports loglevel logverbose localcommand localforward numberofpasswordprompts permitremoteopen remoteforward
    requesttty sendenv setenv streamlocalbindmask streamlocalbindunlink syslogfacility tunneldevice visualhostkey
    xauthlocation
    # What writes known_hosts, which is never done here.
    checkhostip fingerprinthash hashknownhosts updatehostkeys
    # Ways to log in that ssh tries beside others, and details of theirs; they are not offered here.
    enablesshkeysign gssapiauthentication gssapiclientidentity gssapidelegatecredentials gssapikexalgorithms
    gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns hostbasedacceptedalgorithms
    hostbasedkeytypes pkcs11provider securitykeyprovider
    # What loosens a check that stays on here.
    nohostauthenticationforlocalhost
    # What only has a meaning beside a directive that is refused.
    canonicaldomains canonicalizefallbacklocal canonicalizemaxdots canonicalizepermittedcnames
    # What is always so here (signatures are modern ones, dead peers are noticed), or tunes packets.
    casignaturealgorithms channeltimeout ipqos obscurekeystroketiming serveralivecountmax tcpkeepalive
""")
ONLY = {
    "canonicalizehostname": ("no", "none"),
    "forkafterauthentication": ("no",),
    "hostbasedauthentication": ("no",),
    "knownhostscommand": ("none",),
    "permitlocalcommand": ("no",),
    "proxyusefdpass": ("no",),
    "rekeylimit": ("default",),
    "remotecommand": ("none",),
    "revokedhostkeys": ("none",),
    "sessiontype": ("default",),
    "stdinnull": ("no",),
    "tunnel": ("no",),
    "verifyhostkeydns": ("no", "ask"),
}
"""Directives that ask for what cannot be had here, with the values that do not ask for it."""
LETTERS = {"-i": "IdentityFile", "-J": "ProxyJump"}
SAID_IN = "ansible_ssh_common_args"


def check(settings: Settings) -> None:
    """Raise ConfigError for the first setting of a host that cannot be honoured."""
    ignored = settings.get("ignoreunknown")
    patterns = ignored.value.split(",") if ignored else ()
    for kept in settings.found.values():
        for setting in kept:
            _check_one(setting, patterns)


def _check_one(setting: Setting, ignored: Sequence[str] = ()) -> None:
    if setting.key in HONOURED or setting.key in WITHOUT_EFFECT or matches(setting.name, ignored):
        return
    allowed = ONLY.get(setting.key)
    if allowed is None:
        near = difflib.get_close_matches(setting.key, HONOURED, 1)
        hint = f"did you mean `{near[0]}`?" if near else "take it out for this host, or use a file of its own with `-F`"
        raise ConfigError(setting.where, f"`{setting.name}` is not supported", hint)
    if setting.value.lower() not in allowed:
        raise ConfigError(
            setting.where,
            f"`{setting.name} {setting.rest}` is not supported",
            f"only `{setting.name} {allowed[0]}` is; use a file of its own for these hosts with `-F`",
        )


def parse_ssh_arguments(text: str, where: Mark | None) -> tuple[str, ...]:
    """The words of `ansible_ssh_common_args`: -F, -i, -J, and -o with what is honoured; raises ProvisionError."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise _refused(f"`{text}`", where, str(error), "close the quote") from None
    try:
        _, settings = settings_of(words)
        for setting in settings:
            _check_one(setting)
    except ConfigError as error:
        raise _refused(f"`{text}`", where, error.cause, error.hint) from None
    return words


def settings_of(words: Sequence[str]) -> tuple[str | None, tuple[Setting, ...]]:
    """The file of `-F` (None: the user's) and the settings of -i, -J and -o; raises ConfigError on other options."""
    config: str | None = None
    settings: list[Setting] = []
    for letter, value in _pairs(words):
        if letter == "-F":
            config = value
        elif letter == "-o":
            settings.append(parse_line(value, SAID_IN))
        else:
            name = LETTERS[letter]
            settings.append(Setting(name.lower(), name, (value,), value, SAID_IN))
    return config, tuple(settings)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    waiting = iter(words)
    for word in waiting:
        letter, value = word[:2], word[2:]
        if letter not in ("-F", "-o", *LETTERS):
            raise ConfigError(SAID_IN, f"`{word}` is not supported", "supported are -F, -i, -J and -o")
        value = value or next(waiting, "")
        if not value:
            raise ConfigError(SAID_IN, f"`{letter}` without a value")
        yield letter, value


def _refused(what: str, where: Mark | None, cause: str, hint: str) -> ProvisionError:
    return ProvisionError(f"cannot use {SAID_IN} {what}", where=where, cause=cause, hint=hint)
