# In a guest's initramfs: boots the system on the disk, in a pid namespace of its own, as the command of rss-drift run, until
# somebody has logged in there. Prints the report.
login=/newroot/run/login
disk=/dev/nvme0n1
# Looked for beside the start of everything else.
for _ in $(seq 300); do
    [ -b "$disk" ] && break
    sleep 0.1
done
mkdir /newroot
mount -t ext4 "$disk" /newroot || exit
mount -t tmpfs tmpfs /newroot/run
mkfifo -m 600 "$login"
{
    # The steps of switch_root, but nothing is deleted: this script goes on.
    rss-drift run --format json --output /tmp/report.json -- unshare -m -p -f sh -c '
        cd /newroot &&
        mount -t proc proc proc && mount -t sysfs sysfs sys && mount -t devtmpfs devtmpfs dev &&
        mount --move . / && exec chroot . /sbin/init </dev/console >/dev/console 2>&1' 2>/tmp/messages
    # Opened for both: nobody may read any more.
    echo ended 1<>"$login"
} &
read -r how <>"$login"
case $how in
login*) kill -TERM "$(pidof rss-drift)" ;;
*) echo "the system ended before anybody logged in" >&2 ;;
esac
wait
# In a file it is no terminal, hence has no line of how it goes.
cat /tmp/report.json || cat /tmp/messages >&2
