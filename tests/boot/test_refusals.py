# SPDX-License-Identifier: BSD-2-Clause
"""Machines that cannot serve, broken boot media, boot tunables, panics."""
import glob
import importlib.util
import os
import re
import subprocess
import time

import pytest

import machine as m

STOPS = r"^joist: Joist stops here\.\n"
GLYPH_W, GLYPH_H = 8, 16


def load_font():
    path = os.path.join(m.TOP, "drivers", "font.py")
    spec = importlib.util.spec_from_file_location("font", path)
    font = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(font)
    return font.glyphs(font.read("/usr/share/consolefonts/"
                                 "spleen-8x16.psfu.gz"))


def screen_text(machine, tmp_path):
    """What is written on the screen in Joist's own font."""
    path = str(tmp_path / "screen.ppm")
    machine.qmp("screendump", filename=path)
    with open(path, "rb") as f:
        assert f.readline() == b"P6\n"
        width, height = (int(x) for x in f.readline().split())
        f.readline()
        pixels = f.read()
    letters = {glyph: chr(code) for code, glyph in load_font().items()
               if 32 <= code < 127}
    lines = []
    for top in range(0, height - GLYPH_H + 1, GLYPH_H):
        line = ""
        for left in range(0, width - GLYPH_W + 1, GLYPH_W):
            rows = []
            for y in range(top, top + GLYPH_H):
                at = (y * width + left) * 3
                bits = pixels[at:at + GLYPH_W * 3:3]
                rows.append(sum(0x80 >> x for x in range(GLYPH_W)
                                if bits[x] >= 0x80))
            line += letters.get(bytes(rows), "?")
        lines.append(line)
    return lines


def squeeze(text):
    return re.sub(r"\s+", "", text)


def wait_halted(machine):
    """Until the first core is halted, and interrupts are off."""
    end = time.monotonic() + m.LIMIT
    while True:
        text = machine.qmp("human-monitor-command",
                           **{"command-line": "info registers"})
        flags = int(re.search(r"[ER]FL=([0-9a-f]+)", text).group(1), 16)
        if "HLT=1" in text and not flags & 0x200:
            return
        assert time.monotonic() < end, "the machine does not halt"
        time.sleep(0.05)


def truncated(size):
    def make(tmp_path):
        kernel = max(glob.glob("/boot/vmlinuz-*-amd64"), key=os.path.getsize)
        path = str(tmp_path / "truncated")
        with open(kernel, "rb") as f, open(path, "wb") as g:
            g.write(f.read(size))
        return path
    return make


def contents(data):
    def make(tmp_path):
        path = str(tmp_path / "control")
        with open(path, "wb") as f:
            f.write(data)
        return path
    return make


def head_of_vmlinux(tmp_path):
    path = str(tmp_path / "vmlinux")
    with open(m.VMLINUX, "rb") as f, open(path, "wb") as g:
        g.write(f.read(4 << 20))
    return path


