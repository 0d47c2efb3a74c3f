#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# In place of the control VM's shell: takes commands from the second serial
# port, a line each, and says how each ended.

stty -F /dev/ttyS1 raw -echo 115200
exec < /dev/ttyS1 > /dev/ttyS1 2>&1
echo agent-ready
while read -r line; do
	eval "$line" < /dev/null
	echo "agent-status $?"
done
