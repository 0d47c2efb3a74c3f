#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# In place of the control VM's shell: takes commands from the second serial
# port, a line each, and says how each ended.  Where there is only one, that is
# the console too.

port=/dev/ttyS1
if grep -q '^1: uart:unknown' /proc/tty/driver/serial; then
	port=/dev/ttyS0
	dmesg -n 1
fi
stty -F $port raw -echo 115200
exec < $port > $port 2>&1
echo agent-ready
while read -r line; do
	eval "$line" < /dev/null
	echo "agent-status $?"
done
