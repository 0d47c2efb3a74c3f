# SPDX-License-Identifier: BSD-2-Clause
"""Results by platform and scenario: what each run adds to a file, and the table
that all of them make.

A test's platform is what its marker platform() says, or else the emulator that
everything runs in; its scenario its module's SCENARIO, or else its name.
"""
import json
import os

import tcg

WORDS = ("passed", "failed", "skipped")


def platform():
    return os.environ.get("JOIST_PLATFORM",
                          f"QEMU {tcg.version()}, SVM, {tcg.threads()}")


def place(item):
    mark = item.get_closest_marker("platform")
    name = item.module.__name__.removeprefix("test_").replace("_", " ")
    return (mark.args[0] if mark else platform(),
            getattr(item.module, "SCENARIO", name))


def add(where, what, counts):
    """To the file that whoever started us named, if anybody."""
    path = os.environ.get("JOIST_RESULTS")
    if path:
        with open(path, "a") as f:
            f.write(json.dumps([where, what, list(counts)]) + "\n")


def add_reports(stats):
    """Of pytest's terminal reporter."""
    cells = {}
    for key, word in (("passed", 0), ("failed", 1), ("error", 1),
                      ("skipped", 2)):
        for report in stats.get(key, ()):
            cell = dict(getattr(report, "user_properties", ())).get("cell")
            if cell:
                cells.setdefault(tuple(cell), [0, 0, 0])[word] += 1
    for (where, what), counts in cells.items():
        add(where, what, counts)


def table(path):
    """What is in the file, as rows for a Markdown table."""
    cells = {}
    with open(path) as f:
        for line in f:
            where, what, counts = json.loads(line)
            sums = cells.setdefault((where, what), [0, 0, 0])
            for i, n in enumerate(counts):
                sums[i] += n
    rows = [("platform", "scenario", *WORDS)]
    rows += [(*cell, *map(str, sums)) for cell, sums in sorted(cells.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = []
    for n, row in enumerate(rows):
        lines.append("| " + " | ".join(
            text.rjust(w) if i > 1 else text.ljust(w)
            for i, (text, w) in enumerate(zip(row, widths))) + " |")
        if n == 0:
            lines.append("|" + "|".join(
                "-" * (w + 1) + (":" if i > 1 else "-")
                for i, w in enumerate(widths)) + "|")
    return lines
