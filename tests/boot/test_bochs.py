# SPDX-License-Identifier: BSD-2-Clause
"""The self-test control VM in Bochs: Intel's VMX, and an AMD CPU that has of
SVM what QEMU's lacks.  Each of its cases is a test here."""
import os
import re
import subprocess
import sys
import time

import pytest

import machine as m
import selftest

VMX = "corei7_skylake_x"
SVM = "ryzen"
SCENARIO = "self-test"
# Bochs does some 20 million instructions a second.  Virtual-interrupt delivery
# is tested with 4 cores, windows and exits in its place, as is the default in
# Bochs, with one.
RUNS = {
    "vmx-4": dict(model=VMX, cpus=4, args="random=5000 cycles=50 events=4000",
                  tunables="vid=on"),
    "vmx-1": dict(model=VMX, cpus=1, args="random=20000 cycles=100"),
    "svm-1": dict(model=SVM, cpus=1, args="cycles=50"),
    "deb13-vmx-1": dict(model=VMX, cpus=1, args="random=20000 cycles=100",
                        deb13=True),
}
MARKS = {
    "vmx-4": [pytest.mark.platform("Bochs 2.7, VMX")],
    "vmx-1": [pytest.mark.platform("Bochs 2.7, VMX")],
    "svm-1": [pytest.mark.platform("Bochs 2.7, SVM")],
    "deb13-vmx-1": [pytest.mark.platform("Bochs 3.0, VMX"), pytest.mark.long],
}

NO_INTR = "Bochs' SVM ignores physical interrupts in a guest entered with IF clear"
NO_VIRQ = "Bochs' SVM takes a virtual interrupt only once the guest has set IF"
NO_SHUTDOWN = "Bochs' SVM resets the machine at a guest's triple fault"
# What an emulator cannot run, and why.
LEFT_OUT = {
    "vmx-4": {
        "apic/masked-x2apic": "Bochs delivers a virtual interrupt in place of "
        "a physical one, whatever IF says",
    },
    "vmx-1": {},
    "deb13-vmx-1": {},
    "svm-1": {
        "apic/masked": NO_INTR,
        "apic/masked-x2apic": NO_INTR,
        "run/spin64": NO_INTR,
        "run/spin16": NO_INTR,
        "smp/init-one-core": NO_INTR,
        "smp/init-one-core-x2apic": NO_INTR,
        "event/held-back-shadow": NO_VIRQ,
        "run/triple-fault": NO_SHUTDOWN,
        "random/edges": NO_SHUTDOWN,
        "random/calls": NO_SHUTDOWN,
        "cpu/dr": "Bochs' SVM leaves DR6 as it was at an intercepted #DB",
    },
}


class Run(selftest.Report):
    def __init__(self, tmp, name):
        run = RUNS[name]
        left_out = LEFT_OUT[name]
        args = run["args"]
        if left_out:
            args += " skip=" + ",".join(left_out)
        iso = os.path.join(tmp, "selftest.iso")
        m.make_iso(iso, elf=m.DEBUG, control=m.SELFTEST, args=args,
                   tunables=run.get("tunables", ""))
        os.makedirs(m.LOGS, exist_ok=True)
        self.log = os.path.join(m.LOGS, f"bochs-{name}.log")
        self.bochs = subprocess.Popen(
            [sys.executable, os.path.join(m.HERE, "run-bochs"), "--iso", iso,
             "--model", run["model"], "--cpus", str(run["cpus"]),
             "--mem", "1024", "--nic", "none", "--serial", self.log] +
            (["--deb13"] if "deb13" in run else []),
            stdin=subprocess.DEVNULL)
        self.status = self.wait()
        with open(self.log, errors="replace") as f:
            super().__init__(f.read().replace("\r", ""), left_out)

    def wait(self):
        """run-bochs' status; a case that hangs ends the run."""
        size, since = -1, time.monotonic()
        while time.monotonic() - since < selftest.IDLE:
            try:
                return self.bochs.wait(1)
            except subprocess.TimeoutExpired:
                pass
            now = os.path.getsize(self.log) if os.path.exists(self.log) else 0
            if now != size:
                size, since = now, time.monotonic()
        self.bochs.terminate()
        return self.bochs.wait()


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=[pytest.mark.xdist_group("bochs-" + name),
                              *MARKS[name]])
    for name in RUNS])
def run(request, tmp_path_factory):
    return Run(str(tmp_path_factory.mktemp("bochs")), request.param)


@pytest.mark.parametrize("case", selftest.CASES)
def test_case(run, case):
    run.check_case(case)


def test_end(run):
    run.check_end()
    assert run.status == 0


def few(tmp_path, name, elf, cpus, cases, tunables=""):
    """What the console says of a few cases on VMX."""
    iso = str(tmp_path / "few.iso")
    log = os.path.join(m.LOGS, f"bochs-{name}.log")
    os.makedirs(m.LOGS, exist_ok=True)
    m.make_iso(iso, elf=elf, control=m.SELFTEST, args="cases=" + cases,
               tunables=tunables)
    subprocess.run([sys.executable, os.path.join(m.HERE, "run-bochs"), "--iso", iso,
                    "--model", VMX, "--cpus", str(cpus), "--mem", "1024",
                    "--nic", "none", "--serial", log], stdin=subprocess.DEVNULL,
                   timeout=selftest.IDLE)
    with open(log, errors="replace") as f:
        return f.read()


def test_parked_core(tmp_path):
    """A core that Joist does not use cannot be started beside it."""
    text = few(tmp_path, "parked", m.DEBUG, 2, "isolate/parked-cores", "maxcpu=1")
    assert "1 more cores are parked" in text
    assert "ok isolate/parked-cores" in text


def test_work(tmp_path):
    """No call takes long: Bochs counts as well, with one core."""
    text = few(tmp_path, "work", m.RELEASE, 1, "work/*")
    assert re.search(r"^selftest: (\d+) passed, 0 failed, 0 skipped", text, re.M)
    assert "ok work/every-call" in text
