# SPDX-License-Identifier: BSD-2-Clause
"""Joist in QEMU with KVM, seen from outside.

Three machines in each other: an emulator of this machine's, Debian's Linux
with KVM in it (tests/boot/nested/init), and in that a QEMU that boots an ISO of
ours with the CPU that KVM gives it.  On SVM the emulator is Debian 13's QEMU:
what is older has no XSETBV intercept, and Linux' KVM needs it.  On VMX it is
Bochs.
"""
import os
import socket
import subprocess
import tempfile

import bochs
import machine as m
import tcg

LINUX = os.path.join(m.BUILD, "nested.img")
# Mitigations and crypto's own tests would only cost instructions.  What KVM says
# of MSRs would get into the lines of the machine in it.
LINUX_ARGS = ("console=ttyS0,115200 quiet loglevel=2 no_timer_check "
              "mitigations=off cryptomgr.notests")
# Linux with what it unpacks, and QEMU.
OVERHEAD = 768			# MiB
KERNEL_VERSION = os.path.join(m.BUILD, "nested.version")


def pack(path, iso, words):
    """The initramfs: Linux', with the ISO, and the words for QEMU."""
    args = path + ".args"
    with open(args, "w") as f:
        f.write(" ".join(words) + "\n")
    subprocess.run([os.path.join(m.TOP, "guests/control/image/mkinitrd.py"),
                    path + ".more", "--bare", "--file", f"{iso}:/joist.iso",
                    "--file", f"{args}:/qemu-args"], check=True)
    with open(path, "wb") as out:
        for part in (LINUX, path + ".more"):
            with open(part, "rb") as f:
                out.write(f.read())
    os.unlink(path + ".more")
    return path


def inner(machine, cpu, cpus, mem, extra=()):
    # As a disk of virtio's: the firmware waits for it without exits.
    # Without what counts accesses to TPR: for that QEMU writes all registers,
    # and KVM a nested guest's CR4 where that guest sees it (doc/vendors.md).
    return ["-global", "kvm-apic.vapic=off", "-M", machine, "-cpu", cpu,
            "-smp", str(cpus), "-m", str(mem), "-nodefaults", "-display",
            "none", "-no-reboot", "-drive",
            "if=virtio,format=raw,readonly=on,file=/joist.iso", "-serial",
            "stdio", *extra]


class Svm(m.Machine):
    limit = 3 * m.LIMIT

    def __init__(self, name, iso, cpus=2, mem=1024, cpu="host", extra=()):
        self.logs(name)
        self.iso = iso
        self.tmp = tempfile.mkdtemp(prefix="joist-")
        image = pack(os.path.join(self.tmp, "linux.img"), iso,
                     inner("q35", cpu, cpus, mem,
                           ["-serial", "/dev/ttyS1", *extra]))
        command = [tcg.QEMU_DEB13, "-M", "q35", "-accel",
                   "tcg,thread=multi,tb-size=256", "-cpu", "max",
                   "-smp", str(cpus), "-m", str(mem + OVERHEAD),
                   "-nodefaults", "-display", "none", "-no-reboot", "-kernel",
                   m.VMLINUX, "-initrd", image, "-append", LINUX_ARGS]
        ports = {}
        for port in ("console", "agent"):
            ports[port] = socket.socketpair()
            fd = ports[port][1].fileno()
            command += ["-chardev", f"socket,id={port},fd={fd}", "-serial",
                        f"chardev:{port}"]
        self.stderr = open(self.qemu_log, "wb")
        self.stderr.write((" ".join(command) + "\n").encode())
        self.stderr.flush()
        self.qemu = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.stderr,
            stderr=self.stderr,
            pass_fds=[theirs.fileno() for _, theirs in ports.values()])
        for _, theirs in ports.values():
            theirs.close()
        self.console = m.Port(ports["console"][0], self.log)
        self.agent = m.Port(ports["agent"][0], self.agent_log)

    def logs(self, name):
        os.makedirs(m.LOGS, exist_ok=True)
        self.name = name
        self.log = os.path.join(m.LOGS, name + ".log")
        self.agent_log = os.path.join(m.LOGS, name + ".agent.log")
        self.qemu_log = os.path.join(m.LOGS, name + ".qemu.log")
        for path in (self.log, self.agent_log, self.qemu_log):
            if os.path.exists(path):
                os.unlink(path)


class Vmx(bochs.Bochs):
    """The kernel is unpacked by itself: GRUB cannot start the unpacked one."""

    def __init__(self, name, iso, cpus=1, mem=640, cpu="host", extra=()):
        with open(KERNEL_VERSION) as f:
            kernel = "/boot/vmlinuz-" + f.read().strip()
        with tempfile.TemporaryDirectory(prefix="joist-") as tmp:
            image = pack(os.path.join(tmp, "linux.img"), iso,
                         inner("pc", cpu, cpus, mem, extra))
            outer = os.path.join(m.BUILD, name + ".iso")
            subprocess.run(
                [os.path.join(m.HERE, "mkiso"), outer, "--bios-only",
                 "--default", "1", "--control", kernel, "--initrd", image,
                 "--control-args", LINUX_ARGS + " tsc_early_khz=100000"],
                check=True)
        super().__init__(name, outer, cpus=cpus, mem=mem + OVERHEAD,
                         nic="none")

    def close(self):
        super().close()
        os.unlink(self.iso)
