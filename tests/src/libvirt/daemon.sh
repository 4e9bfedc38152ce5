# The first process of a libvirt that has all it touches to itself: run by `unshare --mount --pid --fork` in a network namespace.
# Nothing of it has a name in the file system, and all of it ends with this process, QEMU included.
set -e
mount -t proc proc /proc
# libvirt looks bridges up in /sys/class/net, which shows the namespace of whoever mounted it; bpffs comes along.
mount -t tmpfs tmpfs /var/lib/libvirt
mkdir /var/lib/libvirt/bpf
mount --bind /sys/fs/bpf /var/lib/libvirt/bpf
mount -t sysfs sysfs /sys
mount --move /var/lib/libvirt/bpf /sys/fs/bpf
cp -a /etc/libvirt/nwfilter /var/lib/libvirt/
mkdir -p /run/libvirt
for dir in /etc/libvirt /run/libvirt /var/cache/libvirt /var/log/libvirt; do
    mount -t tmpfs tmpfs $dir
done
mkdir /etc/libvirt/hooks /run/libvirt/guests
mv /var/lib/libvirt/nwfilter /etc/libvirt/
cat >/etc/libvirt/qemu.conf <<EOF
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
dynamic_ownership = 0
remember_owner = 0
EOF
# Until it fails: a test that restarts the daemon ends it in peace.
while libvirtd --pid-file /run/libvirt/libvirtd.pid; do :; done
