"""Writes provision/ansible_words.toml: the names of Ansible's keywords, modules and options, asked of ansible-core.

Run by a Python that has ansible-core: `python bench/ansible_words.py > provision/ansible_words.toml`. Names alone are
taken, no texts. Modules of collections are listed here by hand, since ansible-core does not bring them.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

MODULES = (
    "apt", "apt_repository", "assert", "blockinfile", "command", "copy", "cron", "deb822_repository", "debug", "dnf",
    "dpkg_selections", "fail", "file", "get_url", "git", "group", "hostname", "import_role", "import_tasks",
    "include_role", "include_tasks", "lineinfile", "package", "reboot", "replace", "service", "shell", "stat",
    "systemd_service", "template", "unarchive", "uri", "user", "wait_for",
)  # fmt: skip
COLLECTIONS = {
    "authorized_key": ("user key path manage_dir state key_options exclusive validate_certs comment follow"),
    "modprobe": "name state params persistent",
    "mount": "path|name src fstype opts opts_no_log dump passno state fstab boot backup",
    "sysctl": "name|key value|val state ignoreerrors reload sysctl_file sysctl_set",
}
"""ansible.posix and community.general; `|` stands before an alias."""
OTHERS = (
    "acl alternatives at capabilities cloud_init_data_facts composer cpanm docker_compose docker_compose_v2 "
    "docker_container docker_image docker_network docker_volume filesystem firewalld gem git_config htpasswd ini_file "
    "iptables_state java_keystore json_query locale_gen lvg lvol make mysql_db mysql_user nmcli npm "
    "openssl_certificate openssl_csr openssl_privatekey pacman pam_limits parted patch pipx postgresql_db "
    "postgresql_user seboolean sefcontext selinux snap ssh_config sudoers supervisorctl synchronize terraform "
    "timezone ufw xattr xml yum zypper"
)
"""Well-known modules of collections; of them the name alone is known."""


KINDS = {
    "play": ("play", "Play"),
    "task": ("task", "Task"),
    "block": ("block", "Block"),
    "role": ("role.include", "RoleInclude"),
    "loop_control": ("loop_control", "LoopControl"),
}
INNER = ("async_val", "loop_with")
"""Fields that no playbook has under this name."""


def main() -> None:
    """Print the file."""
    version = importlib.import_module("ansible.release").__version__
    print(f"# Made by bench/ansible_words.py from ansible-core {version}; do not edit.\n# `name = aliases`\n")
    print("[keywords]")
    for name, (place, kind) in KINDS.items():
        fields = getattr(importlib.import_module(f"ansible.playbook.{place}"), kind).fattributes
        print(f"{name} = {json.dumps(sorted(word for word in fields if word not in INNER))}")
    print(f"\n[modules]\nknown = {json.dumps(sorted({*_core(), *COLLECTIONS, *OTHERS.split()}), indent=2)}")
    documents = _documents()
    for module in sorted({*MODULES, *COLLECTIONS}):
        print(f"\n[options.{module}]")
        options = documents.get(module) or _by_hand(COLLECTIONS[module])
        for option, aliases in sorted(options.items()):
            print(f"{option} = {json.dumps(sorted(aliases))}")


def _core() -> set[str]:
    path = importlib.import_module("ansible.modules").__path__
    return {module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")}


def _documents() -> dict[str, dict[str, list[str]]]:
    program = Path(sys.executable).with_name("ansible-doc")
    done = subprocess.run([program, "-j", *MODULES], capture_output=True, text=True, check=True)
    return {
        module: {name: option.get("aliases", []) for name, option in found["doc"].get("options", {}).items()}
        for module, found in json.loads(done.stdout).items()
    }


def _by_hand(text: str) -> dict[str, list[str]]:
    words = (word.split("|") for word in text.split())
    return {name: aliases for name, *aliases in words}


if __name__ == "__main__":
    main()
