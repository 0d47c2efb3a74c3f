# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of virtual machines share: a control VM, and words for it.

One boot serves all tests of a module.  Each leaves the pool as full as before,
and nothing in joist.ko.  A module that imports these has both fixtures.
"""
import glob
import json
import os
import shlex
import subprocess
import time

import pytest

import machine as m

GUEST = "/usr/share/joist/guest"
LINUX = f"-k {GUEST}/vmlinux -r {GUEST}/initrd"
LINUX_MEM = "192M"
OBJECTS = "/sys/module/joist/parameters/objects"


def make_image(path, *args):
    subprocess.run([os.path.join(m.TOP, "guests/control/image/mkinitrd.py"),
                    path, "--bare", *args], check=True)
    return path


def guests_image(tmp, files=(), programs=()):
    """To be appended to the live image: small guests in /guests, what is to be
    appended to a Linux guest's initramfs, and programs for the control VM."""
    vsock = ["--program", os.path.join(m.BUILD, "vsock") + ":/bin/vsock"]
    tools = make_image(str(tmp / "tools.img"), *vsock)
    args = ["--file", f"{tools}:/guests/tools.img"]
    for path in [*glob.glob(os.path.join(m.BUILD, "guests", "*")),
                 *(str(tmp / name) for name in files)]:
        args += ["--file", f"{path}:/guests/{os.path.basename(path)}"]
    for name in programs:
        args += ["--program", os.path.join(m.BUILD, name) + f":/bin/{name}"]
    return make_image(str(tmp / "guests.img"), *args, *vsock)


