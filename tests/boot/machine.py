# SPDX-License-Identifier: BSD-2-Clause
"""A machine in QEMU that boots an ISO of ours, seen from outside.

Its first serial port is the console; on the second one, where the live image
got the agent appended, a shell there takes commands.  Nothing here waits for
a time to pass, only for events, with limits for a host ten times slower.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import tcg

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, "build")
LOGS = os.path.join(BUILD, "test-logs")
RELEASE = os.path.join(BUILD, "joist.elf")
DEBUG = os.path.join(BUILD, "joist-debug.elf")
VMLINUX = os.path.join(BUILD, "vmlinux")
INITRD = os.path.join(BUILD, "initrd.img")
HELPERS = os.path.join(BUILD, "helpers.img")
BOCHS_INITRD = os.path.join(BUILD, "bochs.img")
SELFTEST = os.path.join(BUILD, "selftest.elf")

LIMIT = 600			# seconds, for anything
# On a busy host the emulated PIT may be late for Linux's check of it.
LINUX_ARGS = ("console=tty0 console=ttyS0,115200 quiet no_timer_check "
              "highres=off nohz=off")
OVMF = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")

# What must not be in any log.
BAD = re.compile(r"^.*(joist: panic|joist: E: |Kernel panic|BUG: |\bOops\b|WARNING: CPU|"
                 r"Call Trace|Writing MSR|general protection fault|soft lockup|"
                 r"detected stall|hung_task).*$", re.M)


class Timeout(AssertionError):
    pass


def make_iso(path, elf=RELEASE, control=VMLINUX, args="", initrd=(),
             tunables="", firmware="bios", grub_cfg=None):
    command = [os.path.join(HERE, "mkiso"), path, "--elf", elf,
               "--control-args", args, "--tunables", tunables]
    if control:
        command += ["--control", control]
    for image in initrd:
        command += ["--initrd", image]
    if firmware == "bios":
        command.append("--bios-only")
    if grub_cfg:
        command += ["--grub-cfg", grub_cfg]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def connect(path, process):
    """QEMU makes the socket a moment before it listens."""
    end = time.monotonic() + 60
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
            return sock
        except OSError:
            sock.close()
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)


class Port:
    """One end of a serial port: all it says goes to a log, and is searched."""

    def __init__(self, sock, log):
        self.sock = sock
        self.log = open(log, "ab", buffering=0)
        self.text = ""
        self.at = 0
        self.ended = False
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while True:
            try:
                data = self.sock.recv(65536)
            except OSError:
                data = b""
            if data:
                self.log.write(data)
            with self.news:
                self.ended = not data
                self.text += data.decode("utf-8", "replace").replace("\r", "")
                self.news.notify_all()
            if not data:
                self.log.close()
                return

    def send(self, text):
        self.sock.sendall(text.encode())

    def expect(self, pattern, limit=LIMIT, check=None):
        """The next match; what lies before it is passed over.

        Now and then check() is called, which may know that none will come.
        """
        regex = re.compile(pattern, re.M)
        end = time.monotonic() + limit
        with self.news:
            while True:
                found = regex.search(self.text, self.at)
                if found:
                    self.at = found.end()
                    return found
                left = end - time.monotonic()
                if self.ended:
                    raise Timeout(f"no {pattern!r}: the machine has ended")
                if left <= 0:
                    raise Timeout(f"no {pattern!r} within {limit} s")
                if check:
                    check()
                self.news.wait(min(left, 1))

    def wait_end(self):
        self.thread.join(LIMIT)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join(10)
        self.sock.close()


class Machine:
    limit = LIMIT

    def __init__(self, name, iso, machine="q35", firmware="bios", cpus=2,
                 mem=1024, cpu="max", extra=(), media="cd", qemu=tcg.QEMU):
        os.makedirs(LOGS, exist_ok=True)
        self.name = name
        self.log = os.path.join(LOGS, name + ".log")
        self.agent_log = os.path.join(LOGS, name + ".agent.log")
        self.qemu_log = os.path.join(LOGS, name + ".qemu.log")
        for path in (self.log, self.agent_log, self.qemu_log):
            if os.path.exists(path):
                os.unlink(path)
        # The path of a socket must be short.
        self.tmp = tempfile.mkdtemp(prefix="joist-")
        self.iso = iso
        command = [qemu, "-M", machine, "-accel", tcg.accel(qemu),
                   "-cpu", cpu, "-smp", str(cpus), "-m", str(mem),
                   "-display", "none", "-vga", "std", "-nodefaults"]
        if media == "cd":
            bus = "ide.2" if machine == "q35" else "ide.1"
            command += ["-drive", f"if=none,id=cd,media=cdrom,format=raw,"
                        f"file={iso}", "-device",
                        f"ide-cd,bus={bus},drive=cd,bootindex=0"]
        else:
            command += ["-drive", f"if=none,id=stick,format=raw,file={iso},"
                        "snapshot=on", "-device", "qemu-xhci,id=bootusb",
                        "-device", "usb-storage,bus=bootusb.0,drive=stick,"
                        "removable=on,bootindex=0"]
        for port in ("console", "agent", "qmp"):
            command += ["-chardev", f"socket,id={port},server=on,wait=off,"
                        f"path={self.tmp}/{port}"]
        command += ["-serial", "chardev:console", "-serial", "chardev:agent",
                    "-mon", "chardev=qmp,mode=control"]
        if firmware == "uefi":
            command += ["-drive", f"if=pflash,format=raw,readonly=on,"
                        f"file={OVMF[0]}", "-drive", "if=pflash,format=raw,"
                        f"snapshot=on,file={OVMF[1]}"]
        # Stopped until we listen.
        command += ["-S", *extra]
        self.stderr = open(self.qemu_log, "wb")
        self.stderr.write((" ".join(command) + "\n").encode())
        self.stderr.flush()
        self.qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                     stdout=self.stderr, stderr=self.stderr)
        try:
            self.console = Port(connect(f"{self.tmp}/console", self.qemu),
                                self.log)
            self.agent = Port(connect(f"{self.tmp}/agent", self.qemu),
                              self.agent_log)
            self.qmp_sock = connect(f"{self.tmp}/qmp", self.qemu)
            self.qmp_file = self.qmp_sock.makefile("rw")
            self.qmp_file.readline()
            self.qmp("qmp_capabilities")
            self.qmp("cont")
        except (OSError, ValueError) as e:
            self.close()
            with open(self.qemu_log) as f:
                raise RuntimeError(f"QEMU did not start: {f.read()}") from e
        except BaseException:
            self.close()
            raise

    def qmp(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self.qmp_file.write(json.dumps(request) + "\n")
        self.qmp_file.flush()
        while True:
            answer = json.loads(self.qmp_file.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])

    def expect(self, pattern, limit=LIMIT):
        return self.console.expect(pattern, limit)

    def ready(self):
        """Linux is up, and its agent listens."""
        self.agent.expect(r"^agent-ready$", self.limit, self.check_logs)

    def run(self, command, limit=None):
        """(exit status, output) of a shell command in the control VM."""
        assert "\n" not in command
        start = self.agent.at
        self.agent.send(command + "\n")
        # Not always a line of its own: output need not end with one.
        found = self.agent.expect(r"agent-status (\d+)\n",
                                  limit or self.limit, self.check_logs)
        return int(found.group(1)), self.agent.text[start:found.start()]

    def output(self, command, limit=None):
        """The same, of a command that must succeed: its output."""
        status, text = self.run(command, limit)
        assert status == 0, f"{command!r} ended with {status}: {text}"
        return text.strip()

    def wait_exit(self, limit=None):
        """QEMU's exit status, once the guest has ended it."""
        status = self.qemu.wait(limit or self.limit)
        self.console.wait_end()
        self.agent.wait_end()
        return status

    def check_logs(self):
        found = BAD.search(self.console.text)
        assert not found, f"on the console: {found.group(0)}"

    def reboot(self):
        self.agent.send("sync; reboot -f\n")
        self.ready()

    def poweroff(self):
        """By the control VM itself; the machine must really go off."""
        self.agent.send("exec poweroff\n")
        assert self.wait_exit() == 0

    def close(self):
        if self.qemu.poll() is None:
            self.qemu.kill()
        self.qemu.wait()
        for port in ("console", "agent"):
            if hasattr(self, port):
                getattr(self, port).close()
        if hasattr(self, "qmp_file"):
            self.qmp_file.close()
            self.qmp_sock.close()
        self.stderr.close()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def tail(self, lines=30):
        """The ends of all logs, for a report of what went wrong."""
        out = []
        for path in (self.qemu_log, self.log, self.agent_log):
            try:
                with open(path, errors="replace") as f:
                    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", f.read())
            except OSError:
                continue
            out += [f"--- {os.path.relpath(path, TOP)}",
                    *text.replace("\r", "").splitlines()[-lines:]]
        return "\n".join(out)
