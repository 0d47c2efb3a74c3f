# SPDX-License-Identifier: BSD-2-Clause
"""The self-test control VM; each of its cases is a test here.

The names come from the case tables in its sources, so a case that the
machine did not live to report is a failure by name.
"""
import glob
import os
import re
import subprocess

import pytest

import machine as m

SOURCES = os.path.join(m.TOP, "guests", "selftest", "cases", "*.c")
RUNS = {
    "q35-1": dict(elf=m.DEBUG, machine="q35", cpus=1, mem=1024),
    "q35-4": dict(elf=m.DEBUG, machine="q35", cpus=4, mem=1024),
    "pc-2-release": dict(elf=m.RELEASE, machine="pc", cpus=2, mem=3072),
}


def case_names():
    names = []
    for path in sorted(glob.glob(SOURCES)):
        with open(path) as f:
            names += re.findall(r'^\t\{ "([\w/.-]+)", ', f.read(), re.M)
    return names


CASES = case_names()


# Seconds without a line.  Most cases take one, random calls minutes.
IDLE = 600
END = r"^selftest: (\d+) passed, (\d+) failed, (\d+) skipped$"


class Run:
    def __init__(self, start, name):
        self.results = {}
        self.machine = start(
            "selftest-" + name, control=m.SELFTEST, args="exit=0xf4",
            extra=["-no-reboot", "-device",
                   "isa-debug-exit,iobase=0xf4,iosize=4"], **RUNS[name])
        self.status = self.wait()
        for line in self.machine.console.text.splitlines():
            found = re.match(r"(ok|FAIL|skip) ([\w/.-]+)(?:: (.*))?$", line)
            if found:
                self.results[found.group(2)] = (found.group(1),
                                                found.group(3))
        self.end = re.search(END, self.machine.console.text, re.M)

    def wait(self):
        """QEMU's exit status; a case that hangs ends the run."""
        try:
            while not re.match(END, self.machine.expect(r"^.*\n", IDLE)[0]):
                pass
            return self.machine.wait_exit(IDLE)
        except (m.Timeout, subprocess.TimeoutExpired):
            self.machine.close()
            return self.machine.qemu.returncode


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=pytest.mark.xdist_group("selftest-" + name))
    for name in RUNS])
def run(request, start_module):
    return Run(start_module, request.param)


@pytest.mark.parametrize("case", CASES)
def test_case(run, case):
    how, why = run.results.get(case, ("FAIL", "not reported"))
    if how == "skip":
        pytest.skip(why)
    if how != "ok":
        pytest.fail(why, pytrace=False)


def test_end(run):
    """It ran to its end, and its own count is that of the lines."""
    assert run.end, "no summary: the run did not reach its end"
    counted = [list(how for how, why in run.results.values()).count(word)
               for word in ("ok", "FAIL", "skip")]
    assert [int(n) for n in run.end.groups()] == counted
    assert sorted(run.results) == sorted(CASES)
    # isa-debug-exit makes (v << 1) | 1 of the value v.
    assert run.status == (3 if counted[1] else 1)
