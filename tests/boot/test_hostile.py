# SPDX-License-Identifier: BSD-2-Clause
"""A user of joist.ko who means harm: nothing breaks, and nothing is left."""
import re

import pytest

import machine as m
from vms import guests_image, pool_free, status

PLATFORMS = [
    pytest.param("release", 20_000, id="few"),
    pytest.param("debug", 1_000_000, id="many", marks=[
        pytest.mark.long, pytest.mark.platform("QEMU, SVM, debug build")]),
]


@pytest.mark.parametrize("build, calls", PLATFORMS)
def test_ioctls(start_linux, tmp_path, build, calls):
    elf = m.DEBUG if build == "debug" else m.RELEASE
    control = start_linux(f"hostile-{build}", elf=elf, cpus=2, mem=1024,
                          more=[guests_image(tmp_path, (), ["ko_hostile"])])
    before = pool_free(control)
    text = control.output(f"ko_hostile {calls}; true", control.limit * 10)
    assert re.search(rf"^ko_hostile: {calls} calls, 0 failed$", text, re.M), text
    assert status(control) == []
    assert pool_free(control) == before
    found = m.BAD.search(control.output("dmesg"))
    assert not found, f"in dmesg: {found.group(0)}"
    control.check_logs()
    # The module goes, so nothing refers to it.
    control.output("rmmod joist")
    control.poweroff()
