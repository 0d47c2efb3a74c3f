# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's emulation as Joist needs it, for `make run` and the tests.

doc/vendors.md says what each part is for.
"""
import functools
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# JOIST_QEMU names another one, such as Debian 13's of `make deb13`.
QEMU = os.environ.get("JOIST_QEMU", "qemu-system-x86_64")
QEMU_DEB13 = os.path.join(TOP, "tests", "deb13", "qemu-system-x86_64")


@functools.cache
def version(qemu=QEMU):
    """Its major version; 0 if there is none."""
    try:
        text = subprocess.run([qemu, "--version"], text=True, check=True,
                              stdout=subprocess.PIPE).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    found = re.search(r"version (\d+)\.", text)
    return int(found.group(1)) if found else 0


def multi(qemu=QEMU):
    """Whether it has a thread per core.  Before QEMU 10 it would lose interrupts;
    with one thread only a device's or timer's, which the next one brings back: a
    periodic tick."""
    return version(qemu) >= 10


def threads(qemu=QEMU):
    return "a thread per core" if multi(qemu) else "one thread"


def accel(qemu=QEMU):
    """What -accel wants."""
    how = "multi" if multi(qemu) else "single"
    return f"tcg,thread={how},tb-size=64"
