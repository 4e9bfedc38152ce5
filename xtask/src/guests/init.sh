#!/bin/busybox sh
# The guest's first process: mounts, the modules that every guest needs, and the agent on its serial line.
export PATH=/sbin:/bin:/usr/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmp /dev/shm
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
ulimit -n 65536
hostname guest
# A module of its own in 6.1, and built in since.
modprobe -q virtio_pci
modprobe virtio_net
/sbin/ip link set lo up
# What a test brings along: a tar archive on the first disk.
if grep -q xbr.files /proc/cmdline; then
    modprobe virtio_blk
    while [ ! -b /dev/vda ]; do sleep 0.05; done
    tar -x -f /dev/vda -C /
fi
stty -F /dev/ttyS1 raw -echo
# Not the first process itself: that is told of the end of every orphan, and the shell's `read`, interrupted by that, forgets what it
# has read of a line.
/sbin/agent </dev/ttyS1 >/dev/ttyS1
poweroff -f
