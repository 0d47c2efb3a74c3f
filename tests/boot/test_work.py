# SPDX-License-Identifier: BSD-2-Clause
"""No hypercall takes more than 200,000 instructions: the self-test, counted.

With -icount shift=0 a tick of the TSC is an instruction, whatever the host
does.  What other cases find under it is for test_selftest.py to say.
"""
import re

import pytest

import machine as m
import selftest
from test_selftest import Run

CASES = [case for case in selftest.CASES if case.startswith("work/")]


class Counted(Run):
    def __init__(self, start):
        self.machine = start(
            "selftest-counted", control=m.SELFTEST, elf=m.RELEASE, cpus=1,
            mem=1024, args="exit=0xf4 random=1000 events=100 cycles=20",
            extra=["-icount", "shift=0,sleep=off", "-no-reboot", "-device",
                   "isa-debug-exit,iobase=0xf4,iosize=4"])
        self.status = self.wait()
        selftest.Report.__init__(self, self.machine.console.text)


@pytest.fixture(scope="module", params=[
    pytest.param("counted", marks=pytest.mark.xdist_group("counted"))])
def run(start_module):
    return Counted(start_module)


@pytest.mark.parametrize("case", CASES)
def test_case(run, case):
    # Skipped would mean that nothing was counted.
    assert run.results.get(case) == ("ok", None)


def test_every_call(run):
    """And it is all calls that were looked at."""
    text = run.machine.console.text
    calls = re.findall(r"^# (\w+): at most (\d+) instructions", text, re.M)
    assert len(calls) >= 27
    assert all(int(n) <= 200000 for name, n in calls)
    assert run.end
