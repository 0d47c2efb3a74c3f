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
    "deb13-4": dict(elf=m.DEBUG, machine="q35", cpus=4, mem=1024,
                    qemu=tcg.QEMU_DEB13),
}
PLATFORMS = {"deb13-4": "QEMU 10, SVM, a thread per core"}
# A core whose thread does not run keeps others waiting: slow on a busy host.
# mmio/cross: QEMU then forgets flags; cpu/resume-flag: QEMU 10 sets RF in
# interrupts' frames.  See doc/vendors.md.
MULTI_ARGS = ("limit=200000 random=20000 events=500 cycles=200 "
              "skip=mmio/cross,cpu/resume-flag")
# doc/vendors.md, "Emulators are not the manual".
TWICE = "QEMU ended guest mode twice: the guest's RIP is the hypervisor's"
LEFT_TWICE = r"ERROR code 2 detail 0x400 .* at 0xffffffff8[0-9a-f]{7}$"


class Run(selftest.Report):
    def __init__(self, start, name):
        self.multi = tcg.multi(RUNS[name].get("qemu", tcg.QEMU))
        self.machine = start(
            "selftest-" + name, control=m.SELFTEST,
            args="exit=0xf4 " + (MULTI_ARGS if self.multi else ""),
            extra=["-no-reboot", "-device",
                   "isa-debug-exit,iobase=0xf4,iosize=4"], **RUNS[name])
        self.status = self.wait()
        super().__init__(self.machine.console.text)

    def check_case(self, case):
        how, why = self.results.get(case, ("", ""))
        if self.multi and how == "FAIL" and re.search(LEFT_TWICE, why):
            pytest.skip(TWICE)
        super().check_case(case)

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
