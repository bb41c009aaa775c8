"""How variables of proxies, authorities and logins become what goes with a step; what of them is refused."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision import network
from provision.agent import trust
from provision.conda.mirrors import Settings
from provision.errors import ProvisionError
from provision.fleet_settings import settings
from provision.inventory import load_inventory
from provision.render import Renderer
from provision.secret.known import KNOWN, clean
from provision.source import Template, loads
from provision.variables import Layer, Scope

PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
PROXY = "http://me:pr0xy-w0rd@proxy.example:3128"
LOGIN = {"username": "me", "password": "g1t/w0rd@x"}


def scope(values: Mapping[str, Any]) -> Scope:
    return Scope(Renderer(), (Layer("the inventory", values),))


def header(user: str, word: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text(PEM)
    return tmp_path


def test_a_step_that_fetches_gets_proxies_in_both_spellings(folder: Path) -> None:
    found = network.of_step("package", scope({"https_proxy": f"{PROXY}/", "no_proxy": ["a.example", ".b"]}), folder)
    assert found.environment == {
        **dict.fromkeys(("https_proxy", "HTTPS_PROXY"), PROXY),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "a.example,.b"),
    }
    assert found.trust is None
    assert "pr0xy-w0rd" not in clean(f"at {PROXY}")


@pytest.mark.parametrize("resource", ["command", "shell", "app", "uri", "file", "conda_flip"])
def test_other_steps_get_nothing(resource: str, folder: Path) -> None:
    given = {"https_proxy": PROXY, "ca_file": "ca.pem", "git_credentials": {"https://g.example": LOGIN}}
    assert network.of_step(resource, scope(given), folder) is network.NOTHING


def test_without_variables_nothing_goes_with_a_step(folder: Path) -> None:
    assert network.of_step("git", scope({"other": 1}), folder) is network.NOTHING


def test_authorities_go_by_hash_for_those_who_ask(folder: Path) -> None:
    found = network.of_step("get_url", scope({"ca_file": "ca.pem"}), folder)
    assert found.environment == {}
    assert found.trust is not None
    assert found.blobs == {found.trust: PEM.encode()}
    (folder / "ca.pem").write_text(PEM + PEM)
    assert network.of_step("get_url", scope({"ca_file": "ca.pem"}), folder).trust != found.trust


def test_logins_of_git_are_its_configuration_by_variables(folder: Path) -> None:
    given = {"https://g.example/team/": LOGIN, "https://h.example": {"token": "t0ken-w0rd"}}
    found = network.of_step("git", scope({"git_credentials": given}), folder).environment
    assert found == {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "http.https://g.example/team.extraHeader",
        "GIT_CONFIG_VALUE_0": header("me", LOGIN["password"]),
        "GIT_CONFIG_KEY_1": "http.https://h.example.extraHeader",
        "GIT_CONFIG_VALUE_1": header("oauth2", "t0ken-w0rd"),
    }
    assert network.of_step("package", scope({"git_credentials": given}), folder).environment == {}
    shown = clean(json.dumps(found))
    assert not [value for name, value in found.items() if "VALUE" in name and value in shown]


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ({}, {"https_proxy", "HTTPS_PROXY", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0"}),
        ({"HTTPS_PROXY": ""}, {"GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0"}),
        ({"GIT_CONFIG_COUNT": "0"}, {"https_proxy", "HTTPS_PROXY"}),
    ],
)
def test_variables_of_the_task_win(own: dict[str, str], left: set[str]) -> None:
    ours = dict.fromkeys(("https_proxy", "HTTPS_PROXY", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0"), "ours")
    assert network.under(network.Reach(ours), own) == {**dict.fromkeys(left, "ours"), **own}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://c.example/team/x", "https://a:b@c.example/team/x"),
        ("https://c.example/team", "https://a:b@c.example/team"),
        ("https://c.example/teams", "https://:t@c.example/teams"),
        ("https://own:login@c.example/team/x", "https://own:login@c.example/team/x"),
        ("http://c.example/team/x", "http://c.example/team/x"),
        ("https://c.example.org/team", "https://c.example.org/team"),
    ],
)
def test_an_address_gets_the_login_of_its_longest_beginning(address: str, expected: str) -> None:
    known = {"https://c.example/team": "a:b", "https://c.example": ":t"}
    assert network.logged_in(address, known) == expected


def test_a_channel_and_an_index_have_a_login_with_and_without_a_mirror() -> None:
    found = Settings.of_host(
        {
            "channel_mirrors": {"conda-forge": "https://m.example/cf"},
            "channel_credentials": {"https://m.example": LOGIN, "https://c.example/own": {"token": "a/t0ken"}},
            "index_credentials": {"https://i.example/simple": {"token": "a/t0ken"}},
        }
    )
    forge = "https://conda.anaconda.org/conda-forge"
    assert found.channel_address(forge) == "https://me:g1t%2Fw0rd%40x@m.example/cf"
    assert found.channel_address("https://c.example/own") == "https://:a%2Ft0ken@c.example/own"
    assert found.index_address("https://i.example/simple") == "https://__token__:a%2Ft0ken@i.example/simple"
    assert found.index_address("https://pypi.org/simple") == "https://pypi.org/simple"


def test_a_login_in_a_mirror_is_secret_from_then_on() -> None:
    Settings.of_host({"index_mirrors": {"https://pypi.org/simple": "https://me:m1rror%2Fw0rd@i.example/simple"}})
    assert KNOWN.hides("it says m1rror/w0rd")
    assert KNOWN.hides("at m1rror%2Fw0rd@")


def test_here_own_authorities_stand_beside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = folder / "own.crt"
    own.write_text("own\n")
    monkeypatch.setattr(trust, "_OWN", (str(own),))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    found = network.here({"https_proxy": PROXY, "SSL_CERT_FILE": str(folder / "ca.pem")})
    assert found["https_proxy"] == PROXY
    assert Path(found["SSL_CERT_FILE"]).read_text() == "own\n" + PEM
    assert network.here({"https_proxy": PROXY}) == {"https_proxy": PROXY}


INVENTORY = """
all:
  vars: {https_proxy: "http://p.example:1"}
  hosts:
    one:
    two: {https_proxy: p.example}
    three: {https_proxy: "http://{{ ansible_default_ipv4.gateway }}:3128"}
