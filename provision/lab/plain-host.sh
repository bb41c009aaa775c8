# The first process of a host without systemd, as a rented container has it: sshd alone.
# Runs in new mount, process, name and message namespaces: sh plain-host.sh ROOT HOSTNAME DATA
set -e
root=$1 data=$3
echo "$2" > /proc/sys/kernel/hostname
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$data" "$root/data"
cd "$root/dev"
mknod -m 666 null c 1 3
mknod -m 666 zero c 1 5
mknod -m 666 full c 1 7
mknod -m 666 random c 1 8
mknod -m 666 urandom c 1 9
mknod -m 666 tty c 5 0
mkdir pts shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts pts
mount -t tmpfs -o mode=1777 tmpfs shm
ln -s pts/ptmx ptmx
ln -s /proc/self/fd fd
ln -s fd/0 stdin
ln -s fd/1 stdout
ln -s fd/2 stderr
mkdir "$root/run/sshd" "$root/run/lock"
cd "$root"
pivot_root . mnt
cd /
umount -l /mnt
exec /usr/sbin/sshd -D -E /var/log/sshd.log
