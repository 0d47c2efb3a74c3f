# SPDX-License-Identifier: BSD-2-Clause
"""Guests that start as a PC does: firmware, a boot loader on a disk or a CD,
a kernel or memtest86+; and one as big as a PC.
"""
import os
import re
import shutil
import subprocess

import pytest

import machine as m
from vms import guest_run, said, type_to, vm, wait

pytestmark = pytest.mark.xdist_group("firmware")

# A VM's name, which is its serial number, says what is started.
GRUB = """
smbios --type 1 --get-string 7 --set name
set timeout=0
if [ "$name" = memtest ]; then set default=memtest; fi
echo grub-is-here, from $cmdpath
menuentry guest {
	linux /vmlinuz console=ttyS0 quiet no_timer_check guest.name=$name
	initrd /initrd
}
menuentry memtest --id memtest {
	linux /memtest86+x64.bin console=ttyS0,115200
}
"""
MEMTEST = "/boot/memtest86+x64.bin"


def boot_disk(tmp_path):
    """An image with GRUB, Debian's kernel and the small guest on it."""
    tree = tmp_path / "disk"
    os.makedirs(tree / "boot" / "grub")
    (tree / "boot" / "grub" / "grub.cfg").write_text(GRUB)
    kernel = subprocess.check_output(
        ["make", "-s", "-C", m.TOP, "print-vmlinuz"], text=True).strip()
    shutil.copy(kernel, tree / "vmlinuz")
    shutil.copy(os.path.join(m.BUILD, "guest.img"), tree / "initrd")
    shutil.copy(MEMTEST, tree)
    path = str(tmp_path / "disk.img")
    subprocess.run(["grub-mkrescue", "-o", path, str(tree)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="module")
def control(start_linux_module, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("disk")
    disk = boot_disk(tmp)
    guests = str(tmp / "guests.img")
    subprocess.run([os.path.join(m.TOP, "guests/control/image/mkinitrd.py"),
                    guests, "--bare", "--file",
                    MEMTEST + ":/guests/memtest", "--program",
                    "/usr/bin/qemu-img:/usr/bin/qemu-img"], check=True)
    # The pool has room for the big one.
    return start_linux_module("firmware", more=[m.HELPERS, guests], cpus=2,
                              mem=6144, extra=[
        "-drive", f"if=none,id=disk,format=raw,file={disk},read-only=on",
        "-device", "nvme,serial=disk,drive=disk"])


def shown(control, name, text, times=1):
    """The same of what firmware draws: it may move the cursor, to where that
    is anyway, in the middle of a word."""
    said(control, name, text, times,
         r"| tr -d '\033\r' | sed 's/\[[0-9;]*H//g'")


def memtest(control, name, cpus):
    """It tests, by all CPUs, and finds nothing; then the plug is pulled."""
    # Its first tests are one CPU's.  All it draws is one line.
    assert wait(control, f"joistctl log {name} | grep -aq "
                "'Using: All Cores.*Errors: '"), \
        control.run(f"joistctl log {name}; echo")
    text = control.output(f"joistctl log {name}; echo")
    assert f"SMP: {cpus}T" in text, text
    found = re.findall(r"Errors: *(\d+)", text)
    assert found and set(found) == {"0"}, text
    control.output(f"joistctl kill {name}")
    assert wait(control, "! pidof joist-vm > /dev/null")


def test_memtest(control):
    """As a kernel from outside, and by SeaBIOS and GRUB from a CD."""
    control.output("joistctl start mt -k /guests/memtest -m 64M -c 2 "
                   "-a console=ttyS0,115200")
    memtest(control, "mt", 2)
    control.output("joistctl start memtest -d /dev/nvme0n1,cd -m 64M -c 2")
    shown(control, "memtest", "grub-is-here")
    memtest(control, "memtest", 2)
    control.check_logs()


# Where the guest's memory ends below 4 GiB, and where what is left of it is.
HIGH = 4 << 30
BIG = (0xb0000000, HIGH, HIGH + (1 << 29), HIGH + (1 << 30) - (2 << 20))


def hexes(numbers):
    return " ".join(f"{n:#x}" for n in numbers)


def test_big(control):
    """8 CPUs, and 4 GiB of memory with a hole: Linux sees all, and no two
    addresses are the same memory."""
    # Reserved for what looks at physical memory, /dev/mem.
    keep = " ".join(f"memmap=2M${base:#x}" for base in BIG)
    control.output("joistctl start big -k /usr/share/joist/guest/vmlinux "
                   "-r /usr/share/joist/guest/initrd -m 4G -c 8 -a 'console=ttyS0 "
                   f"quiet no_timer_check guest.name=big {keep}'")
    said(control, "big", "guest: Linux .* on 8 CPUs")
    assert guest_run(control, "big", "set -- $(grep MemTotal /proc/meminfo) && "
                     "[ $2 -gt 3900000 ]") == 0
    # Each CPU runs something: field 39 is which one it was.
    masks = " ".join(f"{1 << cpu:x}" for cpu in range(8))
    assert guest_run(control, "big", f"n=; for c in {masks}; do "
                     "set -- $(taskset $c cat /proc/self/stat); n=$n${39}; "
                     "done; [ $n = 01234567 ]") == 0
    # Each word says where it is.  devmem takes the next page, too, for one
    # that is among the last bytes of its own.
    words = [base + at for base in BIG for at in (0, (2 << 20) - 256)]
    for piece in (words[:4], words[4:]):
        assert guest_run(control, "big", f"for a in {hexes(piece)}; do "
                         "devmem $a 64 $a; done") == 0
    for piece in (words[:4], words[4:]):
        assert guest_run(control, "big", f"n=0; for a in {hexes(piece)}; do "
                         "[ $(($(devmem $a 64))) = $((a)) ] && "
                         "n=$((n + 1)); done; [ $n = 4 ]") == 0
    control.output("joistctl kill big")
    assert wait(control, "! pidof joist-vm > /dev/null")
    control.check_logs()


def test_qcow2(control):
    """From an image on top of that disk: firmware and GRUB read below it, what
    the guest writes is above it and there after a reboot."""
    control.output("joistctl create /tmp/top -b /dev/nvme0n1,format=raw")
    control.output("joistctl start disk -m 256M -d /tmp/top,format=qcow2,backing=/dev/nvme0n1")
    shown(control, "disk", "grub-is-here")
    said(control, "disk", "guest: Linux .* on 1 CPU")
    # GPT's copy of itself is there, which nobody has asked for.
    assert guest_run(control, "disk", "n=$(($(cat /sys/block/vda/size) - 8)); "
                     "echo above | dd of=/dev/vda seek=$n conv=fsync") == 0
    type_to(control, "disk", "reboot")
    shown(control, "disk", "grub-is-here", 2)
    said(control, "disk", "guest: Linux .* on 1 CPU", 2)
    assert guest_run(control, "disk", "dd if=/dev/vda skip=$(($(cat "
                     "/sys/block/vda/size) - 8)) | grep -q above") == 0
    control.output("joistctl kill disk")
    assert wait(control, "! pidof joist-vm qemu-storage-daemon > /dev/null")
    control.output("! tail -c 4096 /dev/nvme0n1 | grep -q above && "
                   "rm /tmp/top")
    control.check_logs()


def test_bios(control):
    """SeaBIOS and GRUB, which speak on the serial port; twice.  Then the other
    one of two that could be booted comes first."""
    control.output("joistctl start disk -d /dev/nvme0n1,ro -m 256M -c 2")
    for times in (1, 2):
        shown(control, "disk", "SeaBIOS", times)
        shown(control, "disk", "grub-is-here", times)
        said(control, "disk", "guest: Linux .* on 2 CPUs", times)
        if times == 1:
            type_to(control, "disk", "reboot")
    assert vm(control, "disk")["state"] == "running"
    control.output("joistctl kill disk")
    assert wait(control, "! pidof joist-vm > /dev/null")
    for first, second, device in (("cd", "ro", "DVD/CD"),
                                  ("ro", "cd", "Hard Disk")):
        control.output(f"joistctl start disk -d /dev/nvme0n1,{first} "
                       f"-d /dev/nvme0n1,{second} -m 256M")
        shown(control, "disk", f"Booting from {device}")
        shown(control, "disk", "grub-is-here")
        control.output("joistctl kill disk")
        assert wait(control, "! pidof joist-vm > /dev/null")
    # Without anything to boot from, firmware says so.
    control.output("joistctl start none -f bios -m 16M")
    shown(control, "none", "No bootable device")
    control.output("joistctl kill none")
    # Firmware that is none.
    for size in ("1000", "65537", "32M"):
        control.output(f"truncate -s {size} /tmp/fw")
        code, text = control.run("joistctl start x -f /tmp/fw 2>&1")
        assert code == 2 and "/tmp/fw" in text and text.count("\n") == 1
    code, text = control.run("joistctl start x -f bios -k /tmp/fw 2>&1")
    assert code == 64 and "not both" in text
    control.check_logs()


VARS = "/var/lib/joist/disk.vars"
VARIABLE = "/sys/firmware/efi/efivars/" \
    "Kept-6b1d0cf5-3c53-4d6e-9a3f-0f3d6b0e8a11"


def from_cd(control, name):
    """The guest has the CD it has come from, and no other disk."""
    kernel = control.output("sha256sum < /usr/share/joist/guest/vmlinuz")
    assert guest_run(control, name, "modprobe -a virtio_scsi sr_mod isofs; "
                     "mkdir -p /m; [ ! -e /dev/vda ] && mount -t iso9660 "
                     "-o ro /dev/sr0 /m && sha256sum /m/vmlinuz | "
                     f"grep -q {kernel.split()[0]}") == 0


def test_uefi(control):
    """OVMF, GRUB, the kernel, from a disk, then from a CD in its place; a
    variable outlives the death of joist-vm."""
    start = "joistctl start disk -f uefi -d /dev/nvme0n1,ro -m 512M -c 2"
    control.output(f"rm -f {VARS}; {start}")
    shown(control, "disk", "grub-is-here")
    said(control, "disk", "guest: Linux .* on 2 CPUs")
    assert guest_run(control, "disk", "modprobe efivarfs; mount -t efivarfs "
                     "e /sys/firmware/efi/efivars") == 0
    assert guest_run(control, "disk", 'printf "\\\\007\\\\000\\\\000\\\\000'
                     f'right" > {VARIABLE}') == 0
    # ACPI's tables came through firmware whole: there is a PCI root.
    assert guest_run(control, "disk",
                     "ls -d /sys/bus/acpi/devices/PNP0A03*") == 0
    # The store is one VM's.
    code, text = control.run(f"joistctl start b -f uefi,vars={VARS} 2>&1")
    assert code == 2 and "in use by another VM" in text
    # Nothing of it was only in memory.
    control.output("kill -9 $(pidof joist-vm)")
    assert wait(control, "! pidof joist-vm > /dev/null")
    control.output(start.replace(",ro", ",cd"))
    shown(control, "disk", "grub-is-here, from (cd")
    said(control, "disk", "guest: Linux .* on 2 CPUs")
    from_cd(control, "disk")
    assert guest_run(control, "disk", "modprobe efivarfs; mount -t efivarfs "
                     "e /sys/firmware/efi/efivars") == 0
    assert guest_run(control, "disk", f"grep -q right {VARIABLE}") == 0
    assert guest_run(control, "disk", f"grep -q wrong {VARIABLE}") == 1
    # ACPI's sleep state, which firmware knows by heart.
    type_to(control, "disk", "poweroff -f")
    assert wait(control, "! pidof joist-vm > /dev/null")
    control.check_logs()


def test_uefi_refused(control):
    """Stores of variables that are none, or are not to be had."""
    control.output("echo short > /tmp/v; mkdir /tmp/vd")
    for path, why in (("/tmp/v", "6 bytes"), ("/tmp/vd", "s a directory"),
                      ("/no/such/v", "No such file")):
        code, text = control.run(f"joistctl start x -f uefi,vars={path} 2>&1")
        assert code == 2 and path in text and why in text, text
        assert text.count("\n") == 1
    for wrong in ("uefi,", "uefi,vars=", "uefi,var=/tmp/x"):
        code, text = control.run(f"joistctl start x -f {wrong} 2>&1")
        assert code == 64 and wrong in text, text
