# SPDX-License-Identifier: BSD-2-Clause
"""A machine in Bochs, which has Intel's VMX, seen from outside.

It has one serial port: the console, and where the live image got the agent
appended, that takes commands on it.  Bochs executes some ten million
instructions a second, so all limits are long.
"""
import os
import shutil
import socket
import subprocess
import tempfile

import machine as m

# CPUID tells the frequency of the processor that Bochs takes for its model,
# not that of the TSC, which counts instructions (run-bochs --ips).  The
# mitigations and crypto's own tests would only cost instructions.
LINUX_ARGS = ("console=ttyS0,115200 quiet tsc_early_khz=100000 mitigations=off "
              "cryptomgr.notests")


class Bochs(m.Machine):
    limit = 2400		# seconds, for anything

    def __init__(self, name, iso, cpus=2, mem=1024, disk=None, nic="slirp",
                 model="corei7_skylake_x"):
        os.makedirs(m.LOGS, exist_ok=True)
        self.name, self.iso = name, iso
        self.log = os.path.join(m.LOGS, name + ".log")
        self.agent_log = self.log
        self.qemu_log = os.path.join(m.LOGS, name + ".bochs.log")
        for path in (self.log, self.qemu_log):
            if os.path.exists(path):
                os.unlink(path)
        self.tmp = tempfile.mkdtemp(prefix="joist-")
        command = [os.path.join(m.HERE, "run-bochs"), "--iso", iso, "--cpus",
                   str(cpus), "--mem", str(mem), "--model", model, "--nic",
                   nic] + (["--disk", disk] if disk else [])
        ours, theirs = socket.socketpair()
        self.stderr = open(self.qemu_log, "wb")
        with theirs:
            self.qemu = subprocess.Popen(command, stdin=theirs, stdout=theirs,
                                         stderr=self.stderr)
        self.console = self.agent = m.Port(ours, self.log)

    def close(self):
        # Not by force: run-bochs takes Bochs with it.
        if self.qemu.poll() is None:
            self.qemu.terminate()
        self.qemu.wait()
        self.console.close()
        self.stderr.close()
        shutil.rmtree(self.tmp, ignore_errors=True)
