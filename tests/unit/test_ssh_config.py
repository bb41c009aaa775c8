"""ssh_config files as OpenSSH reads them, and what their directives mean for a connection."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.errors import Mark, ProvisionError
from provision.transport import Target
from provision.transport.ssh_config import ConfigError, Settings, lookup, matches, split_words
from provision.transport.ssh_directives import parse_ssh_arguments, settings_of
from provision.transport.ssh_options import Algorithms, Options, choose, parse_jump, resolve


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def read(home: Path, text: str, host: str = "gpu-01", user: str | None = None) -> Settings:
    path = home / ".ssh/config"
    path.write_text(text)
    return lookup(host, [str(path)], user=user)


def value(settings: Settings, key: str) -> str | None:
    setting = settings.get(key)
    return setting.value if setting else None


def options(text: str = "", arguments: str = "", **target: object) -> Options:
    """The options of a target with the user's configuration `text`."""
    Path("~/.ssh/config").expanduser().write_text(text)
    words = parse_ssh_arguments(f"-F ~/.ssh/config {arguments}".replace("~", str(Path.home())), None)
    config, settings = settings_of(words)
    values: dict[str, object] = {"name": "gpu-01", "address": "gpu-01", **target}
    return resolve(Target(**values), settings, config)  # type: ignore[arg-type]


def test_the_first_value_wins_and_identities_add_up(home: Path) -> None:
    settings = read(
        home,
        "Port 2222\nHost gpu-*\n Port 22\n User ada\n IdentityFile a\n"
        "Host *\n User bob\n IdentityFile b\n IdentityFile a\n",
    )
    assert value(settings, "port") == "2222"
    assert value(settings, "user") == "ada"
    assert [setting.value for setting in settings.every("identityfile")] == ["a", "b"]
    assert settings.every("identityfile")[0].where == f"{home}/.ssh/config:5"


@pytest.mark.parametrize(
    ("name", "patterns", "hit"),
    [
        ("gpu-01", "gpu-*", True),
        ("gpu-01", "gpu-?1", True),
        ("GPU-01", "gpu-01", True),
        ("gpu-01", "* !gpu-01", False),
        ("gpu-01", "!gpu-02", False),
        ("gpu[1]", "gpu[1]", True),
        ("gpu1", "gpu[1]", False),
        ("other", "gpu-* other", True),
    ],
)
def test_patterns(name: str, patterns: str, hit: bool) -> None:
    assert matches(name, patterns.split()) is hit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a "b c" d', ("a", "b c", "d")),
        ("a\\ b", ("a b",)),
        ("'a b'\t c # rest", ("a b", "c")),
        ("a#b", ("a#b",)),
        ('"a\\"b"', ('a"b',)),
        ("C:\\path", ("C:\\path",)),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert split_words(text, "x:1") == words


def test_forms_of_a_line(home: Path) -> None:
    settings = read(
        home, '\n# comment\n  Port=1\nUser = ada\n"HostName" "1.2.3.4"\nproxycommand nc "%h" %p # all of it\n'
    )
    assert [value(settings, key) for key in ("port", "user", "hostname")] == ["1", "ada", "1.2.3.4"]
    assert value(settings, "proxycommand") == 'nc "%h" %p # all of it'


def test_include_with_globs_order_and_blocks(home: Path) -> None:
    for name, port in (("b.conf", 2), ("a.conf", 1)):
        (home / f".ssh/{name}").write_text(f"Host gpu-0{port}\n Port {port}\nHost *\n User user-{name[0]}\n")
    (home / "absolute").write_text("Compression yes\n")
    text = f"Host gpu-*\n Include *.conf {home}/absolute ~/no-such\n Port 9\nHost other\n Include a.conf\n"
    assert value(read(home, text, "gpu-02"), "port") == "2"
    assert value(read(home, text, "gpu-03"), "port") == "9"
    assert value(read(home, text, "gpu-03"), "user") == "user-a"
    assert value(read(home, text, "gpu-03"), "compression") == "yes"
    assert not read(home, text, "none").found


def test_a_block_in_an_included_file_ends_with_it(home: Path) -> None:
    (home / ".ssh/part").write_text("Host never\n Port 1\n")
    assert value(read(home, "Include part\nPort 2\n"), "port") == "2"


def test_include_in_a_circle(home: Path, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ConfigError) as caught:
        read(home, "Include config\n")
    assert str(caught.value).replace(str(home), "~") == snapshot


@pytest.mark.parametrize(
    ("match", "user", "hit"),
    [
        ("all", None, True),
        ("host 10.0.0.*", None, True),
        ("host gpu-01", None, False),
        ("originalhost gpu-01", None, True),
        ("originalhost gpu-01 user ada", "ada", True),
        ("user ada,bob", "bob", True),
        ("!user ada", "ada", False),
        ("host=10.0.0.1", None, True),
        ("final all", None, True),
        ("!final all", None, True),
        ("host nowhere exec /bin/true", None, False),
    ],
)
def test_match(home: Path, match: str, user: str | None, hit: bool) -> None:
    settings = read(home, f"HostName 10.0.0.1\nMatch {match}\n Port 7\n", user=user)
    assert (value(settings, "port") == "7") is hit


