# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Linux as control VM on many machines, and what it does there.

Each boot costs much, so each is one test that checks much.
"""
import json
import os
import re

import pytest

import machine as m

MIB = 1 << 20
# machine, firmware, medium, cores, MiB of RAM, hypervisor, MiB per disk and
# NIC.
MACHINES = [
    ("q35", "bios", "cd", 2, 1024, m.RELEASE, 64),
    ("q35", "uefi", "cd", 4, 16384, m.DEBUG, 4),
    ("pc", "bios", "cd", 8, 768, m.DEBUG, 4),
    ("pc", "uefi", "usb", 1, 4096, m.RELEASE, 4),
    ("pc", "bios", "cd", 4, 16384, m.RELEASE, 4),
    ("q35", "uefi", "cd", 8, 768, m.RELEASE, 4),
    ("q35", "bios", "usb", 1, 4096, m.DEBUG, 4),
]
DISKS = ("nvme", "ahci", "virtio-blk", "usb")
NICS = {"e1000": "e1000", "e1000e": "e1000e", "virtio-net-pci": "virtio_net"}


def disk_devices(tmp_path, machine, mib):
    """A disk of each kind, and how to find each by its serial number."""
    extra = ["-device", "qemu-xhci,id=xhci"]
    if machine == "pc":
        extra += ["-device", "ich9-ahci,id=ahci"]
        bus = "ahci.0"
    else:
        bus = "ide.3"
    # Q35 has a port of an AHCI for each drive, "ide.0" to "ide.5".
    device = {
        "nvme": "nvme,serial=nvme",
        "ahci": f"ide-hd,bus={bus},serial=ahci",
        "virtio-blk": "virtio-blk-pci,serial=virtio-blk",
        "usb": "usb-storage,bus=xhci.0,serial=usb",
    }
    for kind in DISKS:
        path = tmp_path / f"{kind}.img"
        with open(path, "wb") as f:
            f.truncate((mib + 32) * MIB)
        extra += ["-drive", f"if=none,id={kind},format=raw,file={path}",
                  "-device", f"{device[kind]},drive={kind}"]
    return extra


def nic_devices():
    """A NIC of each kind, each on a network of its own: 10.1.N.0/24."""
    extra = []
    for n, model in enumerate(NICS):
        extra += ["-netdev", f"user,id=net{n},net=10.1.{n}.0/24",
                  "-device", f"{model},netdev=net{n},romfile="]
    return extra


def block_devices(machine):
    """The name in /dev of the disk of each kind, by its driver."""
    text = machine.output("for d in /sys/block/*/device; do "
                          "echo $d $(readlink -f $d); done")
    boot_media = machine.output("cd /sys/block; grep -l 1 */removable").split()
    boot_media = [path.split("/")[0] for path in boot_media]
    found = {}
    for line in text.splitlines():
        name, path = re.match(r"/sys/block/(\S+)/device (\S+)", line).groups()
        for kind, sign in (("nvme", "/nvme/"), ("usb", "/usb"),
                           ("virtio-blk", "/virtio"), ("ahci", "/ata")):
            if sign in path and name not in boot_media:
                found[kind] = "/dev/" + name
                break
    return found


def check_cpus(machine, cpus):
    assert machine.output("nproc") == str(cpus)
    flags = set(machine.output("grep -m 1 ^flags /proc/cpuinfo").split())
    assert "lm" in flags and "svm" not in flags and "vmx" not in flags
    # Each core really runs something, and takes interrupts of its own.
    for cpu in range(cpus):
        assert machine.output(f"taskset {1 << cpu:x} sh -c "
                              "'cut -d \" \" -f 39 /proc/self/stat'") \
            == str(cpu)


def check_disks_written(machine, mib):
    """Files of random data on each disk; their digest."""
    machine.output(f"dd if=/dev/urandom of=/tmp/data bs=1M count={mib}")
    digest = machine.output("sha256sum < /tmp/data")
    disks = block_devices(machine)
    assert sorted(disks) == sorted(DISKS)
    for kind, dev in disks.items():
        machine.output(f"mke2fs {dev} && mkdir -p /mnt/{kind} && "
                       f"mount -t ext4 {dev} /mnt/{kind} && "
                       f"cp /tmp/data /mnt/{kind}/data")
    machine.output("sync; rm /tmp/data")
    return digest


def check_disks_read(machine, digest):
    disks = block_devices(machine)
    assert sorted(disks) == sorted(DISKS)
    for kind, dev in disks.items():
        machine.output(f"mkdir -p /mnt/{kind} && "
                       f"mount -t ext4 -o ro {dev} /mnt/{kind}")
        got = machine.output(f"sha256sum < /mnt/{kind}/data")
        assert got == digest, f"{kind}: the file is not what was written"
        machine.output(f"umount /mnt/{kind}")


def check_nics(machine, served, size):
    drivers = set()
    for n, (model, driver) in enumerate(NICS.items()):
        nic = machine.output(f"ip -4 -o addr | grep -F ' 10.1.{n}.' | "
                             "sed 's/^[0-9]*: *\\([^ ]*\\).*/\\1/'")
        path = machine.output(f"readlink -f /sys/class/net/{nic}/device/driver")
        drivers.add(path.rsplit("/", 1)[1])
        got = machine.output(f"wget -q -O - http://10.1.{n}.2:{served.port}/"
                             f"{size} | sha256sum")
        assert got.split()[0] == served.digest(size), \
            f"{model}: the file is not what was sent"
    assert drivers == set(NICS.values())


def ram_windows(kind, mem):
    """Where QEMU's machines have RAM, without what firmware may keep."""
    top = mem * MIB
    if kind == "q35":
        low = 2 << 30 if top >= 0xb0000000 else top
    else:
        low = 3 << 30 if top >= 0xe0000000 else top
    windows = [(16 * MIB, low - 64 * MIB)]
    if top > low:
        windows.append((4 << 30, (4 << 30) + top - low))
    return windows


