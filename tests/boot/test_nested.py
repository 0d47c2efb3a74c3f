# SPDX-License-Identifier: BSD-2-Clause
"""The self-test control VM under Joist under KVM; each of its cases is a test.

KVM checks what is entered, orders exits and shadows nested page tables as no
emulator does.  On SVM and VMX; see nested.py.
"""
import re
import subprocess

import pytest

import machine as m
import nested
import selftest

SCENARIO = "self-test"
SVM = "KVM on SVM, in QEMU 10"
VMX = "KVM on VMX, in Bochs 2.7"
ENDED = r"^nested: QEMU ended with status (\d+)$"
PORTS = "65,536 ports are as many exits through two hypervisors"
LATER = "in the long run"
# See doc/vendors.md, "Under KVM".
OPEN = {
    "mmio/cross": "QEMU 10 with a thread per core loses flags at an XCHG "
    "across a page, without KVM, too",
    "cpu/resume-flag": "QEMU 10 sets RF in interrupts' frames, without KVM, "
    "too",
}
# The first is quick.
RUNS = {
    "svm-2": dict(kind=nested.Svm, cpus=2, args="random=1000 events=100",
                  left_out={"cpu/ports": LATER, "cpu/msr-sweep": LATER,
                            "mmio/instructions": LATER,
                            "create/cycles": LATER, "memseg/fill": LATER,
                            "random/edges": LATER, **OPEN}),
    "svm-4": dict(kind=nested.Svm, cpus=4, args="random=5000 cycles=100",
                  left_out=OPEN),
    # Bochs' virtual-interrupt delivery is what KVM's is made of (doc/vendors.md).
    "vmx-1": dict(kind=nested.Vmx, cpus=1, tunables="vid=off",
                  args="random=2000 events=100 cycles=20 limit=50000 slow=20",
                  left_out={"cpu/ports": PORTS,
                            "run/tiny-period": "a RUN takes 15 such periods there",
                            "random/edges": "takes hours there"}),
}


class Run(selftest.Report):
    def __init__(self, start, name, kind, args, left_out=(), **kw):
        args += " exit=0xf4"
        if left_out:
            args += " skip=" + ",".join(left_out)
        self.machine = start("nested-" + name, kind=kind, elf=m.DEBUG,
                             control=m.SELFTEST, args=args,
                             extra=["-device",
                                    "isa-debug-exit,iobase=0xf4,iosize=4"],
                             **kw)
        self.status = self.wait()
        super().__init__(self.machine.console.text, left_out)

    def wait(self):
        """The inner QEMU's exit status; a case that hangs ends the run."""
        try:
            found = None
            while not found:
                line = self.machine.expect(r"^.*\n", selftest.IDLE)[0]
                found = re.match(ENDED, line)
            self.machine.wait_exit(selftest.IDLE)
            return int(found.group(1))
        except (m.Timeout, subprocess.TimeoutExpired):
            self.machine.close()
            return None


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=[
        pytest.mark.xdist_group("nested-" + name),
        pytest.mark.platform(SVM if run["kind"] is nested.Svm else VMX),
        *([pytest.mark.long] if name != "svm-2" else [])])
    for name, run in RUNS.items()])
def run(request, start_module):
    return Run(start_module, request.param, **RUNS[request.param])


@pytest.mark.parametrize("case", selftest.CASES)
def test_case(run, case):
    run.check_case(case)


def test_end(run):
    # isa-debug-exit makes (v << 1) | 1 of the value v.
    assert run.status == (3 if run.check_end() else 1)
