#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Where the instructions of an event go: hypervisor, module, Linux, joist-vm.

Boots the control VM with a guest that repeats each event, lets the emulator
log every instruction for a moment, and names the functions they belong to.
What is counted lies between the guest's two readings of the TSC.
"""
import argparse
import bisect
import collections
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

import emulator

CPL = 3				# these bits of QEMU's hflags, and of CS
# The measuring guest lies below, the control VM's kernel above.
GUEST_END = 16 << 20
# What the emulator logs of an instruction: its address, what has CPL in it.
QEMU_LINE = re.compile(r"Trace \d+: 0x\w+ \[\w+/(?P<pc>\w+)/(?P<cpl>\w+)/")
BOCHS_LINE = re.compile(r"\(0\)\.\[\d+\] \S+ (?P<cpl>[0-9a-f]{4}):"
                        r"(?P<pc>[0-9a-f]{16}) ")
SYMBOL = re.compile(r"[0-9a-f]{16} [tTwW] .*")


class Symbols:
    """Text symbols, by address."""

    def __init__(self):
        self.table = []

    def add(self, lines, where):
        for line in lines:
            found = SYMBOL.search(line)
            if found:
                f = found.group(0).split()
                who = f[3].strip("[]") + ".ko" if len(f) > 3 else where
                self.table.append((int(f[0], 16), f[2], who))

    def add_elf(self, path, where):
        out = subprocess.run(["nm", path], text=True, check=True,
                             stdout=subprocess.PIPE).stdout
        self.add(out.splitlines(), where)

    def sort(self):
        self.table.sort()
        self.keys = [e[0] for e in self.table]

    def find(self, addr):
        i = bisect.bisect_right(self.keys, addr) - 1
        return self.table[i][1:] if i >= 0 else ("?", "?")


class Event:
    """One typical occurrence of an event, instruction by instruction."""

    def __init__(self, name, spans, find):
        spans.sort(key=len)
        span = spans[len(spans) // 2]
        self.name, self.len, self.seen = name, len(span), len(spans)
        self.by, self.functions = collections.Counter(), collections.Counter()
        for pc, cpl in span:
            where, func = find(pc, cpl)
            self.by[where] += 1
            self.functions[where, func] += 1

    def print(self, top):
        print(f"\n{self.name}: where {self.len} instructions go "
              f"(median of {self.seen})")
        for where, n in self.by.most_common():
            most = [(c, f) for (w, f), c in self.functions.items()
                    if w == where]
            most.sort(reverse=True)
            rest = n - sum(c for c, _ in most[:top])
            text = ", ".join(f"{f} {c}" for c, f in most[:top])
            print(f"  {n:6} {where}: {text}"
                  + (f", others {rest}" if rest else ""))


class Monitor:
    """QEMU's monitor."""

    PROMPT = b"(qemu) "

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        for _ in range(100):
            try:
                self.sock.connect(path)
                break
            except OSError:
                time.sleep(0.1)
        self.answer()

    def answer(self):
        data = b""
        while not data.endswith(self.PROMPT):
            part = self.sock.recv(4096)
            if not part:
                sys.exit("trace: QEMU has ended")
            data += part

    def command(self, text):
        self.sock.sendall(text.encode() + b"\n")
        self.answer()


def rdtscs(guest):
    """Function -> addresses of the RDTSCs in it."""
    found, name = collections.defaultdict(list), None
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", guest],
                         text=True, check=True, stdout=subprocess.PIPE).stdout
    for line in out.splitlines():
        m = re.match(r"[0-9a-f]+ <(\w+)>:", line)
        if m:
            name = m.group(1)
        elif "\trdtsc" in line:
            found[name].append(int(line.split(":")[0], 16))
    return found


def spans(path, first, last):
    """Lists of (pc, CPL), from behind the first RDTSC to the last."""
    cur, complete = None, []
    with open(path, errors="replace") as f:
        for line in f:
            m = QEMU_LINE.match(line) or BOCHS_LINE.search(line)
            if not m:
                continue
            pc, cpl = int(m["pc"], 16), int(m["cpl"], 16) & CPL
            if cur is not None:
                cur.append((pc, cpl))
                if not cpl and pc in last:
                    complete.append(cur)
                    cur = None
            elif not cpl and pc == first:
                cur = []
    return complete


