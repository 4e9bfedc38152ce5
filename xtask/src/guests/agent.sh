#!/bin/busybox sh
# Carries out one command a line, `<length> <number> <script>` with the script in \x notation, and answers
# `XBR <number> <status> <bytes>` and that many bytes of output. A line whose length is not as it says has lost something, as when a
# signal interrupts `read`, which then forgets what it had: it is not carried out, and is asked for again.
export PATH=/sbin:/bin:/usr/bin HOME=/root
# The number 0 greets; its status is the version of what is said here, which the lab compares.
echo "XBR 0 2 0"
while read -r length number script; do
    if [ "$length" != $((${#number} + ${#script})) ]; then
        echo "XBR again 0 0"
        continue
    fi
    # A command has no more than its own time: a guest that hangs is the test's failure, not its end.
    (eval "$(printf "$script")") >/tmp/.output 2>&1 </dev/null
    status=$?
    echo "XBR $number $status $(stat -c %s /tmp/.output)"
    cat /tmp/.output
done
