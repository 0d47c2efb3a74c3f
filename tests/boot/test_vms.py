# SPDX-License-Identifier: BSD-2-Clause
"""Virtual machines under the Linux control VM, by joistctl and joist-vm: their
lives and ends, and what the tools say."""
import hashlib
import re
import time

import pytest

import machine as m
from vms import (GUEST, control, ctl_json, guest_run, nothing_left, put, said,
                 start_linux_guest, type_to, vm, wait, waited_for)

pytestmark = pytest.mark.xdist_group("vms")


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


def test_emulate(control):
    """Instructions on a device that joist-vm carries out, and one it does not."""
    run = "joistctl run x -m 16M --debug-exit 0xf4 -k /guests/"
    assert control.run(run + "emulate") == (43, "hello\n")
    code, text = control.run(run + "cannot 2>&1")
    assert code not in (0, 43) and re.search(
        r"cannot emulate an instruction on device memory at 0xfec00000 \(.*\): "
        r"rip 0x10\w+, 32-bit code 0f 01 15 00 00 c0 fe", text), text


def test_log_and_kill(control):
    control.output("joistctl start spin -m 16M -k /guests/spin")
    said(control, "spin", "hello")
    assert vm(control, "spin")["state"] == "running"
    assert control.run("joistctl start spin -m 16M -k /guests/exit")[0] != 0
    control.output("(joistctl wait spin; echo $? > /tmp/code) &")
    waited_for(control, "spin")
    control.output("joistctl kill spin; wait")
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
    control.run("echo by-console | joistctl console com -p 2 > /tmp/out &")
    assert wait(control, "joistctl log com -p 2 | grep -q by-console")
    control.output("kill $!")
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
    control.output("joistctl wait two > /tmp/end &")
    waited_for(control, "two")
    control.output(f"joistctl stop --all -t {m.LIMIT}; wait")
    assert "power-off by the guest" in control.output("cat /tmp/end")


def test_preserve(control):
    """What a guest that has ended leaves stays until it is let go."""
    for guest, code, why in (("triple", 4, "triple fault"),
                             ("off", 0, "power-off")):
        control.output(f"joistctl start keep -m 16M -k /guests/{guest} "
                       "--on-crash preserve --on-poweroff=preserve")
        assert wait(control, "joistctl status keep --json | grep -q preserved")
        end = vm(control, "keep")["last_end"]
        assert why in end and "rip 0x0" not in end
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


def test_stop_in_crash_loop(control):
    """A stop ends a VM that crashes as often as it is booted."""
    control.output("joistctl start loop -m 16M -k /guests/triple "
                   "--on-crash restart")
    assert wait(control, "joistctl status loop --json | "
                "grep -q '\"boots\": [1-9]*[02-9]'")
    control.output(f"joistctl stop loop -t {m.LIMIT}")
    assert wait(control, "! pidof joist-vm > /dev/null")


def test_stopped_manager(control):
    """A joist-vm that does not run hinders nobody, and can be ended."""
    for name in ("mute", "other"):
        control.output(f"joistctl start {name} -m 16M -k /guests/button")
        said(control, name, "hello")
    control.output(f"kill -STOP {vm(control, 'mute')['manager']}")
    assert vm(control, "mute")["state"] == "no answer"
    assert vm(control, "other")["state"] == "running"
    control.output(f"joistctl stop other -t {m.LIMIT}; joistctl kill mute")
    assert control.output("joistctl status --json").strip() == "[]"
    assert wait(control, "! pidof joist-vm > /dev/null")


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
    # Sockets have the folder's group: nobody has to give it to them by name.
    control.output("joistctl start spin -m 16M -k /guests/spin")
    said(control, "spin", "hello")
    assert control.output("stat -c '%a %u %G' /run/joist") == "2770 0 joist"
    assert control.output("stat -c '%a %u %G' /run/joist/spin.sock") == \
        "660 0 joist"
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


def check_vulnerabilities(control, name):
    """A guest's Linux takes itself for no more vulnerable than the control VM's."""
    listed = ("cd /sys/devices/system/cpu/vulnerabilities && "
              "grep -l '^Vulnerable' *")
    names = control.output(f"({listed}) || true").split()
    code = guest_run(control, name, f"test -e /sys/devices/system/cpu/"
                     f"vulnerabilities/spectre_v2 && ! ({listed}) | grep -vxE "
                     f"'{'|'.join(names) or '-'}'")
    assert code == 0, control.output(f"joistctl log {name} | tail -n 20")


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
    check_vulnerabilities(control, "two")
    # A reboot keeps the VM; power-off ends it with 0.
    type_to(control, "one", "reboot")
    said(control, "one", "guest: Linux .* on 2 CPUs", 2)
    assert vm(control, "one")["boots"] == 2
    control.output("(joistctl wait one; echo $? > /tmp/code) &")
    type_to(control, "one", "poweroff")
    assert wait(control, "! joistctl status one > /dev/null 2>&1")
    assert wait(control, "[ -s /tmp/code ]")
    assert control.output("cat /tmp/code; rm /tmp/code") == "0"
    # So does the power button, which they listen to.
    text = control.output(f"joistctl stop --all -t {m.LIMIT} 2>&1")
    assert "button pressed" in text and "killing" not in text, text


def cpu_ticks(control, pid):
    """User and system time of all of a process's threads."""
    text = control.output(f"cut -d ' ' -f 14,15 /proc/{pid}/stat")
    return sum(int(x) for x in text.split())


def test_taskset_nice(control):
    """A guest's virtual CPU is a thread like any other."""
    # Else each session has a share, whatever its threads' nice values are; Debian
    # 12's kernel leaves that off.
    control.output("echo 0 > /proc/sys/kernel/sched_autogroup_enabled")
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
    ("x -k /guests/exit -n bridge=br0,queues=9", "'9'"),
    ("x -k /guests/exit -n user,queues=2", "user network"),
    ("x -k /guests/exit -n tap=t,loopback", "user network"),
    ("x -k /guests/exit --vsock 2", "'2'"),
    ("x -k /guests/exit --vsock 4294967295", "4294967295"),
    ("x -k /guests/exit --console modem", "--console 'modem'"),
    ("x -k /guests/exit --balloon maybe", "--balloon 'maybe'"),
    ("x -k /guests/exit -s modem", "modem"),
    ("x -k /guests/exit -s file:", "file:"),
    ("x -k /guests/exit -s file:/none/x", "/none/x"),
    ("x -k /guests/exit -s unix:/etc/passwd", "/etc/passwd"),
    ("x -k /guests/exit -s none -s none -s none", "2 serial ports"),
    ("x -k /guests/exit --on-crash=stop", "'stop'"),
    ("x -k /guests/exit --on-error=stop", "'stop'"),
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
    # To a file: a terminal would be told of a start that takes long, too.
    code, text = control.run(f"joistctl start {args} > /tmp/said 2>&1 "
                             "< /dev/null; rc=$?; cat /tmp/said; (exit $rc)")
    assert code in (2, 64), text
    lines = text.splitlines()
    assert len(lines) == 1 and names in lines[0], text
