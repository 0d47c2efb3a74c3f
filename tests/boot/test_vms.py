# SPDX-License-Identifier: BSD-2-Clause
"""Virtual machines under the Linux control VM, by joistctl and joist-vm.

One boot serves all tests here.  Each leaves the pool as full as before, and
nothing in joist.ko.
"""
import glob
import hashlib
import json
import os
import re
import shlex
import subprocess
import time

import pytest

import machine as m

pytestmark = pytest.mark.xdist_group("vms")
GUEST = "/usr/share/joist/guest"
LINUX = f"-k {GUEST}/vmlinux -r {GUEST}/initrd"
LINUX_MEM = "192M"
OBJECTS = "/sys/module/joist/parameters/objects"


@pytest.fixture(scope="module")
def control(start_linux_module, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("guests")
    guests = str(tmp / "guests.img")
    # An image on top of another, as `create` would make for one more VM.
    for args in (["base.qcow2", "48M"],
                 ["-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *args],
                       cwd=tmp, check=True)
    files = ["--file", f"{tmp}/base.qcow2:/guests/base.qcow2",
             "--file", f"{tmp}/top.qcow2:/guests/top.qcow2"]
    for path in glob.glob(os.path.join(m.BUILD, "guests", "*")):
        files += ["--file", f"{path}:/guests/{os.path.basename(path)}"]
    subprocess.run([os.path.join(m.TOP, "guests/control/image/mkinitrd.py"),
                    guests, "--bare", *files, "--program",
                    os.path.join(m.BUILD, "ko_test") + ":/bin/ko_test",
                    "--program",
                    os.path.join(m.BUILD, "inject") + ":/bin/inject"],
                   check=True)
    # A disk that outlives the control VM, see test_durable().
    disk = str(tmp / "disk.img")
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", disk, "256M"],
                   check=True)
    machine = start_linux_module(
        "vms", more=[m.HELPERS, guests], cpus=4, mem=2560,
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


def wait(control, condition, limit=m.LIMIT):
    """Until a shell condition holds."""
    end = time.monotonic() + limit
    while control.run(condition)[0] != 0:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def said(control, name, text, times=1):
    """Until the guest's serial log has this."""
    assert wait(control, f"[ $(joistctl log {name} | grep -ac '{text}') "
                f"-ge {times} ]"), \
        f"{name} does not say {text}: {control.run(f'joistctl log {name}')}"


def type_to(control, name, line):
    """At the shell of the small guest, once it listens: what is typed before
    the shell has opened its terminal is lost."""
    assert wait(control, f"joistctl log {name} | awk '/guest: Linux/ {{ p = 0 }}"
                f" /{name}# / {{ p = 1 }} END {{ exit !p }}'"), \
        f"{name} shows no prompt: {control.run(f'joistctl log {name}')}"
    control.run(f"printf '{line}\\r' | timeout 2 joistctl console {name} "
                "> /dev/null")


def start_linux_guest(control, name, cpus=1, more=""):
    control.output(f"joistctl start {name} {LINUX} -m {LINUX_MEM} -c {cpus} "
                   f"-a 'console=ttyS0 quiet no_timer_check "
                   f"guest.name={name}' {more}")


def vm(control, name):
    return next(v for v in status(control) if v["name"] == name)


def test_ko(control):
    """joist.ko's own test: lives, memory, kills, random arguments."""
    text = control.output("ko_test 50; rc=$?; true")
    found = re.search(r"^ko_test: (\d+) passed, (\d+) failed$", text, re.M)
    assert found and found.group(2) == "0" and int(found.group(1)) > 0, text
    control.output("rmmod joist && modprobe joist gid=970")


def test_exit_codes(control):
    run = "joistctl run x -m 16M --debug-exit 0xf4 -k /guests/"
    assert control.run(run + "exit") == (43, "hello\n")
    assert control.run(run + "triple")[0] == 4


def test_log_and_kill(control):
    control.output("joistctl start spin -m 16M -k /guests/spin")
    said(control, "spin", "hello")
    assert vm(control, "spin")["state"] == "running"
    assert control.run("joistctl start spin -m 16M -k /guests/exit")[0] != 0
    control.output("(joistctl wait spin; echo $? > /tmp/code) & sleep 1; "
                   "joistctl kill spin; wait")
    assert control.output("cat /tmp/code") == "6"


def test_pause_reset(control):
    control.output("joistctl start spin -m 16M -k /guests/spin")
    said(control, "spin", "hello")
    control.output("joistctl pause spin")
    assert wait(control, "joistctl status spin --json | grep -q paused")
    control.output("joistctl unpause spin")
    control.output("joistctl reset spin")
    said(control, "spin", "hello", 2)
    assert control.run("joistctl stop -f spin")[0] == 0


def put(control, path, text):
    control.output(f"echo {shlex.quote(text)} > {path}")


def test_configuration(control):
    """From a file, by name; what the command line says goes before it."""
    put(control, "/tmp/a.conf", "vm x { memory = 16M "
        "kernel = /guests/exit debug_exit = 0xf4 } "
        "vm y { kernel = /guests/spin memory = 24M }")
    assert control.run("joistctl -f /tmp/a.conf run x") == (43, "hello\n")
    assert control.run("joistctl -f /tmp/a.conf run x -k /guests/triple "
                       "2>/dev/null")[0] == 4
    code, text = control.run("joistctl run x 2>&1")
    assert code == 64 and "/etc/joist/joist.conf" in text
    control.output("joistctl load /tmp/a.conf; joistctl start y -c 2")
    said(control, "y", "hello")
    shown = ctl_json(control, "show y")
    assert (shown["memory"], shown["cpus"], shown["running"]) == \
        ("24M", "2", True)
    stopped = [v["name"] for v in ctl_json(control, "status --all")
               if v["state"] == "stopped"]
    assert "x" in stopped and "y" not in stopped
    # What another user has loaded is not ours.
    assert control.run("su joist -c 'joistctl show x' 2>&1")[0] == 2
    control.output("joistctl kill y; joistctl reload")
    assert control.run("joistctl show x 2>&1")[0] == 2
    # The image's own.
    assert ctl_json(control, "show small")["memory"] == "256M"
    put(control, "/tmp/b.conf", "vm x { } vm y { kernel = /guests/spin "
        "memory = big }")
    for command in ("-f /tmp/b.conf start y", "load /tmp/b.conf"):
        code, text = control.run(f"joistctl {command} 2>&1 | grep big")
        assert text.startswith("joistctl: /tmp/b.conf:1: "), text


def test_serial(control):
    """COM1 to a file, COM2 to a pseudo-terminal, and both to the tool."""
    start = "joistctl start com -m 16M -k /guests/com2 "
    control.output(start + "-s file:/tmp/com1 -s pty")
    said(control, "com", "hello")
    assert control.output("cat /tmp/com1") == "hello"
    com1, com2 = vm(control, "com")["serial"]
    assert com1 == "file:/tmp/com1" and com2.startswith("pty:/dev/pts/")
    control.output(f"echo from-outside > {com2[4:]}")
    assert wait(control, "joistctl log com -p 2 | grep -q from-outside")
    control.run("echo by-console | timeout 2 joistctl console com -p 2 "
                "> /tmp/out")
    assert "by-console" in control.output("joistctl log com -p 2")
    # Who watches is not heard, and hears.
    control.run("echo unseen > /tmp/in; joistctl console com -p 2 -w "
                "< /tmp/in > /tmp/out & echo $! > /tmp/watcher")
    assert wait(control, f"echo watched > {com2[4:]}; grep -q watched /tmp/out")
    control.output("kill $(cat /tmp/watcher)")
    assert "unseen" not in control.output("joistctl log com -p 2")
    control.output("joistctl reset com")
    said(control, "com", "hello", 2)
    assert control.output("cat /tmp/com1; rm /tmp/com1") == "hello\nhello"
    control.output("joistctl kill com")
    # A socket is there as long as the VM, and one VM's.
    assert wait(control, "! pidof joist-vm > /dev/null")
    control.output(start + "-s unix:/tmp/com.sock")
    assert control.run("grep -q /tmp/com.sock /proc/net/unix")[0] == 0
    code, text = control.run("joistctl start b -m 16M -k /guests/com2 "
                             "-s unix:/tmp/com.sock 2>&1")
    assert code == 2 and "in use" in text
    for command in ("log", "console"):
        code, text = control.run(f"joistctl {command} com -p 2 2>&1")
        assert code == 2 and "serial port" in text
    control.output("joistctl kill com")
    assert wait(control, "[ ! -e /tmp/com.sock ]")


def test_create(control):
    control.output("joistctl create /tmp/new.img -s 3M")
    assert control.output("stat -c %s /tmp/new.img") == str(3 << 20)
    code, text = control.run("joistctl create /tmp/new.img -s 3M 2>&1")
    assert code == 2 and "/tmp/new.img" in text
    control.output("rm /tmp/new.img")


def test_autostart_stop_all(control):
    put(control, "/tmp/a.conf", "".join(
        f"vm {name} {{ kernel = /guests/button memory = 16M "
        f"autostart = {auto} }} " for name, auto in
        (("one", "yes"), ("two", "yes"), ("three", "no"))))
    text = control.output("joistctl -f /tmp/a.conf autostart")
    assert text.splitlines() == ["one: started", "two: started"]
    for name in ("one", "two"):
        said(control, name, "hello")
    text = control.output("joistctl -f /tmp/a.conf autostart")
    assert text.splitlines() == ["one: runs already", "two: runs already"]
    control.output("joistctl wait two > /tmp/end & sleep 1; "
                   f"joistctl stop --all -t {m.LIMIT}; wait")
    assert "power-off by the guest" in control.output("cat /tmp/end")


def test_preserve(control):
    """What a guest that has ended leaves stays until it is let go."""
    for guest, code, why in (("triple", 4, "triple fault"),
                             ("off", 0, "power-off")):
        control.output(f"joistctl start keep -m 16M -k /guests/{guest} "
                       "--on-crash preserve --on-poweroff=preserve")
        assert wait(control, "joistctl status keep --json | grep -q preserved")
        assert why in vm(control, "keep")["last_end"]
        assert control.run("joistctl wait keep > /dev/null")[0] == code
        code, text = control.run("joistctl pause keep 2>&1")
        assert code == 2 and "preserved" in text
        control.output("joistctl reset keep")
        assert wait(control, "joistctl status keep --json | "
                    "grep -q '\"boots\": 2'")
        assert wait(control, "joistctl status keep --json | grep -q preserved")
        if guest == "off":
            said(control, "keep", "hello", 2)
        control.output("joistctl stop keep")
        assert wait(control, "! pidof joist-vm > /dev/null")


def test_restart(control):
    """A VM goes on under its name when its machine crashes or powers off."""
    control.output("joistctl start again -m 16M -k /guests/spin "
                   "--on-crash restart")
    said(control, "again", "hello")
    before = vm(control, "again")
    control.output(f"kill -SEGV {before['pid']}")
    said(control, "again", "hello", 2)
    after = vm(control, "again")
    assert (after["id"], after["manager"], after["boots"]) == \
        (before["id"], before["manager"], 2)
    assert "signal 11" in after["last_end"]
    assert control.run("logread | grep -q 'again: the device process died of "
                       "signal 11.*restarting'")[0] == 0
    control.output("joistctl kill again; joistctl start again -m 16M "
                   "-k /guests/off --on-poweroff restart")
    said(control, "again", "hello", 2)
    control.output("joistctl kill again")


@pytest.mark.parametrize("which", ["pid", "manager"])
def test_kill_9(control, which):
    control.output("joistctl start spin -m 64M -k /guests/spin")
    said(control, "spin", "hello")
    control.output(f"kill -9 {vm(control, 'spin')[which]}")


def test_unprivileged(control):
    """Who is in group joist needs nothing more, who is not gets nothing."""
    run = "joistctl run x -m 16M --debug-exit 0xf4 -k /guests/exit"
    assert control.run(f"su joist -c '{run}'") == (43, "hello\n")
    control.output("su joist -c 'joistctl start spin -m 16M -k /guests/spin'")
    said(control, "spin", "hello")
    for command in (run, "joistctl status", "joistctl kill spin"):
        code, text = control.run(f"su nobody -s /bin/sh -c '{command}' 2>&1")
        assert code != 0 and "group joist" in text
    assert vm(control, "spin")["state"] == "running"
    control.output("su joist -c 'joistctl kill spin'")


def test_cycles(control):
    """1,000 VMs created, run and destroyed."""
    text = control.output(
        "i=0; while [ $i -lt 1000 ]; do joistctl run c$i -m 8M "
        "--debug-exit 0xf4 -k /guests/exit > /tmp/out; "
        "[ $? = 43 ] || echo bad $i; i=$((i + 1)); done", 2 * m.LIMIT)
    assert text == ""
    assert control.output("cat /sys/module/joist/refcnt") == "0"


def test_kill_at_random(control):
    """200 times joist-vm is killed at some moment of its life."""
    control.output(
        "i=0; while [ $i -lt 200 ]; do joist-vm k$i -m 8M -k /guests/spin "
        "> /dev/null 2>&1 & p=$!; "
        "usleep $(($(od -An -N2 -tu2 /dev/urandom) * 2)); "
        "kill -9 $p; wait $p; i=$((i + 1)); done; true", 2 * m.LIMIT)
    assert wait(control, "! pidof joist-vm > /dev/null")
    assert wait(control, "[ $(cat /sys/module/joist/refcnt) = 0 ]")


def expected_sum(blocks, text):
    size = blocks * 4096
    line = (text + "\n").encode()
    return hashlib.sha256((line * (size // len(line) + 1))[:size]).hexdigest()


def test_four_linux_guests(control):
    """At the same time; each computes, and the control VM answers."""
    names = ["one", "two", "three", "four"]
    for name in names:
        start_linux_guest(control, name, cpus=2)
    for name in names:
        said(control, name, "guest: Linux .* on 2 CPUs")
    for name in names:
        type_to(control, name, f"sum4k 1024 {name}")
        assert vm(control, name)["vcpus"] == 2
    for name in names:
        said(control, name, expected_sum(1024, name))
    # A reboot keeps the VM; power-off ends it with 0.
    type_to(control, "one", "reboot")
    said(control, "one", "guest: Linux .* on 2 CPUs", 2)
    assert vm(control, "one")["boots"] == 2
    control.output("(joistctl wait one; echo $? > /tmp/code) &")
    type_to(control, "one", "poweroff")
    assert wait(control, "! joistctl status one > /dev/null 2>&1")
    assert wait(control, "[ -s /tmp/code ]")
    assert control.output("cat /tmp/code; rm /tmp/code") == "0"
    for name in names[1:]:
        control.output(f"joistctl kill {name}")


def guest_run(control, name, command, mark=[0]):
    """A command typed at the guest's shell: its status, once it has ended."""
    mark[0] += 1
    type_to(control, name, f"{command}; echo end-$(({mark[0]} + 1000))-$?")
    assert wait(control, f"joistctl log {name} | grep -aq "
                f"'^end-{mark[0] + 1000}-'"), \
        f"{command!r} does not end: {control.run(f'joistctl log {name}')}"
    text = control.output(f"joistctl log {name} | grep -a "
                          f"'^end-{mark[0] + 1000}-'")
    return int(text.strip().split("-")[-1])


def test_disk(control):
    """A file system: made, filled, found again after a reboot and a kill."""
    control.output("truncate -s 48M /tmp/disk")
    start = "-d /tmp/disk,serial=abc-123"
    mount = "mkdir -p /m && mount -t ext4 /dev/vda /m"
    start_linux_guest(control, "disk", cpus=2, more=start)
    said(control, "disk", "guest: Linux .* on 2 CPUs")
    assert guest_run(control, "disk", "grep abc-123 "
                     "/sys/block/vda/serial") == 0
    assert guest_run(control, "disk", "mkfs.ext4 -q /dev/vda") == 0
    assert guest_run(control, "disk", mount) == 0
    assert guest_run(control, "disk", "cd /m && dd if=/dev/urandom bs=64k "
                     "count=160 of=big && sha256sum big > sums") == 0
    # It knows where it is, and which one it is.
    assert guest_run(control, "disk", "cd /sys/class/dmi/id && grep Joist "
                     "sys_vendor && grep disk product_serial") == 0
    # One VM at a time writes to it.
    code, text = control.run(f"joistctl start other {LINUX} -d /tmp/disk 2>&1")
    assert code == 2 and "in use" in text, text
    # A reboot with the file system mounted; /m is busy, so only synced.
    assert guest_run(control, "disk", "sync") == 0
    type_to(control, "disk", "reboot")
    said(control, "disk", "guest: Linux .* on 2 CPUs", 2)
    assert guest_run(control, "disk", mount) == 0
    assert guest_run(control, "disk", "cd /m && sha256sum -c sums") == 0
    # What has been flushed survives its device process.
    assert guest_run(control, "disk", "dd if=big of=more bs=64k count=40 "
                     "conv=fsync && sha256sum more > sum2 && sync") == 0
    control.output(f"kill -9 {vm(control, 'disk')['manager']}")
    assert wait(control, "! pidof joist-vm > /dev/null")
    control.output("head -c 1048576 /dev/urandom > /tmp/disk2")
    start_linux_guest(control, "disk", more=start + " -d /tmp/disk2,ro")
    said(control, "disk", "guest: Linux .* on 1 CPU")
    assert guest_run(control, "disk", mount) == 0
    assert guest_run(control, "disk",
                     "cd /m && sha256sum -c sums && sha256sum -c sum2") == 0
    assert guest_run(control, "disk", "cd / && umount /m && "
                     "fsck.ext4 -fn /dev/vda") == 0
    # The source of random numbers: 4 KiB of them do not shrink.
    assert guest_run(control, "disk", "modprobe virtio_rng && head -c 4096 "
                     "/dev/hwrng | gzip | wc -c | grep 4[01]..") == 0
    # The second one is read-only, and what it should be.
    assert guest_run(control, "disk", "echo > /dev/vdb") != 0
    digest = control.output("sha256sum < /tmp/disk2").split()[0]
    assert guest_run(control, "disk",
                     f"sha256sum /dev/vdb | grep {digest}") == 0
    control.output("joistctl kill disk; rm /tmp/disk /tmp/disk2")


def test_qcow2(control):
    """An image in a format, on top of another: by who is in group joist."""
    control.output("mkdir /tmp/q; cp /guests/*.qcow2 /tmp/q; "
                   "chown -R joist /tmp/q; chmod 444 /tmp/q/base.qcow2")
    start = (f"joistctl start cow {LINUX} -m {LINUX_MEM} "
             "-d /tmp/q/top.qcow2,format=qcow2 -a 'console=ttyS0 quiet "
             "no_timer_check guest.name=cow'")
    mount = "mkdir -p /m && mount -t ext4 /dev/vda /m"
    control.output(f'su joist -c "{start}"')
    said(control, "cow", "guest: Linux .* on 1 CPU")
    assert guest_run(control, "cow", f"mkfs.ext4 -q /dev/vda && {mount}") == 0
    assert guest_run(control, "cow", "cd /m && dd if=/dev/urandom of=big "
                     "bs=64k count=80 && sha256sum big > sums && sync") == 0
    # One VM at a time writes to it.
    code, text = control.run(f"{start.replace('cow', 'two', 1)} 2>&1")
    assert code == 2 and "top.qcow2" in text and "in use" in text, text
    # What has been flushed survives joist-vm, and the daemon ends with it.
    control.output(f"kill -9 {vm(control, 'cow')['manager']}")
    assert wait(control, "! pidof joist-vm qemu-storage-daemon > /dev/null")
    control.output(start)
    said(control, "cow", "guest: Linux .* on 1 CPU")
    assert guest_run(control, "cow", f"{mount} && cd /m && "
                     "sha256sum -c sums") == 0
    assert guest_run(control, "cow", "cd / && umount /m && "
                     "fsck.ext4 -fn /dev/vda") == 0
    # Without the daemon the guest gets errors, and goes on.
    control.output("kill -9 $(pidof qemu-storage-daemon)")
    assert wait(control, "logread | grep -q 'cow: disk /tmp/q/top.qcow2: "
                "qemu-storage-daemon died of signal 9'")
    assert guest_run(control, "cow", "dd if=/dev/urandom of=/dev/vda bs=64k "
                     "count=1 conv=fsync") != 0
    control.output("joistctl kill cow; rm -r /tmp/q")


def test_sandbox(control):
    """A machine process that somebody has taken over can do little."""
    control.output("joistctl start other -m 16M -k /guests/spin")
    for who, as_user in (("root", "{}"), ("joist", "su joist -c '{}'")):
        control.output(as_user.format("joistctl start box -m 16M "
                                      "-k /guests/spin"))
        said(control, "box", "hello")
        pid = vm(control, "box")["pid"]
        text = control.output(f"cat /proc/{pid}/status")
        uid = int(re.search(r"^Uid:\s+(\d+)", text, re.M).group(1))
        assert uid > 1 << 24 if who == "root" else uid == 970
        assert "NoNewPrivs:\t1" in text and "Seccomp:\t2" in text
        assert re.search(r"^CapEff:\s+0+$", text, re.M)
        assert control.output(f"ls -A /proc/{pid}/root/") == ""
        assert len(control.output(f"cat /proc/{pid}/net/dev")
                   .splitlines()) == 3
        # getpid() is in the list, so this is how a call is made: ...
        assert control.output(f"inject {pid} 39") == str(pid)
        assert vm(control, "box")["state"] == "running"
        # ... and open() is not.
        control.run(f"inject {pid} 2 0 0")
        assert wait(control, "! joistctl status box > /dev/null 2>&1")
        assert wait(control, "logread | tail -n 3 | grep -q 'box: the device "
                    "process made a system call that its sandbox forbids'")
    assert vm(control, "other")["state"] == "running"
    control.output("joistctl kill other")


def guest_fetches(control, name, address, port, size):
    """The guest gets so many zero bytes from the control VM: their digest."""
    digest = hashlib.sha256(bytes(size)).hexdigest()
    control.run(f"(head -c {size} /dev/zero | nc -l -p {port}) "
                "> /dev/null 2>&1 &")
    assert wait(control, f"netstat -ltn | grep -q :{port}")
    assert guest_run(control, name, f"nc {address} {port} | sha256sum | "
                     f"grep {digest}") == 0
    return digest


def test_net(control):
    """Two guests on a bridge with the control VM, and one that lies."""
    net = "192.168.77."
    control.output("ip link add br0 type bridge; ip link set br0 up; "
                   f"ip addr add {net}1/24 dev br0")
    # The first one's queues are the kernel's, the second one's joist-vm's.
    for n, name, allow in ((2, "one", ",allow"), (3, "two", "")):
        control.output(
            f"joistctl start {name} {LINUX} -m {LINUX_MEM} -n bridge=br0{allow}"
            f" -a 'console=ttyS0 quiet no_timer_check guest.name={name} "
            f"guest.ip={net}{n}'")
    for name in ("one", "two"):
        said(control, name, "guest: Linux .* on 1 CPU")
    threads = control.output("ps -o pid,args | grep '[[]vhost-'").splitlines()
    assert [t.split("-")[1].strip("]") for t in threads] == \
        [str(vm(control, "one")["pid"])]
    control.output(f"ping -c 3 -w 60 {net}2; ping -c 3 -w 60 {net}3")
    assert guest_run(control, "one", f"ping -c 3 -w 60 {net}3") == 0
    # Much in both directions.
    size = 8 << 20
    digest = guest_fetches(control, "one", f"{net}1", 5001, size)
    # Its input must not end before the other side has sent everything.
    control.run("mkfifo /tmp/never; (nc -l -p 5002 0<> /tmp/never | "
                "sha256sum) > /tmp/sum &")
    assert wait(control, "netstat -ltn | grep -q :5002")
    assert guest_run(control, "two",
                     f"head -c {size} /dev/zero | nc {net}1 5002") == 0
    assert wait(control, f"grep {digest} /tmp/sum")
    # A reboot begins afresh.
    type_to(control, "one", "reboot")
    said(control, "one", "guest: Linux .* on 1 CPU", 2)
    assert guest_run(control, "one", f"ping -c 3 -w 60 {net}3") == 0
    # Another's address is not sent from, but where it is allowed.
    assert guest_run(control, "one", "ifconfig eth0 hw ether "
                     f"4a:6f:00:00:00:02 && ping -c 2 -w 60 {net}1") == 0
    assert guest_run(control, "two", "ifconfig eth0 hw ether "
                     f"4a:6f:00:00:00:01 && ! ping -c 2 -w 5 {net}1") == 0
    control.output("joistctl kill one; joistctl kill two; ip link del br0; "
                   "rm /tmp/sum /tmp/never")


def test_net_user(control):
    """A network without a bridge, by who is in group joist."""
    start = (f"joistctl start user {LINUX} -m {LINUX_MEM} "
             "-n user,forward=tcp::8022:80 -a 'console=ttyS0 quiet "
             "no_timer_check guest.name=user guest.ip=10.0.2.15'")
    control.output(f'su joist -c "{start}"')
    said(control, "user", "guest: Linux .* on 1 CPU")
    assert guest_run(control, "user", "ping -c 2 -w 60 10.0.2.2") == 0
    # Out: 10.0.2.2 is the control VM's own address to itself.
    guest_fetches(control, "user", "10.0.2.2", 5003, 1 << 20)
    # In, by the forwarded port; somebody else cannot have that, too.
    type_to(control, "user", "echo from-inside | nc -l -p 80 &")
    assert wait(control, "nc 127.0.0.1 8022 < /dev/null | grep from-inside")
    code, text = control.run(f"{start.replace('user', 'two', 1)} 2>&1")
    assert code == 2 and "8022" in text and "in use" in text, text
    control.output("joistctl kill user")
    assert wait(control, "! pidof joist-net > /dev/null")


def cpu_ticks(control, pid):
    """User and system time of all of a process's threads."""
    text = control.output(f"cut -d ' ' -f 14,15 /proc/{pid}/stat")
    return sum(int(x) for x in text.split())


def test_taskset_nice(control):
    """A guest's virtual CPU is a thread like any other."""
    pids = []
    for name in ("nice", "mean"):
        control.output(f"joistctl start {name} -m 16M -k /guests/spin")
        said(control, name, "hello")
        pids.append(vm(control, name)["pid"])
        control.output(f"for t in /proc/{pids[-1]}/task/*; do "
                       "taskset -p 4 ${t##*/}; done")
    control.output(f"for t in /proc/{pids[0]}/task/*; do "
                   "renice -n 19 -p ${t##*/}; done")
    start = [cpu_ticks(control, pid) for pid in pids]
    end = time.monotonic() + m.LIMIT
    while True:
        used = [cpu_ticks(control, p) - s for p, s in zip(pids, start)]
        # Those that run are virtual CPUs; the others wait for work.
        where = control.output("; ".join(
            f"cut -d ' ' -f 3,39 /proc/{p}/task/*/stat | grep R" for p in pids))
        assert set(where.splitlines()) == {"R 2"}
        if sum(used) >= 600 or time.monotonic() > end:
            break
    assert sum(used) >= 600 and used[1] > 3 * used[0]
    control.output("joistctl kill nice; joistctl kill mean")


def test_hostile(control):
    """A guest that tries everything ends in one of the documented ways."""
    code, text = control.run("joistctl run h -m 16M --debug-exit 0xf4 "
                             "--on-reboot=destroy -k /guests/hostile 2>&1")
    assert "ports" in text, text
    assert code in (0, 3, 4, 10), (code, text)
    # It may be started again, and others live.
    assert control.run("joistctl run h -m 16M --debug-exit 0xf4 "
                       "-k /guests/exit")[0] == 43


def test_hostile_driver(control):
    """virtio devices under a driver that does anything, then behaves."""
    control.output("(echo JOIST; head -c 99994 /dev/zero) > /tmp/disk; "
                   "ip link add br0 type bridge; ip link set br0 up")
    for allow in ("", ",allow"):
        code, text = control.run(
            "joistctl run h -m 16M --debug-exit 0xf4 -k /guests/hostile-virtio "
            "-d /tmp/disk -n bridge=br0 -d /bin/busybox,ro "
            f"-n bridge=br0{allow} 2>&1")
        # It may have written to the disk, but could read it in the end.
        assert code in (3, 5) and "a good one" in text, (code, text)
    control.output("ip link del br0; rm /tmp/disk")


BAD_STARTS = [
    ("x -k /none", "/none"),
    ("x -k /etc", "/etc"),
    ("x -k /etc/passwd", "passwd"),
    ("x -k /tmp/bz", "bz"),
    ("x -k /tmp/elf", "elf"),
    ("x -k /dev/null", "/dev/null"),
    ("x", "kernel"),
    ("x -k /guests/exit -r /none", "/none"),
    ("x -k /guests/exit -m 1000000G", "1024000000 MiB"),
    ("x -k /guests/exit -m 100G", "memory"),
    ("x -k /guests/exit -m 0", "0"),
    ("x -k /guests/exit -m big", "big"),
    ("x -k /guests/exit -c 0", "virtual CPU"),
    ("x -k /guests/exit -c 1000", "1000"),
    ("x -k /guests/exit -c many", "many"),
    ("'' -k /guests/exit", "name"),
    ("a/b -k /guests/exit", "a/b"),
    ("a" * 100 + " -k /guests/exit", "a" * 100),
    ("x -k /guests/exit --frob", "frob"),
    ("x y -k /guests/exit", "y"),
    ("x -k /guests/exit -d /none", "/none"),
    ("x -k /guests/exit -d /etc", "/etc"),
    ("x -k /guests/exit -d /dev/null", "/dev/null"),
    ("x -k /guests/exit -d ''", "path"),
    ("x -k /guests/exit -d /tmp/bz,rw", "rw"),
    ("x -k /guests/exit -d /tmp/bz,serial=", "serial"),
    ("x -k /guests/exit -d /tmp/bz,serial=123456789012345678901",
     "123456789012345678901"),
    ("x -k /guests/exit" + 17 * " -d /tmp/bz,ro", "16 disks"),
    ("x -k /guests/exit -d /tmp/bz -d /tmp/bz", "in use"),
    ("x -k /guests/exit -d /tmp/bz,format=iso", "iso"),
    ("x -k /guests/exit -d /none,format=qcow2", "/none"),
    ("x -k /guests/exit -d /tmp/bz,format=qcow2", "/tmp/bz"),
    ("x -k /guests/exit -n bridge=none", "none"),
    ("x -k /guests/exit -n bridge=lo", "lo"),
    ("x -k /guests/exit -n tap=lo", "lo"),
    ("x -k /guests/exit -n tap=a/b", "a/b"),
    ("x -k /guests/exit -n tap=a,bridge=b", "either"),
    ("x -k /guests/exit -n mac=4a:6f:00:00:00:01", "either"),
    ("x -k /guests/exit -n bridge=br0,mac=01:00:00:00:00:00",
     "01:00:00:00:00:00"),
    ("x -k /guests/exit -n bridge=br0,mac=4a:6f:00:00:00", "4a:6f"),
    ("x -k /guests/exit -n bridge=br0,speed=9", "speed"),
    ("x -k /guests/exit -s modem", "modem"),
    ("x -k /guests/exit -s file:", "file:"),
    ("x -k /guests/exit -s file:/none/x", "/none/x"),
    ("x -k /guests/exit -s unix:/etc/passwd", "/etc/passwd"),
    ("x -k /guests/exit -s none -s none -s none", "2 serial ports"),
    ("x -k /guests/exit --on-crash=stop", "'stop'"),
    ("x --config /none", "/none"),
    ("x --config /etc/joist/joist.conf", "'x'"),
    ("x -k /guests/exit -n user,tap=a", "either"),
    ("x -k /guests/exit -n tap=a,forward=tcp::1:2", "tcp::1:2"),
    ("x -k /guests/exit -n user,forward=tcp::99999:80", "99999"),
]


@pytest.mark.parametrize("args,names", BAD_STARTS,
                         ids=[str(n) for n in range(len(BAD_STARTS))])
def test_bad_start(control, args, names):
    """One line that names the thing, an exit code, nothing left behind."""
    control.output(f"head -c 1000000 {GUEST}/vmlinuz > /tmp/bz; "
                   f"head -c 1000000 {GUEST}/vmlinux > /tmp/elf")
    code, text = control.run(f"joistctl start {args} 2>&1 < /dev/null")
    assert code in (2, 64), text
    lines = text.splitlines()
    assert len(lines) == 1 and names in lines[0], text


def acks(text, names):
    """The last block in each directory whose flush had ended; -1: none."""
    return {d: max([-1, *map(int, re.findall(rf"^ack {d} (\d+)$", text, re.M))])
            for d in names}


def durable_start(control):
    control.output(
        f"joistctl start dur {LINUX} -m {LINUX_MEM} -d /mnt/raw "
        "-d /mnt/top.qcow2,format=qcow2 "
        "-a 'console=ttyS0 quiet no_timer_check guest.name=dur'")
    said(control, "dur", "guest: Linux .* on 1 CPU")


DURABLE_MOUNT = ("mkdir -p /raw /qcow2 && mount -t ext4 /dev/vda /raw && "
                 "mount -t ext4 /dev/vdb /qcow2")


def durable_check(control, last):
    """In a new guest: all of them are there, and the file systems good."""
    assert guest_run(control, "dur", DURABLE_MOUNT) == 0
    for name, n in last.items():
        assert guest_run(control, "dur", f"durable check {name} {n}") == 0
    for name, dev in (("/raw", "vda"), ("/qcow2", "vdb")):
        assert guest_run(control, "dur", f"umount {name} && fsck.ext4 -fn "
                         f"/dev/{dev}") == 0


def test_durable(control):
    """What a guest has flushed outlives joist-vm, and the machine: the last
    test, as the control VM begins afresh."""
    mount = "mount -t ext4 /dev/nvme0n1 /mnt"
    control.output(f"{mount} && cp /guests/*.qcow2 /mnt && "
                   "truncate -s 48M /mnt/raw && sync")
    durable_start(control)
    assert guest_run(control, "dur", "mkfs.ext4 -q /dev/vda && mkfs.ext4 -q "
                     f"/dev/vdb && {DURABLE_MOUNT}") == 0
    control.run("joistctl console dur < /dev/null > /tmp/acks &")
    type_to(control, "dur", "durable write /raw & durable write /qcow2 &")
    names = ["/raw", "/qcow2"]
    for name in names:
        assert wait(control, f"grep -q 'ack {name} 5' /tmp/acks")
    control.output(f"kill -9 {vm(control, 'dur')['manager']}")
    assert wait(control, "! pidof joist-vm qemu-storage-daemon > /dev/null")
    last = acks(control.output("tr -d '\\r' < /tmp/acks"), names)
    durable_start(control)
    durable_check(control, last)
    # The same, and the reset button of the whole machine.
    more = ["/raw/more", "/qcow2/more"]
    assert guest_run(control, "dur", f"{DURABLE_MOUNT} && mkdir "
                     f"{' '.join(more)} && sync") == 0
    type_to(control, "dur", "durable write /raw/more & "
            "durable write /qcow2/more &")
    start = control.agent.at
    control.agent.send("joistctl console dur < /dev/null\n")
    while min(acks(control.agent.text[start:], more).values()) < 5:
        control.agent.expect(r"^ack \S+ \d+$")
    control.qmp("system_reset")
    # Perhaps in the middle of a line.
    control.agent.expect(r"agent-ready$")
    last.update(acks(control.agent.text[start:], more))
    control.output(mount)
    durable_start(control)
    durable_check(control, last)
    control.output("joistctl kill dur")
    assert wait(control, "! pidof joist-vm qemu-storage-daemon > /dev/null")
    control.output("umount /mnt")
