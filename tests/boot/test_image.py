# SPDX-License-Identifier: BSD-2-Clause
"""What must be true of the hypervisor's code as it was linked."""
import re
import subprocess

import pytest

import machine as m


@pytest.mark.parametrize("elf", [m.RELEASE, m.DEBUG], ids=["release", "debug"])
def test_no_bare_indirect_branch(elf):
    """All go by arch/x86/retpoline.asm, which has none either."""
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", elf], text=True,
                          check=True, stdout=subprocess.PIPE).stdout
    bare = re.findall(r"^.*\t(?:notrack |bnd )*(?:call|jmp)q? +\*.*$", code, re.M)
    assert not bare
    assert len(re.findall(r"\t(?:call|jmp) .*<(?:__x86_indirect_thunk|__llvm_retpoline)_",
                          code)) > 100
