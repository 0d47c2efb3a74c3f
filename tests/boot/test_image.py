# SPDX-License-Identifier: BSD-2-Clause
"""What must be true of the hypervisor's code as it was linked."""
import re
import subprocess

import pytest

import machine as m


@pytest.fixture(params=[m.RELEASE, m.DEBUG], ids=["release", "debug"])
def code(request):
    return subprocess.run(["objdump", "-d", "--no-show-raw-insn", request.param],
                          text=True, check=True, stdout=subprocess.PIPE).stdout


def test_no_bare_indirect_branch(code):
    """All go by arch/x86/retpoline.asm, which has none either."""
    bare = re.findall(r"^.*\t(?:notrack |bnd )*(?:call|jmp)q? +\*.*$", code, re.M)
    assert not bare
    assert len(re.findall(r"\t(?:call|jmp) .*<(?:__x86_indirect_thunk|__llvm_retpoline)_",
                          code)) > 100


def test_stacks_are_guarded(code):
    """Functions with an array look at what lies above it before they return."""
    assert len(re.findall(r"\tcall +\S+ <__stack_chk_fail>", code)) > 80
