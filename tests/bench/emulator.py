# SPDX-License-Identifier: BSD-2-Clause
"""The emulated machine of the measurements: one tick of its TSC is one
executed instruction, and its RAM is 1 GiB.  QEMU for AMD's SVM, Bochs for
Intel's VMX."""
import os
import re
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
BOOT = os.path.join(os.path.dirname(HERE), "boot")
# As the live image's, see CONTROL_ARGS in guests/control/build.mk.
COMMON_ARGS = ("console=ttyS0,115200 quiet nokaslr "
               "lsm=landlock,lockdown,yama")
CONTROL_ARGS = {
    "amd": COMMON_ARGS,
    # Bochs' CPUID tells the frequency of the CPU that it takes for its model.
    "intel": COMMON_ARGS + " tsc_early_khz=100000",
}
COMMAND = {
    "amd": ["qemu-system-x86_64", "-accel", "tcg",
            "-icount", "shift=0,sleep=off", "-M", "q35", "-cpu", "max",
            "-smp", "1", "-m", "1024", "-boot", "d", "-display", "none",
            "-serial", "stdio", "-nic", "none", "-no-reboot", "-cdrom"],
    "intel": [os.path.join(BOOT, "run-bochs"), "--cpus", "1", "--mem", "1024",
              "--nic", "none", "--iso"],
}
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-HJKf]|\x1bc|\x1b\[\?7l|[\r\0]")


# In Bochs it is left off where nobody asks for it.
TUNABLES = "vid=on"


def make_iso(path, files, entry=0, control_args="", tunables=TUNABLES):
    """files: elf, control and initrd; entry: which of the boot menu."""
    command = [os.path.join(BOOT, "mkiso"), path, "--bios-only",
               "--default", str(entry), "--elf", files.elf,
               "--control", files.control, "--control-args",
               f"{CONTROL_ARGS[files.vendor]} {control_args}",
               "--tunables", tunables]
    for initrd in files.initrd:
        command += ["--initrd", initrd]
    subprocess.run(command, check=True)


def start(vendor, iso, extra=()):
    return subprocess.Popen([*COMMAND[vendor], iso, *extra],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def start_kernel(kernel, initrd, words, memory):
    """QEMU without an ISO: it loads the kernel itself."""
    command = COMMAND["amd"]
    at = command.index("-cdrom")
    return subprocess.Popen([*command[:at], "-m", str(memory),
                             "-kernel", kernel, "-initrd", initrd,
                             "-append", words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


class Stuck(Exception):
    """A machine that has said nothing for too long."""


def results(machine, timeout, echo, patience=None):
    """The lines `bench: KEY REST`, as (KEY, REST)."""
    for line in lines(machine, timeout, patience):
        if echo:
            print(line, file=sys.stderr, flush=True)
        if line.startswith("bench: "):
            key, _, rest = line[7:].partition(" ")
            yield key, rest


def lines(machine, timeout, patience=None):
    """What the serial port says; ends the machine when time is out, and when
    it says nothing for as long as `patience`."""
    late = threading.Timer(timeout, machine.terminate)
    silent = None

    def said():
        nonlocal silent
        if silent:
            silent.cancel()
        if patience:
            silent = threading.Timer(patience, machine.terminate)
            silent.start()

    late.start()
    said()
    try:
        for line in machine.stdout:
            said()
            yield ESCAPES.sub("", line.decode(errors="replace")).strip()
        machine.wait()
        if silent and not silent.is_alive():
            raise Stuck
        if not late.is_alive():
            sys.exit(f"bench: not done after {timeout} s")
        if machine.returncode:
            sys.exit("bench: the emulator ended with status "
                     f"{machine.returncode}")
    finally:
        late.cancel()
        if silent:
            silent.cancel()
        if machine.poll() is None:
            machine.terminate()
