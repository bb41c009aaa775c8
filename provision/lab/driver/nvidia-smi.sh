#!/bin/sh
# provision-lab-simulated: nvidia-smi of a driver package that the lab made; it answers once its module is "loaded".
module=/etc/provision-lab/tree/sys/module/nvidia/version
if [ ! -e $module ]; then
    echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    exit 9
fi
if [ "$(cat $module)" != @VERSION@ ]; then
    echo "Failed to initialize NVML: Driver/library version mismatch"
    exit 18
fi
exec /usr/lib/provision-lab/nvidia-smi "$@"
