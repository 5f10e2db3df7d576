#!/bin/sh
# The first process of a guest: mounts what a system has, runs one command, says how it ended, switches off.
#
# From the kernel's command line, as environment variables: vmrun (the command's file; none: a shell on the console) and
# vmtoken (a word that tells the line of the status from what the command prints); vmcgroup=1: control groups of version 1.
# Serial ports: ttyS0 console, ttyS1 the command's output and then its status, ttyS2 its errors.
export PATH=/vm:/bin:/sbin HOME=/root SHELL=/bin/sh
/bin/busybox --install -s /bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
chmod 1777 /dev/shm /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
if [ "$vmcgroup" = 1 ]; then
    mount -t tmpfs cgroup /sys/fs/cgroup
    for controller in cpu memory pids; do
        mkdir "/sys/fs/cgroup/$controller" && mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
    done
else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    for controller in cpu memory pids; do
        echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
    done
fi
unset vmcgroup
ln -s /proc/self/fd /dev/fd
ip link set lo up
hostname guest
cd /vm || exit

if [ -z "$vmrun" ]; then
    unset vmtoken
    echo "$(uname -r), $(nproc) CPUs: files are in /vm; Ctrl-A X ends QEMU, exit switches the guest off"
    setsid cttyhack sh
    poweroff -f
fi

stty -F /dev/ttyS1 raw
stty -F /dev/ttyS2 raw
command=$vmrun token=$vmtoken
unset vmrun vmtoken
"$command" </dev/null >/dev/ttyS1 2>/dev/ttyS2
printf '\036%s %s\036' "$token" "$?" >/dev/ttyS1
poweroff -f
