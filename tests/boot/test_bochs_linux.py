# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Linux as control VM on Intel VMX, in Bochs, and guests under it:
Linux with every kind of device, firmware from a disk, hostile ones.

A boot there costs minutes, so this is one test that checks much.
"""
import hashlib
import os
import subprocess

import pytest

import bochs as b
import machine as m
from vms import (LINUX, ctl_json, check_hostile, check_hostile_driver,
                 guest_run, guests_image, said, status, type_to, wait)

pytestmark = pytest.mark.platform("Bochs 2.7, VMX")
SCENARIO = "linux"
MIB = 1 << 20
CPUS = 2
DISK_MIB, FILE_MIB = 32, 2
FETCHED = MIB // 2
NET, VHOST = "192.168.77.", "192.168.78."
GUEST_MEM = 128			# MiB
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
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "cow.qcow2",
                    "8M"], cwd=tmp_path, check=True)
    m.make_iso(iso, elf=m.RELEASE, control=m.VMLINUX, args=b.LINUX_ARGS,
               initrd=[m.BOCHS_INITRD, m.HELPERS,
                       guests_image(tmp_path, ["cow.qcow2"]), agent_image])
    machine = b.Bochs("bochs-linux", iso, cpus=CPUS, disk=disk)
    machine.boot_digest = digest
    request.node.machines.append(machine)
    machine.ready()
    yield machine
    machine.check_logs()


def info(control):
    return ctl_json(control, "info")


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


def check_disks(control, name):
    """Raw, qcow2, CD: read, and written to."""
    for path, dev in (("disk", "vda"), ("cd", "sr0")):
        digest = control.output(f"sha256sum < /tmp/{path}").split()[0]
        assert guest_run(control, name, f"sha256sum /dev/{dev} | "
                         f"grep {digest}") == 0
    assert guest_run(control, name, "echo written-by-guest | dd of=/dev/vda "
                     "bs=512 seek=8 conv=fsync") == 0
    assert control.output("dd if=/tmp/disk bs=512 skip=8 count=1 2>/dev/null "
                          "| head -n 1") == "written-by-guest"
    assert guest_run(control, name, "dd if=/dev/sr0 of=/dev/vdb bs=64k "
                     "conv=fsync && echo 3 > /proc/sys/vm/drop_caches && "
                     "cmp -n 262144 /dev/sr0 /dev/vdb") == 0


def check_network(control, name):
    """Answers by both queue pairs, data in both directions; the user's."""
    for cpu in range(CPUS):
        assert guest_run(control, name,
                         f"taskset {1 << cpu} ping -c 2 -w 600 {NET}1 && "
                         f"set -- $(grep input.{cpu} /proc/interrupts) && "
                         "[ $(($2 + $3)) -gt 0 ]") == 0
    # What is listened to must not end before the other side has.
    control.run("mkfifo /tmp/never; (nc -l -p 5001 0<> /tmp/never | sha256sum) "
                "> /tmp/sum &")
    assert wait(control, "netstat -ltn | grep -q :5001")
    assert guest_run(control, name, f"nc {NET}1 5001 < /dev/sr0") == 0
    digest = control.output("sha256sum < /tmp/cd").split()[0]
    assert wait(control, f"grep -q {digest} /tmp/sum")
    control.run("nc -l -p 5002 < /tmp/cd > /dev/null &")
    assert wait(control, "netstat -ltn | grep -q :5002")
    assert guest_run(control, name, f"nc {NET}1 5002 | sha256sum | "
                     f"grep {digest}") == 0
    # By the control VM's kernel, which vsock is, too; and without a bridge.
    assert control.output("ps -o args | grep -c '^[[]vhost-'") == "2"
    assert guest_run(control, name, f"ifconfig eth1 {VHOST}2 && "
                     f"ping -c 2 -w 600 {VHOST}1") == 0
    assert guest_run(control, name, "ifconfig eth2 10.0.2.15 && "
                     "ping -c 1 -w 600 10.0.2.2") == 0


def check_vsock(control, name):
    """Data in both directions."""
    digest = control.output("sha256sum < /tmp/cd").split()[0]
    control.run("vsock listen 1001 < /dev/null 2> /tmp/err | sha256sum "
                "> /tmp/sum &")
    assert wait(control, "grep -q listening /tmp/err")
    assert guest_run(control, name, "vsock connect 2 1001 < /dev/sr0") == 0
    assert wait(control, f"grep -q {digest} /tmp/sum")
    type_to(control, name, "vsock listen 1002 < /dev/null > /got &")
    said(control, name, "listening")
    control.output("vsock connect 5 1002 < /tmp/cd")
    assert guest_run(control, name, f"wait; sha256sum /got | "
                     f"grep {digest}") == 0


def check_console(control, name):
    assert guest_run(control, name, "exec 3< /dev/hvc0; seq -s , 2000 > "
                     "/dev/hvc0; echo end-of-it > /dev/hvc0") == 0
    assert wait(control, f"joistctl log {name} -p hvc | grep -q end-of-it")
    assert control.output(f"joistctl log {name} -p hvc | tr -d '\\r' | "
                          "head -n 1 | sha256sum") == \
        control.output("seq -s , 2000 | sha256sum")
    control.run(f"echo by-console | timeout 60 joistctl console {name} -p hvc "
                "> /dev/null 2>&1 &")
    assert guest_run(control, name, "read -r x <&3; [ $x = by-console ]") == 0


