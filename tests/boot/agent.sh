#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# In place of the control VM's shell: takes commands from the second serial
# port, a line each, and says how each ended.  Where there is only one, that is
# the console too.

port=/dev/ttyS1
speed=115200
if grep -q '^1: uart:unknown' /proc/tty/driver/serial; then
	port=/dev/ttyS0
	# Bochs: a core may be a guest's for over a millisecond, in which 16
	# characters come at full speed; the UART keeps no more.
	speed=19200
	dmesg -n 1
fi
stty -F $port raw -echo $speed
exec < $port > $port 2>&1
echo agent-ready
# Not by read: BusyBox's forgets what it has of a line when a child ends.
while line=$(head -n 1) && [ "$line" ]; do
	eval "$line" < /dev/null
	echo "agent-status $?"
done
