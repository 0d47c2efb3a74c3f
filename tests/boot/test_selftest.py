# SPDX-License-Identifier: BSD-2-Clause
"""The self-test control VM in QEMU; each of its cases is a test here."""
import re
import subprocess

import pytest

import machine as m
import results
import selftest
import tcg

SCENARIO = "self-test"
RUNS = {
    "q35-1": dict(elf=m.DEBUG, machine="q35", cpus=1, mem=1024),
    "q35-4": dict(elf=m.DEBUG, machine="q35", cpus=4, mem=1024),
    "pc-2-release": dict(elf=m.RELEASE, machine="pc", cpus=2, mem=3072,
                         tunables="mitigations=all"),
    # A thread per core.
    "deb13-4": dict(elf=m.DEBUG, machine="q35", cpus=4, mem=1024,
                    qemu=tcg.QEMU_DEB13),
}
PLATFORMS = {"deb13-4": "QEMU 10, SVM, a thread per core"}


class Run(selftest.Report):
    def __init__(self, start, name):
        self.machine = start(
            "selftest-" + name, control=m.SELFTEST, args="exit=0xf4",
            extra=["-no-reboot", "-device",
                   "isa-debug-exit,iobase=0xf4,iosize=4"], **RUNS[name])
        self.status = self.wait()
        super().__init__(self.machine.console.text)

    def wait(self):
        """QEMU's exit status; a case that hangs ends the run."""
        try:
            while not re.match(selftest.END,
                               self.machine.expect(r"^.*\n",
                                                   selftest.IDLE)[0]):
                pass
            return self.machine.wait_exit(selftest.IDLE)
        except (m.Timeout, subprocess.TimeoutExpired):
            self.machine.close()
            return self.machine.qemu.returncode


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=[
        pytest.mark.xdist_group("selftest-" + name),
        pytest.mark.platform(PLATFORMS.get(name, results.platform()))])
    for name in RUNS])
def run(request, start_module):
    return Run(start_module, request.param)


@pytest.mark.parametrize("case", selftest.CASES)
def test_case(run, case):
    run.check_case(case)


def test_end(run):
    # isa-debug-exit makes (v << 1) | 1 of the value v.
    assert run.status == (3 if run.check_end() else 1)
