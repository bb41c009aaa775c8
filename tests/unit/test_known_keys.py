"""Keys of hosts that leave go out of the text of a known_hosts."""

from __future__ import annotations

from provision.onboarding.known_keys import without_host

TEXT = """\
# keys of the fleet
gpu-01,10.0.0.1 ssh-ed25519 AAAA1
gpu-02 ssh-ed25519 AAAA2
gpu-010 ssh-ed25519 AAAA3
|1|c2FsdA==|aGFzaA== ssh-ed25519 AAAA4
@cert-authority gpu-01 ssh-ed25519 AAAA5
gpu-* ssh-ed25519 AAAA6

[gpu-01]:2222 ssh-ed25519 AAAA7
"""


def test_the_lines_of_a_host_go_and_all_others_stay() -> None:
    assert without_host(TEXT, ["gpu-01", "10.0.0.1"]) == TEXT.replace("gpu-01,10.0.0.1 ssh-ed25519 AAAA1\n", "")
    assert without_host(TEXT, ["[gpu-01]:2222"]) == TEXT.replace("[gpu-01]:2222 ssh-ed25519 AAAA7\n", "")


def test_a_line_keeps_the_names_of_others() -> None:
    assert without_host(TEXT, ["10.0.0.1"]) == TEXT.replace("gpu-01,10.0.0.1 ", "gpu-01 ")
