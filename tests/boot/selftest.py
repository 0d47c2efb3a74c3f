# SPDX-License-Identifier: BSD-2-Clause
"""What the self-test control VM says, case by case.

The names come from the case tables in its sources, so a case that the
machine did not live to report is a failure by name.
"""
import glob
import os
import re

import pytest

import machine as m

SOURCES = os.path.join(m.TOP, "guests", "selftest", "cases", "*.c")
# Seconds without a line.  Most cases take one, random calls minutes.
IDLE = 600
END = r"^selftest: (\d+) passed, (\d+) failed, (\d+) skipped$"


def case_names():
    names = []
    for path in sorted(glob.glob(SOURCES)):
        with open(path) as f:
            names += re.findall(r'^\t\{ "([\w/.-]+)", ', f.read(), re.M)
    return names


CASES = case_names()


class Report:
    """How each case went, of a console's text; why of those left out."""

    def __init__(self, text, left_out=None):
        self.results = {}
        for line in text.splitlines():
            found = re.match(r"(ok|FAIL|skip) ([\w/.-]+)(?:: (.*))?$", line)
            if found:
                how, case, why = found.groups()
                if how == "skip":
                    why = (left_out or {}).get(case, why)
                self.results[case] = (how, why)
        self.end = re.search(END, text, re.M)

    def check_case(self, case):
        how, why = self.results.get(case, ("FAIL", "not reported"))
        if how == "skip":
            pytest.skip(why)
        if how != "ok":
            pytest.fail(why, pytrace=False)

    def check_end(self):
        """It ran to its end, and its own count is that of the lines."""
        assert self.end, "no summary: the run did not reach its end"
        counted = [list(how for how, why in self.results.values()).count(word)
                   for word in ("ok", "FAIL", "skip")]
        assert [int(n) for n in self.end.groups()] == counted
        assert sorted(self.results) == sorted(CASES)
        return counted[1]
