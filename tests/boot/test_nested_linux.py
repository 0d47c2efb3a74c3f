# SPDX-License-Identifier: BSD-2-Clause
"""Linux as control VM under Joist under KVM on SVM, with a Linux guest."""
import subprocess

import pytest

import machine as m
import nested
from vms import (ctl_json, guest_run, said, start_linux_guest, type_to, wait)

# With two, QEMU's SVM loses KVM or Linux now and then: doc/vendors.md.
CPUS = 1


@pytest.mark.long
@pytest.mark.platform("KVM on SVM, in QEMU 10")
@pytest.mark.xdist_group("nested-linux")
def test_nested_linux(start_linux, tmp_path):
    """The guest is used and switched off, twice."""
    # What GRUB reads costs exits, what Linux unpacks does not.
    image = str(tmp_path / "live.img")
    subprocess.run(["zstd", "-q", "-9", "-o", image, m.BOCHS_INITRD],
                   check=True)
    control = start_linux("nested-linux", kind=nested.Svm, cpus=CPUS, mem=1280,
                          image=image)
    assert control.output("nproc") == str(CPUS)
    info = ctl_json(control, "info")
    assert info["vendor"] == "svm" and info["pcpus"] == CPUS
    for _ in range(2):
        start_linux_guest(control, "inner", cpus=CPUS)
        said(control, "inner", f"guest: Linux .* on {CPUS} CPUs")
        assert guest_run(control, "inner", "for i in 1 2; do sha256sum "
                         "/bin/busybox || exit; done | uniq | wc -l | "
                         "grep -qx 1") == 0
        type_to(control, "inner", "poweroff")
        assert wait(control, "! joistctl status inner > /dev/null 2>&1")
    control.check_logs()
    control.poweroff()
