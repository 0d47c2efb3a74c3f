# SPDX-License-Identifier: BSD-2-Clause
"""The emulated machine of the measurements: one tick of its TSC is one
executed instruction, and its RAM is 1 GiB."""
import os
import re
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
MKISO = os.path.join(os.path.dirname(HERE), "boot", "mkiso")
# As the live image's, see CONTROL_ARGS in guests/control/build.mk.
CONTROL_ARGS = ("console=ttyS0,115200 quiet nokaslr "
                "lsm=landlock,lockdown,yama")
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-HJKf]|\x1bc|\x1b\[\?7l|[\r\0]")


def make_iso(path, files, entry=0, control_args=""):
    """files: elf, control and initrd; entry: which of the boot menu."""
    command = [MKISO, path, "--bios-only", "--default", str(entry),
               "--elf", files.elf, "--control", files.control,
               "--control-args", f"{CONTROL_ARGS} {control_args}"]
    for initrd in files.initrd:
        command += ["--initrd", initrd]
    subprocess.run(command, check=True)


def start(iso, extra=()):
    return subprocess.Popen(
        ["qemu-system-x86_64", "-accel", "tcg",
         "-icount", "shift=0,sleep=off", "-M", "q35", "-cpu", "max",
         "-smp", "1", "-m", "1024", "-cdrom", iso, "-boot", "d",
         "-display", "none", "-serial", "stdio", "-nic", "none",
         "-no-reboot", *extra],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def lines(qemu, timeout):
    """What the serial port says; ends the machine when time is out."""
    late = threading.Timer(timeout, qemu.kill)
    late.start()
    try:
        for line in qemu.stdout:
            yield ESCAPES.sub("", line.decode(errors="replace")).strip()
        qemu.wait()
        if not late.is_alive():
            sys.exit(f"bench: not done after {timeout} s")
        if qemu.returncode:
            sys.exit(f"bench: QEMU ended with status {qemu.returncode}")
    finally:
        late.cancel()
        if qemu.poll() is None:
            qemu.kill()
