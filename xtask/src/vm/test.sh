#!/bin/sh
# Runs in a guest: the live tests, then, when all were asked for that this guest is for, what the report is made of.

# Whether the report is wanted, is the first word.
report=
[ "$1" = --report ] && report=yes && shift

# Swap, so that tests of it need not be skipped. A kernel without it skips them.
modprobe zram && echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null && swapon /dev/zram0

[ "$1" = --soak ] && exec live-tests "$@"
live-tests --timeout 600 "$@"
status=$?
if [ -n "$report" ]; then
    echo "@vm doctor"
    live-tests --as-rss-drift doctor --json
fi
exit $status