def kept_back(machine, kind, mem):
    """RAM that Linux was told is reserved: the hypervisor's and the pool."""
    ranges = []
    for line in machine.output("cat /proc/iomem").splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) : Reserved$", line)
        if not found:
            continue
        base, end = int(found.group(1), 16), int(found.group(2), 16) + 1
        for low, high in ram_windows(kind, mem):
            if min(end, high) - max(base, low) >= 32 * MIB:
                ranges.append((max(base, low), min(end, high)))
    return ranges


def check_own_memory(machine, kind, mem):
    """What is not the control VM's reads as ones, and takes no write."""
    ranges = kept_back(machine, kind, mem)
    assert ranges, "no memory is kept from the control VM"
    before = forbidden(machine)
    # joist.ko holds the pool as write-back; /dev/mem wants it uncached.
    machine.output("rmmod joist")
    for base, end in ranges:
        for addr in (base, (base + end) // 2 & ~0xfff, end - 4096):
            ones = "0x" + "F" * 16
            assert machine.output(f"devmem {addr:#x} 64") == ones
            machine.output(f"devmem {addr:#x} 64 0x1122334455667788")
            assert machine.output(f"devmem {addr:#x} 64") == ones
    machine.output("modprobe joist gid=970")
    after = forbidden(machine)
    assert after["reads"] - before["reads"] >= 6 * len(ranges)
    assert after["writes"] - before["writes"] >= 3 * len(ranges)


def info(machine):
    return json.loads(machine.output("joistctl info --json"))


def forbidden(machine):
    now = info(machine)
    return {"reads": now["forbidden_reads"], "writes": now["forbidden_writes"]}


def check_log(machine):
    text = machine.output("dmesg")
    found = m.BAD.search(text)
    assert not found, f"in dmesg: {found.group(0)}"
    machine.check_logs()


@pytest.mark.parametrize(
    "kind,firmware,media,cpus,mem,elf,mib", MACHINES,
    ids=["-".join(str(word) for word in r[:5]) for r in MACHINES])
def test_machine(start_linux, served, tmp_path, kind, firmware, media, cpus,
                 mem, elf, mib):
    machine = start_linux(
        f"linux-{kind}-{firmware}-{cpus}-{mem}", elf=elf, machine=kind,
        firmware=firmware, media=media, cpus=cpus, mem=mem,
        extra=disk_devices(tmp_path, kind, mib) + nic_devices())
    check_cpus(machine, cpus)
    assert info(machine)["vulnerabilities"]["spectre_v2"].startswith(
        "Mitigation: Retpolines; ")
    assert info(machine)["pool_total"] > 0
    check_own_memory(machine, kind, mem)
    check_nics(machine, served, mib * MIB)
    digest = check_disks_written(machine, mib)
    machine.reboot()
    check_disks_read(machine, digest)
    check_cpus(machine, cpus)
    check_log(machine)
    machine.poweroff()


def test_many_ranges(start_linux, tmp_path):
    """A memory map for which boot_params has no room reaches Linux whole."""
    holes = [(320 + 2 * i) * MIB for i in range(150)]
    path = str(tmp_path / "grub.cfg")
    with open(os.path.join(m.TOP, "grub.cfg")) as f, open(path, "w") as g:
        g.write("insmod mmap\n")
        g.writelines(f"cutmem {at:#x} {at + 0x10000:#x}\n" for at in holes)
        g.write(f.read())
    machine = start_linux("linux-many-ranges", cpus=1, mem=2048, grub_cfg=path,
                          tunables="control_mem=700M")
    ram = [[int(x, 16) for x in line.split(" ")[0].split("-")] for line in
           machine.output("grep 'System RAM' /proc/iomem").splitlines()]
    for at in holes:
        assert not any(a <= at <= b for a, b in ram)
        assert any(a == at + 0x10000 for a, b in ram)
    machine.poweroff()