@pytest.fixture(scope="module")
def control(request, start_linux_module, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("guests")
    # An image on top of another, as `create` would make for one more VM.
    for args in (["base.qcow2", "48M"],
                 ["-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *args],
                       cwd=tmp, check=True)
    # And a small one with something in it.
    (tmp / "small").write_bytes(b"JOIST\n" + bytes(range(256)) * 1023 +
                                bytes(250))
    subprocess.run(["qemu-img", "convert", "-O", "vmdk", "small",
                    "small.vmdk"], cwd=tmp, check=True)
    guests = guests_image(tmp, ("base.qcow2", "top.qcow2", "small",
                                "small.vmdk"), ("ko_test", "inject"))
    # A disk that outlives the control VM, see test_durable().
    disk = str(tmp / "disk.img")
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", disk, "256M"],
                   check=True)
    machine = start_linux_module(
        request.module.__name__.removeprefix("test_"), more=[m.HELPERS, guests], cpus=4, mem=2560,
        extra=["-drive", f"if=none,id=d,format=raw,file={disk}",
               "-device", "nvme,drive=d,serial=1"])
    yield machine
    machine.check_logs()


@pytest.fixture(autouse=True)
def nothing_left(control):
    """The pool, the list of VMs and the processes are as before."""
    before = pool_free(control)
    objects = control.output(f"cat {OBJECTS}")
    yield
    gone = wait(control, "! pidof joist-vm > /dev/null", 60)
    if not gone:
        # For the next test; this one has failed.
        control.run("killall -9 joist-vm")
        wait(control, "! pidof joist-vm > /dev/null")
    assert gone, "a joist-vm is left"
    assert status(control) == []
    assert pool_free(control) == before
    # A device node goes when the last look at it in sysfs has ended.
    assert wait(control, f"[ $(cat {OBJECTS}) = {objects} ]", 60), \
        f"joist.ko's memory: {objects} before, " + \
        control.output(f"cat {OBJECTS}")
    assert control.output("ls /dev/joist 2>/dev/null | wc -l") == "0"
    found = m.BAD.search(control.output("dmesg"))
    assert not found, f"in dmesg: {found.group(0)}"


def ctl_json(control, command):
    return json.loads(control.output(f"joistctl {command} --json"))


def pool_free(control):
    return ctl_json(control, "info")["pool_free"]


def status(control):
    return ctl_json(control, "status")


def wait(control, condition, limit=None):
    """Until a shell condition holds.  Most of the loop is there: it costs less
    than to ask each time."""
    end = time.monotonic() + (limit or control.limit)
    while control.run("for i in 1 2 3 4 5 6 7 8 9; do "
                      f"if {condition}; then break; fi; sleep 0.1; "
                      "false; done")[0] != 0:
        if time.monotonic() > end:
            return False
    return True


def said(control, name, text, times=1, through=""):
    """Until the guest's serial log has this, after commands to clean it."""
    assert wait(control, f"[ $(joistctl log {name} {through} | "
                f"grep -ac '{text}') -ge {times} ]"), \
        f"{name} does not say {text}: {control.run(f'joistctl log {name}')}; " \
        f"what it does: {exits(control, name)}, {exits(control, name)}"


def exits(control, name):
    """Of each vCPU, by reason; two of them tell a VM that hangs."""
    return control.run(f"joistctl stats {name} --json | grep -v ' 0,' | "
                       "tr -d '\\n '; sleep 1")


def type_to(control, name, line):
    """At the shell of the small guest, once it listens: what is typed before
    the shell has opened its terminal is lost."""
    assert wait(control, f"joistctl log {name} | awk '/guest: Linux/ {{ p = 0 }}"
                f" /{name}# / {{ p = 1 }} END {{ exit !p }}'"), \
        f"{name} shows no prompt: {control.run(f'joistctl log {name}')}"
    # What says that it has got there is what the guest does.
    control.run(f"printf '{line}\\r' | timeout 60 joistctl console {name} "
                "> /dev/null 2>&1 &")


def waited_for(control, name):
    """Somebody else's connection to the VM is there: a `joistctl wait`'s."""
    assert wait(control, f"[ $(grep -c /{name}.sock /proc/net/unix) -ge 2 ]")


def start_linux_guest(control, name, cpus=1, more=""):
    control.output(f"joistctl start {name} {LINUX} -m {LINUX_MEM} -c {cpus} "
                   f"-a 'console=ttyS0 quiet no_timer_check "
                   f"guest.name={name}' {more}")


def vm(control, name):
    return next(v for v in status(control) if v["name"] == name)


def put(control, path, text):
    control.output(f"echo {shlex.quote(text)} > {path}")


def guest_run(control, name, command, mark=[0]):
    """A command typed at the guest's shell: its status, once it has ended."""
    mark[0] += 1
    type_to(control, name, f"{command}; echo end-$(({mark[0]} + 1000))-$?")
    assert wait(control, f"joistctl log {name} | grep -aq "
                f"'^end-{mark[0] + 1000}-'"), \
        f"{command!r} does not end: {control.run(f'joistctl log {name}')}"
    text = control.output(f"kill $!; joistctl log {name} | grep -a "
                          f"'^end-{mark[0] + 1000}-'")
    return int(text.strip().split("-")[-1])


def check_hostile(control):
    """A guest that tries everything ends in one of the documented ways."""
    code, text = control.run("joistctl run h -m 16M --debug-exit 0xf4 "
                             "--on-reboot=destroy -k /guests/hostile 2>&1")
    assert "ports" in text, text
    assert code in (0, 3, 4, 10), (code, text)
    # It may be started again, and others live.
    assert control.run("joistctl run h -m 16M --debug-exit 0xf4 "
                       "-k /guests/exit")[0] == 43


def check_hostile_driver(control, machines):
    """virtio devices under a driver that does anything, then behaves.  A
    machine is its first disk, what is said of its second network card, and
    further options."""
    control.output("(echo JOIST; head -c 99994 /dev/zero) > /tmp/disk; "
                   "yes | head -c 99994 > /tmp/disk2; "
                   "ip link add br0 type bridge; ip link set br0 up")
    for first, allow, more in machines:
        code, text = control.run(
            "joistctl run h -m 16M -c 2 --debug-exit 0xf4 "
            f"-k /guests/hostile-virtio -d {first} -n bridge=br0 "
            f"-d /tmp/disk2,cd -n bridge=br0,queues=2{allow} {more} --vsock 9 "
            "--console console 2>&1")
        # It may have written to the disk, but could read it in the end.
        assert code in (3, 5) and "a good one" in text, (code, text)
    control.output("ip link del br0; rm /tmp/disk /tmp/disk2")