def analyse(args, folder, logs):
    """logs: the file with its instructions, by an event's name."""
    kernel, user, guest = Symbols(), Symbols(), Symbols()
    with open(os.path.join(folder, "symbols"), errors="replace") as f:
        kernel.add(f, "Linux")
    kernel.add_elf(args.elf, "hypervisor")
    user.add_elf(args.joist_vm, "joist-vm")
    guest.add_elf(args.guest, "guest")
    for s in (kernel, user, guest):
        s.sort()

    def find(pc, cpl):
        if cpl == CPL:
            return "joist-vm", user.find(pc)[0]
        if pc < GUEST_END:
            return "guest", guest.find(pc)[0]
        name, where = kernel.find(pc)
        return where, name

    at, events = rdtscs(args.guest), {}
    for name, log in logs.items():
        own = at["event_" + name.replace("-", "_")]
        ends = own[1:] or at["isr_measured"]
        found = spans(log, own[0], ends)
        if not found:
            sys.exit(f"trace: no complete '{name}' was seen; "
                     "is the machine very busy?")
        events[name] = Event(name, found, find)
    return events


def record(args, folder, timeout, seconds=2.0):
    """Boot, log, analyse: Event by name."""
    if args.vendor == "intel":
        return record_bochs(args, folder, timeout)
    iso, mon = os.path.join(folder, "trace.iso"), os.path.join(folder, "mon")
    emulator.make_iso(iso, args, control_args="bench.guest=trace")
    # kallsyms come through the debug port.
    qemu = emulator.start(args.vendor, iso, (
        "-debugcon", "file:" + os.path.join(folder, "symbols"),
        "-monitor", f"unix:{mon},server,nowait"))
    monitor = Monitor(mon)
    logs, last = {}, None
    for line in emulator.lines(qemu, timeout):
        if line == "bench: done 0 0 0":
            last = line
        if not line.startswith("@ "):
            continue
        log = logs[line[2:]] = os.path.join(folder, "log." + line[2:])
        for command in (f"logfile {log}", "singlestep on", "log exec,nochain"):
            monitor.command(command)
        time.sleep(seconds)
        for command in ("log none", "singlestep off"):
            monitor.command(command)
    if not last:
        sys.exit("trace: the guest did not finish")
    return analyse(args, folder, logs)


def record_bochs(args, folder, timeout):
    """The same: the guest stops Bochs' debugger before and after."""
    iso, log = os.path.join(folder, "trace.iso"), os.path.join(folder, "log")
    commands = os.path.join(folder, "commands")
    names = [f.removeprefix("event_") for f in rdtscs(args.guest)
             if f.startswith("event_") and f != "event_empty"]
    with open(commands, "w") as f:
        for _ in names:
            f.write("c\ntrace on\nc\ntrace off\n")
        f.write("c\nq\n")
    emulator.make_iso(iso, args, control_args="bench.guest=mark")
    bochs = emulator.start(args.vendor, iso, (
        "--commands", commands, "--debugger-log", log,
        "--output", os.path.join(folder, "symbols")))
    if "bench: done 0 0 0" not in list(emulator.lines(bochs, timeout)):
        sys.exit("trace: the guest did not finish")
    return analyse(args, folder, dict.fromkeys(names, log))


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--vendor", choices=("amd", "intel"), default="amd")
    ap.add_argument("--elf", required=True)
    ap.add_argument("--control", required=True)
    ap.add_argument("--initrd", required=True, action="append")
    ap.add_argument("--guest", required=True)
    ap.add_argument("--joist-vm", required=True)
    ap.add_argument("--timeout", type=int, default=3600, help="seconds")
    ap.add_argument("--seconds", type=float, default=2.0, help="per event")
    ap.add_argument("--top", type=int, default=40, help="functions to name")
    ap.add_argument("event", nargs="*", help="only these")
    args = ap.parse_args()
    with tempfile.TemporaryDirectory(prefix="joist-trace-") as folder:
        events = record(args, folder, args.timeout, args.seconds)
    for name, event in events.items():
        if not args.event or name in args.event:
            event.print(args.top)


if __name__ == "__main__":
    main()
