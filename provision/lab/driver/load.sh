#!/bin/sh
# provision-lab-simulated: what the boot of a host does: the driver's module is loaded, unless nouveau was not kept out.
set -e
tree=/etc/provision-lab/tree
if [ -e $tree/sys/module/nouveau ]; then
    grep -qs '^blacklist nouveau$' /etc/modprobe.d/*.conf || exit 0
    rm -r $tree/sys/module/nouveau
fi
mkdir -p $tree/proc/driver/nvidia $tree/sys/module/nvidia
echo "NVRM version: NVIDIA UNIX x86_64 Kernel Module  @VERSION@  (simulated)" > $tree/proc/driver/nvidia/version
echo @VERSION@ > $tree/sys/module/nvidia/version
