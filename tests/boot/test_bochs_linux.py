# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Linux as control VM on Intel VMX, in Bochs, and guests under it:
Linux with a disk and a network card, firmware from a disk, hostile ones.

A boot there costs minutes, so this is one test that checks much.
"""
import hashlib
import json
import os
import subprocess
import time

import pytest

import bochs as b
import machine as m
from vms import check_hostile, check_hostile_driver, guests_image

MIB = 1 << 20
CPUS = 2
DISK_MIB, FILE_MIB = 32, 2
FETCHED = MIB // 2
NET = "192.168.77."
GUEST = "/usr/share/joist/guest"
GUEST_MEM = "128M"
GUEST_ARGS = "console=ttyS0 quiet mitigations=off cryptomgr.notests"
BLOB = "/blob"
GRUB = f"""
set timeout=0
hashsum --hash sha256 {BLOB}
echo grub-has-read-it
halt
"""


def boot_disk(tmp_path):
    """An image with a GRUB on it that sums up a file there, and switches off;
    what that sum is."""
    tree = tmp_path / "tree"
    os.makedirs(tree / "boot" / "grub")
    (tree / "boot" / "grub" / "grub.cfg").write_text(GRUB)
    blob = os.urandom(FILE_MIB * MIB // 8)
    (tree / BLOB.lstrip("/")).write_bytes(blob)
    path = str(tmp_path / "disk.img")
    subprocess.run(["grub-mkrescue", "-o", path, str(tree)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.truncate(path, DISK_MIB * MIB)
    return path, hashlib.sha256(blob).hexdigest()


@pytest.fixture
def control(request, start, agent_image, tmp_path):
    disk, digest = boot_disk(tmp_path)
    iso = str(tmp_path / "bochs.iso")
    m.make_iso(iso, elf=m.RELEASE, control=m.VMLINUX, args=b.LINUX_ARGS,
               initrd=[m.BOCHS_INITRD, guests_image(tmp_path), agent_image])
    machine = b.Bochs("bochs-linux", iso, cpus=CPUS, disk=disk)
    machine.boot_digest = digest
    request.node.machines.append(machine)
    machine.ready()
    yield machine
    machine.check_logs()


def wait(control, condition):
    """Until a shell condition holds.  The loop is there: it costs less."""
    end = time.monotonic() + b.LIMIT
    while control.run(f"for i in 1 2 3 4 5 6 7 8 9; do {condition} && break; "
                      f"sleep 0.5; done; {condition}")[0] != 0:
        if time.monotonic() > end:
            return False
    return True


def info(control):
    return json.loads(control.output("joistctl info --json"))


def check_machine(control):
    assert control.output("nproc") == str(CPUS)
    for cpu in range(CPUS):
        assert control.output(f"taskset {1 << cpu:x} sh -c "
                              "'cut -d \" \" -f 39 /proc/self/stat'") \
            == str(cpu)
    flags = control.output("grep -m 1 ^flags /proc/cpuinfo").split()
    assert "lm" in flags and "vmx" not in flags
    got = info(control)
    assert got["vendor"] == "vmx" and got["pcpus"] == CPUS
    assert control.output("lsmod | grep -c '^joist '") == "1"


def check_disk(control):
    """A file of random data, unmounted, and read from the disk itself."""
    path = control.output("readlink -f /sys/block/sda/device")
    assert "/ata" in path
    control.output(f"dd if=/dev/urandom of=/tmp/data bs=1M count={FILE_MIB}")
    digest = control.output("sha256sum < /tmp/data")
    control.output("mke2fs -F /dev/sda && "
                   "mount -t ext4 /dev/sda /mnt && cp /tmp/data /mnt/data && "
                   "umount /mnt && rm /tmp/data && "
                   "echo 3 > /proc/sys/vm/drop_caches && "
                   "mount -t ext4 -o ro /dev/sda /mnt")
    assert control.output("sha256sum < /mnt/data") == digest
    control.output("umount /mnt")


def check_nic(control, served):
    path = control.output("readlink -f /sys/class/net/eth0/device/driver")
    assert path.endswith("/e1000")
    assert wait(control, "ip -4 addr show eth0 | grep -q inet"), "no address"
    got = control.output(f"wget -q -O - http://10.0.2.2:{served.port}/"
                         f"{FETCHED} | sha256sum")
    assert got.split()[0] == served.digest(FETCHED)


def said(control, name, text):
    assert wait(control, f"joistctl log {name} | grep -aq '{text}'"), \
        f"{name} does not say {text}: {control.run(f'joistctl log {name}')}"


def type_to(control, name, line):
    control.run(f"printf '{line}\\r' | timeout 2 joistctl console {name} "
                "> /dev/null")


def check_devices(control, name):
    """virtio disk and network card: what the guest reads, writes and sends."""
    digest = control.output("sha256sum < /tmp/disk").split()[0]
    type_to(control, name, "sha256sum /dev/vda")
    said(control, name, digest)
    type_to(control, name, "echo written-by-guest | dd of=/dev/vda bs=512 "
            "seek=8 conv=fsync; echo status-$((40 + $?))")
    said(control, name, "status-40")
    assert control.output("dd if=/tmp/disk bs=512 skip=8 count=1 2>/dev/null "
                          "| head -n 1") == "written-by-guest"
    control.output(f"ping -c 2 -w 600 {NET}2")


def check_firmware(control):
    """Firmware, GRUB from a disk, a file there, and off by ACPI."""
    for firmware, word in (("bios", "SeaBIOS"), ("uefi", "BdsDxe: starting")):
        # It may move the cursor in the middle of a word.
        code, text = control.run(
            f"joistctl run {firmware} -f {firmware} -d /dev/sda,ro -m 128M "
            r"> /tmp/out; ended=$?; tr -d '\033' < /tmp/out | "
            r"sed 's/\[[0-9;]*H//g'; echo; (exit $ended)")
        assert code == 0 and word in text and control.boot_digest in text, \
            (code, text)
    # UEFI has written its variables.
    control.output("! cmp -s /var/lib/joist/uefi.vars "
                   "/usr/share/OVMF/OVMF_VARS_4M.fd")


def check_guest(control, name, devices):
    """Boots, sees its CPUs, answers on its console; then the plug is pulled."""
    control.output(f"joistctl start {name} -k {GUEST}/vmlinux "
                   f"-r {GUEST}/initrd -m {GUEST_MEM} {devices} "
                   f"-c {CPUS} -a '{GUEST_ARGS} guest.name={name} "
                   f"guest.ip={NET}2'")
    said(control, name, f"guest: Linux .* on {CPUS} CPUs")
    said(control, name, f"{name}# ")
    type_to(control, name, f"sum4k 64 {name}")
    said(control, name, control.output(f"sum4k 64 {name}"))
    check_devices(control, name)
    got = json.loads(control.output("joistctl status --json"))
    assert [(v["name"], v["vcpus"], v["state"]) for v in got] == \
        [(name, CPUS, "running")]
    assert control.run(f"joistctl stop -f {name}")[0] == 0
    assert wait(control, "! pidof joist-vm > /dev/null"), "joist-vm is left"


def check_dmesg(control):
    """Bochs' CPUID gives the size of XSAVE's standard form for the compact
    one too; Linux sees that, and warns."""
    control.output("dmesg > /tmp/dmesg")
    text = control.output("sed '/cut here/,/end trace/{/XSAVE consistency/,"
                          "/end trace/d}' /tmp/dmesg")
    found = m.BAD.search(text)
    assert not found, f"in dmesg: {found.group(0)}"


def check_driver(control):
    check_hostile_driver(control, [("/tmp/disk", ",allow",
                                    "-d /tmp/disk2,ro")])


def check_linux(control):
    control.output("head -c 65536 /dev/urandom > /tmp/disk; ip link add br0 "
                   f"type bridge; ip addr add {NET}1/24 dev br0; "
                   "ip link set br0 up")
    check_guest(control, "guest", "-d /tmp/disk -n bridge=br0")
    control.output("ip link del br0; rm /tmp/disk")


def test_linux(control, served):
    check_machine(control)
    free = info(control)["pool_free"]
    for check in (check_linux, check_firmware, check_hostile, check_driver):
        check(control)
        assert wait(control, "! pidof joist-vm > /dev/null"), "one is left"
        assert info(control)["pool_free"] == free
        assert json.loads(control.output("joistctl status --json")) == []
        assert control.output("ls /dev/joist 2>/dev/null | wc -l") == "0"
    check_disk(control)
    check_nic(control, served)
    control.output("rmmod joist")
    check_dmesg(control)
    control.poweroff()
