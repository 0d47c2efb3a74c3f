# SPDX-License-Identifier: BSD-2-Clause
"""Guests that start as a PC does: firmware, a boot loader on a disk, a kernel.
"""
import os
import shutil
import subprocess

import machine as m
from vms import said, type_to, vm, wait

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


def test_bios(start_linux, tmp_path):
    """SeaBIOS and GRUB, which speak on the serial port; twice."""
    disk = boot_disk(tmp_path)
    control = start_linux("firmware", cpus=2, mem=1536, extra=[
        "-drive", f"if=none,id=disk,format=raw,file={disk},read-only=on",
        "-device", "nvme,serial=disk,drive=disk"])
    control.output("joistctl start disk -d /dev/nvme0n1,ro -m 256M -c 2")
    for times in (1, 2):
        said(control, "disk", "SeaBIOS", times)
        said(control, "disk", "grub-is-here", times)
        said(control, "disk", "guest: Linux .* on 2 CPUs", times)
        if times == 1:
            type_to(control, "disk", "reboot")
    assert vm(control, "disk")["state"] == "running"
    control.output("joistctl kill disk")
    assert wait(control, "! pidof joist-vm > /dev/null")
    # Without anything to boot from, firmware says so.
    control.output("joistctl start none -f bios -m 16M")
    said(control, "none", "No bootable device")
    control.output("joistctl kill none")
    # Firmware that is none.
    for size in ("1000", "65537", "32M"):
        control.output(f"truncate -s {size} /tmp/fw")
        code, text = control.run("joistctl start x -f /tmp/fw 2>&1")
        assert code == 2 and "/tmp/fw" in text and text.count("\n") == 1
    code, text = control.run("joistctl start x -f bios -k /tmp/fw 2>&1")
    assert code == 64 and "not both" in text
    control.check_logs()
