#!/bin/sh
# provision-lab-simulated: the driver's files are new at once, its module only with the next boot.
set -e
[ "$1" = configure ] || exit 0
libraries=/etc/provision-lab/tree/usr/lib/x86_64-linux-gnu
mkdir -p $libraries
rm -f $libraries/libnvidia-ml.so.*
: > $libraries/libnvidia-ml.so.@VERSION@
sed -i 's/^driver .*/driver @VERSION@/' /etc/provision-lab/gpus
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf /lib/systemd/system/provision-lab-driver.service /etc/systemd/system/multi-user.target.wants/
