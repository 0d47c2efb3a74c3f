# SPDX-License-Identifier: BSD-2-Clause
"""Guests that start as a PC does: firmware, a boot loader on a disk, a kernel.
"""
import os
import shutil
import subprocess

import pytest

import machine as m
from vms import guest_run, said, type_to, vm, wait

pytestmark = pytest.mark.xdist_group("firmware")

GRUB = """
set timeout=0
echo grub-is-here
menuentry guest {
	linux /vmlinuz console=ttyS0 quiet no_timer_check guest.name=disk
	initrd /initrd
}
"""


def boot_disk(tmp_path):
    """An image with GRUB, Debian's kernel and the small guest on it."""
    tree = tmp_path / "disk"
    os.makedirs(tree / "boot" / "grub")
    (tree / "boot" / "grub" / "grub.cfg").write_text(GRUB)
    kernel = subprocess.check_output(
        ["make", "-s", "-C", m.TOP, "print-vmlinuz"], text=True).strip()
    shutil.copy(kernel, tree / "vmlinuz")
    shutil.copy(os.path.join(m.BUILD, "guest.img"), tree / "initrd")
    path = str(tmp_path / "disk.img")
    subprocess.run(["grub-mkrescue", "-o", path, str(tree)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="module")
def control(start_linux_module, tmp_path_factory):
    disk = boot_disk(tmp_path_factory.mktemp("disk"))
    return start_linux_module("firmware", cpus=2, mem=1792, extra=[
        "-drive", f"if=none,id=disk,format=raw,file={disk},read-only=on",
        "-device", "nvme,serial=disk,drive=disk"])


def shown(control, name, text, times=1):
    """The same of what firmware draws: it may move the cursor, to where that
    is anyway, in the middle of a word."""
    said(control, name, text, times,
         r"| tr -d '\033' | sed 's/\[[0-9;]*H//g'")


def test_bios(control):
    """SeaBIOS and GRUB, which speak on the serial port; twice."""
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


def test_uefi(control):
    """OVMF, GRUB, the kernel; a variable outlives the death of joist-vm."""
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
    control.output(start)
    said(control, "disk", "guest: Linux .* on 2 CPUs")
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