SERVE = "this machine cannot serve: "
KERNEL = "the control kernel cannot be used: "
REFUSALS = {
    "no-svm": (dict(cpu="qemu64,-svm"),
               SERVE + r"this CPU has neither Intel VMX nor AMD SVM"),
    "no-nx": (dict(cpu="max,-nx"), SERVE + r".*execute-disable.*"),
    "no-nx-intel": (dict(cpu="Skylake-Client-v4,-nx"), SERVE + r".*execute-disable.*"),
    "no-npt": (dict(cpu="max,-npt"), SERVE + r".*nested paging.*"),
    # SeaBIOS would bring tables of its own.
    "no-acpi": (dict(extra=["-machine", "acpi=off"], firmware="uefi"), SERVE + r".*ACPI.*"),
    "no-control": (dict(control=None), r"there is no control kernel: .*"),
    "empty-kernel": (dict(control=contents(b"")), r".*control.*"),
    "text-kernel": (dict(control=contents(b"hello, world\n" * 1000)),
                    KERNEL + r".*neither a Linux bzImage nor an ELF.*"),
    "half-bzimage": (dict(control=truncated(1 << 20)),
                     KERNEL + r"the Linux kernel is truncated.*"),
    "bzimage-header": (dict(control=truncated(0x210)),
                       KERNEL + r"the Linux kernel is truncated.*"),
    "half-vmlinux": (dict(control=head_of_vmlinux),
                     KERNEL + r".*outside the file.*"),
    "control-mem": (dict(tunables="control_mem=100G"),
                    r"control_mem: 102400 MiB .*"),
    "control-mem-all": (dict(tunables="control_mem=1024M"),
                        r"control_mem: 1024 MiB .*"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(start, tmp_path, name):
    """One sentence on serial and screen, and the machine stops."""
    what, sentence = REFUSALS[name]
    what = dict({"control": m.SELFTEST}, **what)
    if callable(what["control"]):
        what["control"] = what["control"](tmp_path)
    machine = start("refuse-" + name, cpus=what.pop("cpus", 2), **what)
    said = machine.expect(r"^joist: E: (.*)\n").group(1)
    assert re.fullmatch(sentence, said)
    machine.expect(STOPS)
    wait_halted(machine)
    assert "selftest:" not in machine.console.text
    screen = "".join(squeeze(line) for line in screen_text(machine, tmp_path))
    assert squeeze(said) in screen


def selftest(start, name, tunables, args="cases=abi/version exit=0xf4", **kw):
    """Boot the self-test with these tunables; its end and the console."""
    kw.setdefault("elf", m.RELEASE)
    extra = [*kw.pop("extra", []), "-no-reboot", "-device",
             "isa-debug-exit,iobase=0xf4,iosize=4"]
    machine = start("tunable-" + name, control=m.SELFTEST, args=args,
                    tunables=tunables, extra=extra, **kw)
    assert machine.wait_exit() == 1
    assert re.search(r"^ok abi/version$", machine.console.text, re.M)
    return machine


@pytest.mark.parametrize("word,why", [
    ("frobnicate=1", "no such boot tunable"),
    ("frobnicate", "no such boot tunable"),
    ("control_mem=99999999999G", "more memory than a machine can have"),
    ("control_mem=lots", "not a size .*"),
    ("control_mem=1K", "less than .*"),
    ("maxcpu=0", "not a number from 1 to .*"),
    ("maxcpu=-1", "not a number.*"),
    ("loglvl=loud", "not one of .*"),
    ("panic=soon", "not halt.*"),
    ("console=com9", "not a list of .*"),
])
def test_tunable_ignored(start, word, why):
    """A bad one is named and ignored."""
    name = re.sub(r"\W", "-", word)
    text = selftest(start, "bad-" + name, word, cpus=1).console.text
    said = re.search(r"^joist: W: boot tunable '(.*)' ignored: (.*)$", text, re.M)
    assert said and said.group(1) == word and re.fullmatch(why, said.group(2))


def test_no_complaint(start):
    """What is right is not complained about."""
    machine = selftest(start, "good", "maxcpu=2 loglvl=debug panic=5 "
                       "console=com1:9600,screen control_mem=400M", cpus=4,
                       elf=m.DEBUG)
    assert "ignored" not in machine.console.text
    assert re.search(r"^joist: RAM: control VM 40[01] MiB, pool",
                     machine.console.text, re.M)
    assert re.search(r"^joist: .*, 2 cores,", machine.console.text, re.M)
    assert re.search(r"^selftest: .* 2 of 2 cores", machine.console.text, re.M)


def test_loglvl_error(start):
    assert "joist:" not in selftest(start, "loglvl-error",
                                    "loglvl=error").console.text


def test_console_none(start):
    machine = selftest(start, "console-none", "console=none")
    assert "joist:" not in machine.console.text + machine.agent.text


def test_console_com2(start):
    machine = selftest(start, "console-com2", "console=com2")
    assert "joist:" not in machine.console.text
    assert re.search(r"^joist: Joist \d", machine.agent.text, re.M)


class Patched:
    """The hypervisor's ELF with other code in places."""

    def __init__(self, elf=m.RELEASE):
        self.elf = elf
        with open(elf, "rb") as f:
            self.data = bytearray(f.read())
        self.names = subprocess.check_output(["nm", elf], text=True)
        text = subprocess.check_output(["readelf", "-lW", elf], text=True)
        self.load = [[int(word, 16) for word in row] for row in
                     re.findall(r"LOAD +" + r"(\S+) +" * 4, text)]

    def address(self, symbol):
        return int(re.search(rf"^(\S+) t {symbol}$", self.names,
                             re.M | re.I).group(1), 16)

    def offset(self, addr):
        return next(addr - base + offset for offset, base, _, size in self.load
                    if base <= addr < base + size)

    def put(self, addr, code):
        at = self.offset(addr)
        self.data[at:at + len(code)] = code

    def save(self, tmp_path):
        path = str(tmp_path / "patched.elf")
        with open(path, "wb") as f:
            f.write(self.data)
        return path


def jump(at, to):
    return b"\xe9" + (to - at - 5).to_bytes(4, "little", signed=True)


def firmware_elf(tmp_path, code):
    """The hypervisor behind a firmware that does this before, in 32-bit mode.

    code may use EAX, ECX and EDX.  It lies where a function is that only a
    reset needs.
    """
    elf = Patched()
    start, place = elf.address("_start"), elf.address("reset_machine")
    at = elf.offset(start)
    first = bytes(elf.data[at:at + 6])
    # cli; cld; mov edi, eax; mov esi, ebx
    assert first == bytes.fromhex("fa fc 89 c7 89 de")
    code = first + code
    elf.put(place, code + jump(place + len(code), start + len(first)))
    elf.put(start, jump(start, place) + b"\x90")
    return elf.save(tmp_path)


def assemble(tmp_path, text):
    source, code = str(tmp_path / "code.asm"), str(tmp_path / "code.bin")
    with open(source, "w") as f:
        f.write("bits 32\n" + text)
    subprocess.run(["nasm", "-f", "bin", "-I", os.path.join(m.HERE, "guests/"),
                    "-o", code, source], check=True)
    with open(code, "rb") as f:
        return f.read()


# What a firmware in 64-bit mode with 5-level page tables leaves behind.
LEFT_ON = """
	mov eax, cr4
	or eax, (1 << 12) | (1 << 20) | (1 << 21) | (1 << 16) | (1 << 7)
	mov cr4, eax			; LA57, SMEP, SMAP, FSGSBASE, PGE
	mov ecx, 0xc0000080
	rdmsr
	or eax, (1 << 0) | (1 << 11)	; SCE, NXE
	wrmsr
"""


def test_modes_left_on(start, tmp_path):
    """Control registers that firmware did not clear do no harm."""
    code = assemble(tmp_path, LEFT_ON)
    selftest(start, "left-on", "", elf=firmware_elf(tmp_path, code), cpus=2)


LOW_KERNEL = """
%include "elf.inc"
	call say
	db "here I am", 10, 0
	mov dx, DEBUG_EXIT
	out dx, al
image_end:
"""


def test_kernel_at_1_mib(start, tmp_path):
    """An ELF's segments go first: nothing of Joist's is where they must be."""
    path = str(tmp_path / "low")
    with open(path, "wb") as f:
        f.write(assemble(tmp_path, LOW_KERNEL))
    machine = start("kernel-at-1-mib", control=path, cpus=1, extra=[
        "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
    machine.expect(r"^here I am$")
    machine.wait_exit()


# Intel's: a root table, then translation on.  AMD's: on.
IOMMUS = {
    "intel-iommu": (0xfed90000, """
	mov edx, 0xfed90000
	mov dword [edx + 0x20], 0x1000
	mov dword [edx + 0x18], 1 << 30
.wait:	test dword [edx + 0x1c], 1 << 30
	jz .wait
	mov dword [edx + 0x18], 1 << 31
"""),
    "amd-iommu": (0xfed80000, "mov dword [0xfed80018], 1\n"),
}


@pytest.mark.parametrize("device", IOMMUS)
@pytest.mark.parametrize("left", [False, True], ids=["off", "on"])
def test_iommu(start, tmp_path, device, left):
    """One that firmware left on is switched off: nobody else would."""
    base, code = IOMMUS[device]
    elf = firmware_elf(tmp_path, assemble(tmp_path, code)) if left else m.RELEASE
    text = selftest(start, f"{device}-{left}", "", elf=elf, cpus=1,
                    extra=["-device", device]).console.text
    said = re.search(r"^joist: the firmware left the IOMMU at (\w+) on "
                     r"\(DMA translation\): switched off$", text, re.M)
    assert bool(said) == left
    assert not left or int(said.group(1), 16) == base


@pytest.mark.parametrize("cpus,used", [
    (66, 66), (3, 1), pytest.param(130, 130, marks=pytest.mark.long),
    pytest.param(255, 200, marks=pytest.mark.long)])
def test_many_cores(start, cpus, used):
    """All cores come, and those that are not used are parked."""
    machine = selftest(start, f"cores-{cpus}", f"maxcpu={used}" if used < cpus else "",
                       cpus=cpus, mem=2048, elf=m.DEBUG)
    assert re.search(rf"^joist: AMD SVM, {used} cores,", machine.console.text, re.M)
    assert re.search(rf"^selftest: .* {used} of {used} cores", machine.console.text, re.M)
    parked = re.search(r"^joist: (\d+) more cores are parked$", machine.console.text, re.M)
    assert (int(parked.group(1)) if parked else 0) == cpus - used


def test_wide_addresses(start):
    """Device memory beyond what the control VM's tables reach is not shown."""
    machine = selftest(start, "wide", "", cpu="max,phys-bits=52", cpus=1,
                       args="cases=isolate/cpuid,abi/version exit=0xf4")
    assert re.search(r"^ok isolate/cpuid$", machine.console.text, re.M)


@pytest.mark.parametrize("tunable", ["panic=halt", "panic=1"])
def test_panic(start, tmp_path, tunable):
    """A fault of its own is reported whole, and then what panic= says."""
    elf = Patched()
    addr = elf.address("hc_version")
    elf.put(addr, b"\x0f\x0b")		# an undefined instruction
    machine = start("panic-" + tunable[6:], elf=elf.save(tmp_path),
                    control=m.SELFTEST, tunables=tunable, cpus=4,
                    extra=["-no-reboot"])
    machine.expect(r"^joist: panic$")
    rip = machine.expect(r"^joist: E: core 0: exception 6, .* rip (\w+),")
    assert int(rip.group(1), 16) == addr
    machine.expect(r"^rax \w+ rbx .*\n")
    if tunable == "panic=halt":
        wait_halted(machine)
        assert machine.qemu.poll() is None
    else:
        assert machine.wait_exit() == 0		# -no-reboot: by a reset
    assert "selftest:" not in machine.console.text


def test_panic_in_panic(start, tmp_path):
    """A fault on the way to the message ends in the halt that panic= wants."""
    elf = Patched()
    for name in ("hc_version", "smp_stop_others"):
        elf.put(elf.address(name), b"\x0f\x0b")
    machine = start("panic-in-panic", elf=elf.save(tmp_path), control=m.SELFTEST,
                    tunables="panic=halt", cpus=1, extra=["-no-reboot"])
    machine.expect(r"^joist: RAM: ")
    wait_halted(machine)
    assert machine.qemu.poll() is None
    assert "selftest:" not in machine.console.text


# What an older CPU or a KVM outside may lack; none of it must be there.
LACKING = ("pdpe1gb", "x2apic", "pcid", "invpcid", "rdtscp", "fsgsbase",
           "smep", "smap", "umip", "nrip-save", "xsave")


def test_lacking(start):
    """All of it at once; one by one they have run by hand."""
    machine = selftest(start, "lacking", "", elf=m.DEBUG, args="cases=abi/*,"
                       "apic/*,cpu/cr,cpu/xcr0,cpu/exceptions,create/info,"
                       "event/*,regs/*,smp/ring-one-core exit=0xf4",
                       cpu=",".join(["max", *("-" + f for f in LACKING)]))
    assert re.search(r"^selftest: \d+ passed, 0 failed", machine.console.text,
                     re.M)
