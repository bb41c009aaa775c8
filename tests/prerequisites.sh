#!/usr/bin/env bash
# Installs what tests need beside the lab's own needs: `bash tests/prerequisites.sh PROGRAM...` of faketime, git,
# ssh-keygen, sshd, strace, sudo, tinyproxy.
# Nothing happens where all are there. The service sshd is not started.
set -euo pipefail
missing=()
for program in "$@"; do
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null && continue
    case "$program" in
        sshd) missing+=(openssh-server) ;;
        ssh-keygen) missing+=(openssh-client) ;;
        *) missing+=("$program") ;;
    esac
done
[ "${#missing[@]}" -eq 0 ] && exit 0
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