def check_balloon(control, name):
    """Some memory for others, and back: it keeps what is written."""
    free = info(control)["pool_free"]
    control.output(f"joistctl memory {name} {GUEST_MEM - 16}M -w "
                   f"-t {control.limit}")
    assert info(control)["pool_free"] - free > 14 * MIB
    control.output(f"joistctl memory {name} {GUEST_MEM}M -w "
                   f"-t {control.limit}")
    assert ctl_json(control, f"memory {name}")["actual"] == 0
    assert guest_run(control, name, "mkdir /t && mount -t tmpfs none /t && "
                     "dd if=/dev/urandom of=/t/x bs=64k count=96 && "
                     "cp /t/x /t/y && cmp /t/x /t/y && rm /t/x /t/y") == 0


def check_firmware(control):
    """Firmware, GRUB from a disk, a file there, and off by ACPI."""
    for firmware, word in (("bios", "SeaBIOS"), ("uefi", "BdsDxe: starting")):
        # It may move the cursor in the middle of a word.
        code, text = control.run(
            f"joistctl run {firmware} -f {firmware} -d /dev/sda,ro -m 128M "
            r"> /tmp/out; ended=$?; tr -d '\033\r' < /tmp/out | "
            r"sed 's/\[[0-9;]*H//g'; echo; (exit $ended)")
        assert code == 0 and word in text and control.boot_digest in text, \
            (code, text)
    # UEFI has written its variables.
    control.output("! cmp -s /var/lib/joist/uefi.vars "
                   "/usr/share/OVMF/OVMF_VARS_4M.fd")


def check_guest(control):
    """Boots with one device of each kind, boots again; the power button."""
    name = "guest"
    control.output("head -c 65536 /dev/urandom > /tmp/disk; head -c 262144 "
                   "/dev/urandom > /tmp/cd; cp /guests/cow.qcow2 /tmp; cat "
                   "/guests/tools.img >> /usr/share/joist/guest/initrd; "
                   + "; ".join(f"ip link add {dev} type bridge; ip addr add "
                               f"{net}1/24 dev {dev}; ip link set {dev} up"
                               for dev, net in (("br0", NET), ("br1", VHOST))))
    control.output(f"joistctl start {name} {LINUX} -m {GUEST_MEM}M -c {CPUS} "
                   "-d /tmp/disk -d /tmp/cow.qcow2,format=qcow2 -d /tmp/cd,cd "
                   "-n bridge=br0,queues=2 -n bridge=br1,allow -n user "
                   "--vsock 5 --console console --balloon yes "
                   f"-a '{GUEST_ARGS} guest.name={name} guest.ip={NET}2'")
    said(control, name, f"guest: Linux .* on {CPUS} CPUs")
    control.output(f"ping -c 2 -w 600 {NET}2")
    assert guest_run(control, name, "modprobe -a virtio_scsi sr_mod "
                     "virtio_console virtio_rng "
                     "vmw_vsock_virtio_transport") == 0
    for check in (check_disks, check_network, check_vsock, check_console,
                  check_balloon):
        check(control, name)
    # Random numbers do not shrink.
    assert guest_run(control, name, "head -c 4096 /dev/hwrng | gzip | wc -c | "
                     "grep 4[01]..") == 0
    type_to(control, name, "reboot")
    said(control, name, f"guest: Linux .* on {CPUS} CPUs", 2)
    digest = control.output(f"sum4k 64 {name}")
    assert guest_run(control, name, f"sum4k 64 {name} | grep {digest}") == 0
    control.output(f"ping -c 1 -w 600 {NET}2")
    assert [(v["name"], v["vcpus"], v["state"], v["boots"])
            for v in status(control)] == [(name, CPUS, "running", 2)]
    control.run(f"(joistctl wait {name}; echo $? > /tmp/ended) &")
    control.output(f"joistctl stop {name} -t {control.limit}")
    # By itself; 6 were: killed.
    assert wait(control, "grep -q '^0$' /tmp/ended"), \
        control.run("cat /tmp/ended")
    assert wait(control, "! pidof qemu-storage-daemon joist-net > /dev/null")
    control.output("ip link del br0; ip link del br1; "
                   "rm /tmp/disk /tmp/cow.qcow2 /tmp/cd")


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


def test_linux(control, served):
    check_machine(control)
    free = info(control)["pool_free"]
    for check in (check_guest, check_firmware, check_hostile, check_driver):
        check(control)
        assert wait(control, "! pidof joist-vm > /dev/null"), "one is left"
        assert info(control)["pool_free"] == free
        assert status(control) == []
        assert control.output("ls /dev/joist 2>/dev/null | wc -l") == "0"
    check_disk(control)
    check_nic(control, served)
    control.output("rmmod joist")
    check_dmesg(control)
    control.poweroff()