def test_match_of_the_local_user(home: Path) -> None:
    assert value(read(home, f"Match localuser {getpass.getuser()}\n Port 7\n"), "port") == "7"
    assert value(read(home, f"Match user {getpass.getuser()}\n Port 7\n"), "port") == "7"


def test_what_is_final_comes_after_everything_else(home: Path) -> None:
    settings = read(home, "Match final\n User late\n Port 1\nHost *\n User early\n")
    assert [value(settings, key) for key in ("user", "port")] == ["early", "1"]


@pytest.mark.parametrize(
    "text",
    [
        "Match exec /bin/true\n",
        "Match canonical\n",
        "Match host\n",
        "Port\n",
        'User "ada\n',
        "Include ${HOME}/x\n",
    ],
)
def test_errors_name_file_and_line(home: Path, text: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ConfigError) as caught:
        read(home, f"# first\n{text}")
    assert caught.value.kind == "ssh-config"
    assert str(caught.value).replace(str(home), "~") == snapshot


def test_it_reads_what_openssh_reads(home: Path) -> None:
    """The same file through `ssh -G`, for several hosts."""
    text = (
        "Host *.lab !b.lab\n  User lab\n  HostName %h.example\nHost a* b*\n  Port 2201\n  User other\n"
        "Match originalhost c.lab\n  Port 2203\nMatch final host c.lab.example\n  User final\nHost *\n  User rest\n"
    )
    path = home / ".ssh/config"
    path.write_text(text)
    for host in ("a.lab", "b.lab", "c.lab", "d"):
        argv = ["ssh", "-G", "-F", str(path), host]
        try:
            said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        except FileNotFoundError:
            pytest.skip("needs ssh")
        theirs = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
        ours = options(text, address=host)
        assert (ours.host, str(ours.port), ours.user) == (theirs["hostname"], theirs["port"], theirs["user"])


def test_the_inventory_wins_over_arguments_and_these_over_files() -> None:
    text = "Host gpu-01\n User file\n Port 1\n HostName 10.0.0.1\n IdentityFile ~/.ssh/file\n ConnectTimeout 3\n"
    seen = options(text)
    assert (seen.user, seen.port, seen.host, seen.timeout) == ("file", 1, "10.0.0.1", 3)
    seen = options(text, "-o User=argument -o Port=2 -i key")
    assert (seen.user, seen.port, seen.host) == ("argument", 2, "10.0.0.1")
    seen = options(text, "-o User=argument -i key", user="var", port=3, private_key_file="own", connect_timeout=5.0)
    assert (seen.user, seen.port, seen.timeout) == ("var", 3, 5.0)
    assert seen.identities == ("own", "key", str(Path.home() / ".ssh/file"))


def test_defaults() -> None:
    seen = options()
    assert (seen.host, seen.port, seen.user) == ("gpu-01", 22, getpass.getuser())
    assert seen.default_identities
    assert [Path(path).name for path in seen.identities] == ["id_ed25519", "id_ecdsa", "id_rsa"]
    assert seen.known_hosts[-1] == "/etc/ssh/ssh_known_hosts2"


def test_known_hosts_of_the_inventory_come_first() -> None:
    text = "UserKnownHostsFile ~/.ssh/one ~/.ssh/two\nGlobalKnownHostsFile none\nHostKeyAlias fleet\n"
    seen = options(text, known_hosts=("/inventory/known_hosts",))
    assert seen.known_hosts == ("/inventory/known_hosts", f"{Path.home()}/.ssh/one", f"{Path.home()}/.ssh/two")
    assert seen.known_as == "fleet"


def test_tokens_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET", "north")
    seen = options("HostName %h.example\nUser ada\nIdentityFile %d/.ssh/${FLEET}-%r@%h-%p-%%\n")
    assert seen.host == "gpu-01.example"
    assert seen.identities == (f"{Path.home()}/.ssh/north-ada@gpu-01.example-22-%",)


def test_proxies() -> None:
    assert options("ProxyCommand nc -X 5 %h %p\n").proxy_command == "nc -X 5 gpu-01 22"
    assert options("ProxyCommand none\nProxyJump b\n").via is None
    assert options("ProxyCommand nc %h %p\nProxyJump b\n").via is None
    assert options("ProxyCommand nc %h %p\n", "-J b").proxy_command is None
    jumped = options("Host b\n User root\n HostName 10.0.0.9\n", "-J a,ada@b:2200")
    assert jumped.via is not None
    assert (jumped.via.host, jumped.via.port, jumped.via.user) == ("10.0.0.9", 2200, "ada")
    assert jumped.via.via is not None
    assert jumped.via.via.host == "a"
    assert jumped.via.via.via is None


