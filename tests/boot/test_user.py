# SPDX-License-Identifier: BSD-2-Clause
"""What a user types first: make run and make demo."""
import os
import re
import subprocess

import pexpect
import pytest

import machine as m

PROMPT = r"joist:\S*# "


@pytest.mark.parametrize("variables", [
    ["MACHINE=q35", "FIRMWARE=bios"], ["MACHINE=pc", "FIRMWARE=uefi"]],
    ids=["q35-bios", "pc-uefi"])
def test_make_run(variables, tmp_path):
    """The ISO with Debian's own bzImage, to a shell on the serial port."""
    os.makedirs(m.LOGS, exist_ok=True)
    disk = tmp_path / "disk.img"
    with open(disk, "wb") as f:
        f.truncate(16 << 20)
    name = "run-" + "-".join(v.split("=")[1] for v in variables)
    with open(os.path.join(m.LOGS, name + ".log"), "w") as log:
        child = pexpect.spawn("make", ["--no-print-directory", "run",
                                       f"DISK={disk}", *variables], cwd=m.TOP,
                              timeout=m.LIMIT, encoding="utf-8",
                              codec_errors="replace", logfile=log)
        try:
            child.expect("run-qemu: (software emulation|nested KVM)")
            child.expect(r"Joist control VM: Linux \S+ on 2 CPUs, under Joist")
            child.expect(PROMPT)
            child.sendline("echo $((6 * 7)) $(uname -r)")
            child.expect(r"\n42 \S+-amd64\r")
            child.expect(PROMPT)
            child.sendline("reboot")
            child.expect("joist: Joist ")
            child.expect(PROMPT)
            child.sendline("poweroff")
            child.expect(pexpect.EOF)
            child.wait()
            assert child.exitstatus == 0
        finally:
            child.close(force=True)


def test_make_demo():
    """With the Debian guest by UEFI; by BIOS it is test_debian.py's."""
    log = os.path.join(m.LOGS, "demo.log")
    os.makedirs(m.LOGS, exist_ok=True)
    with open(log, "w") as out:
        code = subprocess.run(["make", "--no-print-directory", "demo",
                               "GUEST_FIRMWARE=uefi"], cwd=m.TOP,
                              stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT).returncode
    with open(log, errors="replace") as f:
        text = f.read()
    assert code == 0, text[-3000:]
    assert "FAILED" not in text and re.search("All went well", text)
    # Twice, as it has been rebooted; and what was seen from outside.
    assert len(re.findall("^.web. BdsDxe: starting ", text, re.M)) >= 2
    assert len(re.findall("^.web. Loading Linux ", text, re.M)) == 2
    assert "[outside] by uefi\n" in text
