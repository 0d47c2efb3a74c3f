# SPDX-License-Identifier: BSD-2-Clause
"""A Debian disk image as a guest, as a user would have it: on a bridge with
the machine's NIC, with a login on its console and by ssh from outside.

One boot of the control VM and of the guest serves all tests, in this order.
"""
import json
import os
import re
import socket
import subprocess
import tempfile
import time

import pytest

import machine as m
from vms import LINUX, LINUX_MEM, ctl_json, guest_run, said, vm, wait

pytestmark = pytest.mark.xdist_group("debian")
DEBIAN = os.path.join(m.BUILD, "debian")
CPUS = 4
# QEMU's user network hands out addresses in the order of asking.
OUTSIDE, CONTROL, GUEST = "10.0.2.2", "10.0.2.15", "10.0.2.16"
NEIGHBOUR = "10.0.2.77"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Guest:
    """All commands go through one connection: where the CPU is emulated, each
    new one takes many seconds, of key exchange and of systemd's sessions."""

    def __init__(self, control, port):
        self.control = control
        self.port = port

    def ssh(self, command, limit=m.LIMIT):
        """From outside the machine: (exit status, output)."""
        args = ["ssh", "-i", os.path.join(DEBIAN, "key"), "-p", str(self.port)]
        for option in ("StrictHostKeyChecking=no", "BatchMode=yes",
                       "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
                       "IdentitiesOnly=yes", "ConnectTimeout=60",
                       "ServerAliveInterval=60", "ControlMaster=auto",
                       "ControlPersist=yes",
                       f"ControlPath={self.control.tmp}/ssh"):
            args += ["-o", option]
        # Not by a pipe: the connection's own process would keep it open.
        with tempfile.TemporaryFile("w+") as out:
            status = subprocess.run([*args, "root@127.0.0.1", command],
                                    stdin=subprocess.DEVNULL, timeout=limit,
                                    stdout=out, stderr=out).returncode
            out.seek(0)
            return status, out.read()

    def disconnect(self):
        subprocess.run(["ssh", "-O", "exit", "-o",
                        f"ControlPath={self.control.tmp}/ssh", "x"],
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def output(self, command, limit=m.LIMIT):
        """Of a command that must succeed."""
        status, text = self.ssh(command, limit)
        assert status == 0, f"{command!r} ended with {status}: {text}"
        return text.strip()

    def reachable(self):
        end = time.monotonic() + m.LIMIT
        while True:
            status, text = self.ssh("true")
            # 255 is ssh's own: no answer yet.
            if status != 255:
                break
            assert time.monotonic() < end, text
            time.sleep(1)
        assert status == 0, text

    def expect(self, pattern):
        """On its console, which is on the control VM's."""
        self.control.console.expect(pattern, check=self.control.check_logs)

    def type(self, line):
        self.control.console.send(line + "\r")


@pytest.fixture(scope="module")
def web(start_linux_module, tmp_path_factory):
    """The guest, started and on its way up."""
    tools = str(tmp_path_factory.mktemp("debian") / "tools.img")
    subprocess.run([os.path.join(m.TOP, "guests/control/image/mkinitrd.py"),
                    tools, "--bare", "--program",
                    "/usr/bin/iperf3:/usr/bin/iperf3"], check=True)
    port = free_port()
    control = start_linux_module(
        "debian", more=[tools], cpus=2, mem=1792,
        extra=["-drive", "if=none,id=d,format=raw,snapshot=on,"
               f"cache=unsafe,file={DEBIAN}/disk.img",
               "-device", "nvme,drive=d,serial=1",
               "-nic", "user,model=e1000e,hostfwd="
               f"tcp:127.0.0.1:{port}-{GUEST}:22"])
    assert CONTROL in control.output("net-bridge br0 eth0")
    control.output(f"joistctl start web -d /dev/nvme0n1 -m 512M -c {CPUS} "
                   "-n bridge=br0")
    # As if somebody sat there.  The agent's shell is on another port.
    control.output("joistctl console web < /dev/ttyS0 > /dev/ttyS0 2>&1 &")
    guest = Guest(control, port)
    yield guest
    guest.disconnect()
    control.check_logs()


def test_console(web):
    """Its own GRUB, its own kernel; a login on the serial console."""
    web.expect("debian login:")
    with open(os.path.join(DEBIAN, "password")) as f:
        password = f.readline().strip()
    web.type("root")
    web.expect("Password:")
    web.type(password)
    web.expect("root@debian:~#")
    web.type("echo $((6 * 7))-is-it; exit")
    web.expect("42-is-it")


def test_ssh(web, served):
    """From outside by the real NIC and the bridge, and the way out."""
    web.reachable()
    assert web.output("hostname; nproc").split() == ["debian", str(CPUS)]
    assert GUEST in web.output("ip -4 -br addr")
    assert web.output("systemctl list-units --failed --no-legend") == ""
    web.output(f"ping -c 2 -W 60 {CONTROL}")
    size = 1 << 20
    assert web.output(
        f"exec 3<>/dev/tcp/{OUTSIDE}/{served.port}; "
        rf"printf 'GET /{size} HTTP/1.0\r\n\r\n' >&3; "
        f"tail -c {size} <&3 | sha256sum").split()[0] == served.digest(size)
    # A password gets nobody in from there.
    assert "publickey)" in subprocess.run(
        ["ssh", "-p", str(web.port), "-o", "BatchMode=yes",
         "-o", "StrictHostKeyChecking=no", "-o", "IdentityFile=/dev/null",
         "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes",
         "root@127.0.0.1", "true"], text=True, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, timeout=m.LIMIT).stderr


def test_neighbour(web):
    """Another guest on that bridge: to it, to the outside, and as another."""
    ctl = web.control
    ctl.output(f"joistctl start next {LINUX} -m {LINUX_MEM} -n bridge=br0 "
               "-a 'console=ttyS0 quiet no_timer_check guest.name=next "
               f"guest.ip={NEIGHBOUR}'")
    said(ctl, "next", "guest: Linux")
    for address in (GUEST, CONTROL, OUTSIDE):
        assert guest_run(ctl, "next", f"ping -c 2 -w 60 {address}") == 0
    web.output(f"ping -c 2 -W 60 {NEIGHBOUR}")
    assert guest_run(ctl, "next", "ifconfig eth0 hw ether 4a:6f:00:00:00:01 "
                     f"&& ! ping -c 2 -w 5 {OUTSIDE}") == 0
    ctl.output("joistctl kill next")


def exits(web):
    """Of all vCPUs together, by reason."""
    total = {}
    for vcpu in ctl_json(web.control, "stats web"):
        for name, count in vcpu.items():
            total[name] = total.get(name, 0) + count
    return total


def test_stress(web):
    """Disk and network under load on all vCPUs, an amount of each."""
    before = exits(web)
    size = 2 << 20
    jobs = json.loads(web.output(
        f"fio --name=verify --directory=/var/tmp --numjobs={CPUS} "
        f"--size={size} --rw=randwrite --bsrange=4k-64k --direct=1 "
        "--ioengine=libaio --iodepth=8 --verify=crc32c --verify_fatal=1 "
        "--fsync=64 --output-format=json"))["jobs"]
    assert len(jobs) == CPUS
    for job in jobs:
        assert job["error"] == 0, job
        # All of it was written, and read again to be compared.
        assert job["write"]["io_bytes"] == size
        assert job["read"]["io_bytes"] == size
    size, window = 8 << 20, 64 << 10
    for way in ("", "-R"):
        web.control.run("iperf3 -s -1 > /tmp/iperf 2>&1 &")
        assert wait(web.control, "netstat -ltn | grep -q :5201")
        end = json.loads(web.output(f"iperf3 -c {CONTROL} -n {size} -P {CPUS} "
                                    f"-w {window} -J {way}"))["end"]
        # The sender stops once it has handed over that much; what the sockets
        # of both sides hold then, about twice the window each (socket(7)), is
        # not counted as received.  Without -w that can be megabytes.
        assert max(end[k]["bytes"] for k in ("sum_sent", "sum_received")) \
            >= size
        assert end["sum_received"]["bytes"] >= size // 2
        assert wait(web.control, "! pidof iperf3 > /dev/null")
    spent = {k: v - before[k] for k, v in exits(web).items()}
    # Where it went: doorbells, interrupts, and waiting for both.
    for reason in ("stage2", "hlt", "intr"):
        assert spent[reason] > 0, spent
    assert web.output("dmesg --level=emerg,alert,crit,err") == ""


def test_reboot_stop(web):
    """From inside; then the power button, and everything is on the disk."""
    ctl = web.control
    digest = web.output("head -c 1048576 /dev/urandom > /root/file && "
                        "sha256sum < /root/file")
    web.ssh("reboot")
    web.disconnect()
    web.expect("debian login:")
    web.reachable()
    assert vm(ctl, "web")["boots"] == 2
    assert web.output("sha256sum < /root/file") == digest
    ctl.output("(joistctl wait web > /tmp/end; echo $? >> /tmp/end) &")
    ctl.output(f"joistctl stop web -t {m.LIMIT}")
    assert wait(ctl, "grep -q '^0$' /tmp/end"), ctl.run("cat /tmp/end")
    assert re.search("power-off by the guest", ctl.output("cat /tmp/end"))
    ctl.output("mount -t ext4 -o ro /dev/nvme0n1p3 /mnt")
    assert ctl.output("sha256sum < /mnt/root/file") == digest
    ctl.output("umount /mnt")