"""


def test_what_other_hosts_have_of_their_own_is_looked_at_before_any_is_contacted(folder: Path) -> None:
    (folder / "inventory.yaml").write_text(INVENTORY)
    inventory = load_inventory([folder / "inventory.yaml"])
    assert settings(inventory, ["one", "three"]).network["HTTPS_PROXY"] == "http://p.example:1"
    with pytest.raises(ProvisionError, match="`https_proxy` names no proxy"):
        settings(inventory, ["one", "two"])
    extra = {"https_proxy": "http://e.example:2"}
    assert settings(inventory, ["one", "two"], extra).network["https_proxy"] == "http://e.example:2"


def test_logins_are_in_no_text_of_the_settings() -> None:
    found = Settings.of_host({"channel_credentials": {"https://m.example": LOGIN}})
    assert "g1t" not in repr(dataclasses.replace(found, root="/x"))


def _templated(folder: Path) -> Any:
    layers = (Layer("facts", {"ansible_hostname": "x"}, True), Layer("", {"ca_file": _template()}))
    return network.of_step("git", Scope(Renderer(), layers), folder)


def _template() -> Template:
    (value,) = loads("- '{{ ansible_hostname }}.pem'\n", "inventory.yaml")
    assert isinstance(value, Template)
    return value


def _ca(content: str | None) -> Callable[[Path], Any]:
    def refuse(folder: Path) -> Any:
        if content is not None:
            (folder / "other.pem").write_text(content)
        return network.ca_file({"ca_file": "other.pem"}, folder)

    return refuse


def _login(login: Any, url: str = "https://h.example/x") -> Callable[[Path], Any]:
    return lambda _: network.logins({"git_credentials": {url: login}}, "git_credentials")


@pytest.mark.parametrize(
    "refuse",
    [
        pytest.param(lambda _: network.proxies({"http_proxy": "proxy.example:3128"}), id="proxy-without-scheme"),
        pytest.param(lambda _: network.proxies({"https_proxy": "https://p.example"}), id="proxy-by-https"),
        pytest.param(_ca(None), id="no-ca-file"),
        pytest.param(_ca("hello"), id="no-certificate"),
        pytest.param(_ca(PEM + "-----BEGIN PRIVATE KEY-----\n"), id="private-key"),
        pytest.param(_templated, id="ca-file-of-a-host"),
        pytest.param(lambda _: network.logins({"git_credentials": "x"}, "git_credentials"), id="no-mapping"),
        pytest.param(_login(LOGIN, "git@h.example:x"), id="no-url"),
        pytest.param(_login(LOGIN, "https://me:pw@h.example"), id="login-in-url"),
        pytest.param(_login({"username": "me", "pasword": "x"}), id="unknown-key"),
        pytest.param(_login({"username": "me"}), id="half-a-login"),
        pytest.param(_login("s3cret"), id="no-login"),
        pytest.param(_login({"username": "a:b", "password": "x"}), id="colon"),
    ],
)
def test_what_is_refused(refuse: Callable[[Path], Any], folder: Path, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as caught:
        refuse(folder)
    assert str(caught.value).replace(str(folder), "FOLDER") == snapshot
