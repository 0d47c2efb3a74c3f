# SPDX-License-Identifier: BSD-2-Clause
"""Run test targets of make one after another and add up their results.

Each runner ends with a line that counts what passed and failed; one that
fails without a failed case, or counts nothing, is a failed case itself.

With --table there is a table of platforms and scenarios at the end.  A runner
that does not know them is a row by itself: TARGET=PLATFORM:SCENARIO.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

import results


def count(line):
    """(passed, failed) of a summary line, None of any other."""
    if re.search(r"\b\d+ (passed|failed|errors?)\b", line) is None:
        return None
    found = {"passed": 0, "failed": 0, "error": 0}
    for number, word in re.findall(r"\b(\d+) (passed|failed|error)", line):
        found[word] = int(number)
    return found["passed"], found["failed"] + found["error"]


def run(word, bad):
    target, _, row = word.partition("=")
    command = [os.environ.get("MAKE", "make"), "--no-print-directory", target]
    last = (0, 0)
    start = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          errors="replace") as child:
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            last = count(line) or last
            if re.match(r"(FAILED |ERROR |FAIL |make.*Error )", line):
                bad.append(f"{target}: {line}")
    passed, failed = last
    if not failed and (child.returncode != 0 or not passed):
        failed = 1
    print(f"-- {target}: {passed} passed, {failed} failed, "
          f"{time.monotonic() - start:.0f} s", flush=True)
    if row:
        results.add(*row.split(":"), (passed, failed, 0))
    return passed, failed


def main():
    bad = []
    words = [w for w in sys.argv[1:] if w != "--table"]
    with tempfile.NamedTemporaryFile() as f:
        os.environ["JOIST_RESULTS"] = f.name
        counts = [run(word, bad) for word in words]
        if "--table" in sys.argv:
            print(*results.table(f.name), sep="\n")
    passed = sum(c[0] for c in counts)
    failed = sum(c[1] for c in counts)
    # Once more, where a reader of a long log looks first.
    sys.stdout.writelines(bad)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