def test_a_jump_for_all_hosts_leaves_the_bastion_alone() -> None:
    seen = options("Host *\n ProxyJump bastion\n")
    assert seen.via is not None
    assert seen.via.via is None


def test_equal_bastions_are_equal() -> None:
    text = "Host *\n ProxyJump bastion\n"
    assert options(text).via == options(text, address="gpu-02", private_key_file="other").via


def test_a_name_that_would_reach_a_shell_is_refused() -> None:
    with pytest.raises(ConfigError, match="honour"):
        options("ProxyCommand nc %h %p\n", address="gpu;reboot")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("b", (None, "b", None)),
        ("ada@b:22", ("ada", "b", 22)),
        ("[fe80::1]:2200", (None, "fe80::1", 2200)),
        ("ssh://ada@b:22/", ("ada", "b", 22)),
        ("ada@corp@b", ("ada@corp", "b", None)),
    ],
)
def test_jumps(text: str, parsed: tuple[str | None, str, int | None]) -> None:
    assert parse_jump(text, "x:1") == parsed


def test_ways_to_log_in() -> None:
    assert options().methods == ("publickey", "password", "keyboard-interactive")
    wished = "PreferredAuthentications gssapi-with-mic,keyboard-interactive,publickey\n"
    assert options(wished).methods == ("keyboard-interactive", "publickey")
    assert options(wished + "ChallengeResponseAuthentication no\n").methods == ("publickey",)
    assert options("IdentityAgent none\n").agent == ""
    assert options("IdentityAgent ~/agent\n").agent == f"{Path.home()}/agent"
    assert options("IdentityAgent SSH_AUTH_SOCK\n").agent is None


@pytest.mark.parametrize(
    ("wish", "chosen"),
    [
        ("b,a,unknown", ("b", "a")),
        ("+c", ("a", "b", "c")),
        ("-a", ("b",)),
        ("^c,b", ("c", "b", "a")),
        ("*", ("a", "b", "c")),
    ],
)
def test_algorithms(wish: str, chosen: tuple[str, ...]) -> None:
    assert choose(Algorithms(wish, "x:1"), ("a", "b"), ("a", "b", "c")) == chosen


@pytest.mark.parametrize(
    "text",
    [
        "BindInterface eth0",
        "HostnName x",
        "RemoteCommand top",
        "CanonicalizeHostname yes",
        "RevokedHostKeys /etc/ssh/revoked",
        "IdentitiesOnly perhaps",
        "Port 99999",
        "ConnectTimeout soon",
        "IdentityFile %z",
        "IdentityFile ${NO_SUCH_VARIABLE}",
        "AddressFamily ipx",
        "PreferredAuthentications gssapi-with-mic",
        "ProxyJump a:b:c",
        "HostName x\nUserKnownHostsFile ~/x\nPermitLocalCommand yes",
    ],
)
def test_what_cannot_be_honoured_names_its_line(text: str, home: Path, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ConfigError) as caught:
        options(f"Host other\n {text}\nHost gpu-01\n {text}\n")
    assert str(caught.value).replace(str(home), "~") == snapshot
    options(f"Host other\n {text}\n")


def test_what_has_nothing_to_act_on_is_let_through() -> None:
    options(
        "SendEnv LANG LC_*\nHashKnownHosts yes\nGSSAPIAuthentication yes\nControlMaster auto\nControlPath ~/%C\n"
        "ControlPersist 60s\nForwardAgent yes\nServerAliveCountMax 3\nLogLevel QUIET\nVerifyHostKeyDNS ask\n"
        "IgnoreUnknown Use*\nUseKeychain yes\nRekeyLimit default none\n"
    )


def test_arguments_are_the_words_of_ssh() -> None:
    words = parse_ssh_arguments("-F cfg -oUser=ada -o 'ProxyCommand ssh -W %h:%p b' -J a,b -i ~/key", None)
    config, settings = settings_of(words)
    assert config == "cfg"
    assert [(setting.name, setting.value) for setting in settings] == [
        ("User", "ada"),
        ("ProxyCommand", "ssh -W %h:%p b"),
        ("ProxyJump", "a,b"),
        ("IdentityFile", "~/key"),
    ]


@pytest.mark.parametrize("text", ["-A", "-p 22", "host", "-o 'User", "-o", "-o Tunnel=yes", "-o Nonsense=1"])
def test_arguments_that_are_refused(text: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as caught:
        parse_ssh_arguments(text, Mark("inventory.yaml", 4, 7))
    assert str(caught.value) == snapshot


def test_a_configuration_that_is_not_there(snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(Target("gpu-01", "gpu-01"), (), "/no/such/config")
    assert str(caught.value) == snapshot
