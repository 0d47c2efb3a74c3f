#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measure what Joist's paths cost and print them beside targets and peers.

Exits: boots the same kernel and initramfs twice, under Joist and bare, and a
third time to see where the instructions of each event go.  Then what a guest's
work costs: compare.py.
"""
import argparse
import concurrent.futures
import json
import os
import sys
import tempfile

import compare
import emulator
import trace

MIB = 1 << 20
NAMES = {
    "cpuid": "CPUID exit and back",
    "hypercall": "guest hypercall",
    "port": "port write, to user space and back",
    "port.hypervisor": "  of which the hypervisor",
    "mmio": "MMIO write, to user space and back",
    "touch": "first touch of a page",
    "timer": "x2APIC one-shot timer + HLT, to the handler",
    "sleep": "  the same 1 ms away: the handler is late by",
    "ipi": "x2APIC self-IPI + HLT, to the handler",
    "self": "x2APIC self-IPI, interrupts on, to the handler",
    "vm": "VM with 64 MiB: create and destroy",
    "boot": "added from power-on to the control VM's init",
    "ram": "RAM taken on a 1 GiB machine",
}
# Peers, measured on the same emulator with Debian 12's, and targets.  KVM has
# a minimal user-space VMM, Xen 4.17 a PVH guest.
PEERS = {"amd": ("KVM", "Xen"), "intel": ("KVM",)}
ROWS = {
    "amd": {
        "cpuid": (2828, 5363, 500),
        "hypercall": (3065, 5430, 500),
        "port": (3132, 31140, 1600),
        "port.hypervisor": (None, None, 600),
        "mmio": (5243, 50578, 2500),
        "touch": (2868, 1, 1),
        "timer": (12796, 19516, 5000),
        "sleep": (7347, None, 5000),
        "ipi": (9468, 12296, 900),
        "self": (None, None, 900),
        "vm": (135000000, 30900000, 10000000),
        "boot": (None, 3150000000, 100000000),
        "ram": (None, 13 * MIB, 12 * MIB),
    },
    "intel": {
        "cpuid": (1061, 150),
        "hypercall": (1099, 150),
        "port": (7300, 1600),
        "port.hypervisor": (None, 600),
        "mmio": (9663, 2500),
        "touch": (2915, 1),
        "timer": (7356, 3000),
        "sleep": (12382, 3000),
        "ipi": (10603, 600),
        "self": (None, 10),
        "vm": (30401729, 10000000),
        "boot": (None, 100000000),
        "ram": (None, 12 * MIB),
    },
}
NOTES = {
    "amd": "KVM and Xen: measured on the same emulator, Debian 12.  It gives "
           "no next RIP; where a\nCPU does, CPUID and hypercall are to take "
           "150.",
    "intel": "KVM: measured on the same emulator, Debian 12.  Its clock moves "
             "in steps of up to 5\ninstructions.",
}
DONE = "done"


def boot(files, entry, folder, timeout, echo, control_args=""):
    """The words behind each `bench:`, by key."""
    iso = os.path.join(folder, f"boot{entry}.iso")
    emulator.make_iso(iso, files, entry, control_args)
    found, ram, end = {}, 0, 0
    for key, rest in emulator.results(emulator.start(files.vendor, iso),
                                      timeout, echo):
        if key == "ram":
            first, last = (int(w, 16) for w in rest.split())
            ram += last + 1 - first
            end = max(end, last + 1)
        else:
            found[key] = rest
    found["ram"], found["end"] = ram, end
    return found


def first_number(found, key, where):
    if key not in found:
        sys.exit(f"bench: no figure for '{key}' from the boot {where}")
    return int(found[key].split()[0])


def figures(joist, bare):
    if DONE not in joist:
        sys.exit("bench: the measuring guest did not finish")
    out = {key: first_number(joist, key, "under Joist")
           for key in ("cpuid", "hypercall", "port", "mmio", "touch", "timer",
                       "sleep", "ipi", "self", "vm")}
    out["boot"] = (first_number(joist, "init", "under Joist") -
                   first_number(bare, "init", "without Joist"))
    # What is neither the control VM's nor the pool's has gone.
    out["ram"] = (bare["ram"] - joist["ram"] -
                  json.loads(joist["info"])["pool_total"])
    return out


def text(key, n):
    if n is None:
        return "-"
    return f"{n / MIB:.1f} MiB" if key == "ram" else f"{n:,}"


def table(got, vendor):
    width, missed = 15, []
    heads = (*PEERS[vendor], "Joist", "target")
    print(f"\n{'event, in instructions':46}"
          + "".join(f"{h:>{width}}" for h in heads))
    for key, (*peers, target) in ROWS[vendor].items():
        n = got[key]
        late = n > target
        if late:
            missed.append(key)
        print(f"{NAMES[key]:46}"
              + "".join(f"{text(key, v):>{width}}" for v in (*peers, n, target))
              + ("  missed" if late else ""))
    print(NOTES[vendor])
    return missed


def peers(args, folder):
    """KVM, in the bare control VM: the same guest, a minimal user space."""
    args.initrd.append(args.kvm)
    found = boot(args, 1, folder, args.timeout, args.verbose)
    if DONE not in found:
        sys.exit("bench: the measuring guest did not finish under KVM")
    print(f"\n{'event, in instructions':46}{'KVM now':>15}{'in the table':>15}")
    for key, (kvm, *_) in ROWS[args.vendor].items():
        if key in found and key != "ram":
            print(f"{NAMES[key]:46}{int(found[key].split()[0]):>15,}"
                  f"{text(key, kvm):>15}")


def exits(args, folder):
    """The figures, by key; which missed their target; where they went."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        joist = boot(args, 0, folder, args.timeout, args.verbose)
        # Bare, it is to set up no more memory than it had under Joist.
        bare = pool.submit(boot, args, 1, folder, args.timeout, args.verbose,
                           f"mem={joist['end'] >> 10}K")
        if args.jobs == 1:
            bare.result()
        unpacked = argparse.Namespace(**vars(args))
        unpacked.control = args.vmlinux
        events = trace.record(unpacked, folder, args.timeout)
        got = figures(joist, bare.result())
    got["port.hypervisor"] = events["port"].by["hypervisor"]
    for key in table(got, args.vendor):
        if key in events:
            events[key].print(args.top)
    return got


def work(args, folder, parts):
    files = argparse.Namespace(
        vendor=args.vendor, elf=args.elf, control=args.vmlinux,
        vmlinux=args.vmlinux, host=args.host, initrd=[args.host],
        peer=args.peer, boot=args.boot)
    return compare.measure(files, folder, parts, args.jobs, args.timeout,
                           args.verbose)


def part_list(text):
    parts = text.replace(",", " ").split()
    for part in parts:
        if part not in ("exits", *compare.PARTS):
            raise argparse.ArgumentTypeError(
                f"'{part}' is none of exits, {', '.join(compare.PARTS)}")
    return parts


def write_json(path, data):
    """What was not measured this time stays."""
    try:
        with open(path) as f:
            old = json.load(f)
    except (OSError, ValueError):
        old = {}
    for key, rows in data.items():
        old.setdefault(key, {}).update(rows)
    with open(path, "w") as f:
        json.dump(old, f, indent=1)
        f.write("\n")


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--vendor", choices=ROWS, default="amd",
                    help="whose virtualization: QEMU's or Bochs'")
    ap.add_argument("--elf", required=True)
    ap.add_argument("--control", required=True, help="bzImage")
    ap.add_argument("--vmlinux", required=True, help="the same, unpacked")
    ap.add_argument("--initrd", required=True, action="append")
    ap.add_argument("--guest", required=True)
    ap.add_argument("--joist-vm", required=True)
    ap.add_argument("--timeout", type=int, default=3600, help="seconds a boot")
    ap.add_argument("--top", type=int, default=16, help="functions to name")
    ap.add_argument("--jobs", type=int, default=2, help="emulators at once")
    ap.add_argument("--verbose", action="store_true")
    ap.add_argument("--kvm", metavar="IMAGE",
                    help="measure KVM instead; appended to the initramfs")
    ap.add_argument("--only", type=part_list, metavar="PARTS", default=[],
                    help="exits, boot, block, net; default: what VENDOR has")
    ap.add_argument("--host", help="initramfs of the machine that works")
    ap.add_argument("--peer", help="what is appended to it for KVM")
    ap.add_argument("--boot", help="initramfs of the guest that only boots")
    ap.add_argument("--out", default=".", help="folder of the results")
    args = ap.parse_args()

    if args.kvm:
        with tempfile.TemporaryDirectory(prefix="joist-bench-") as folder:
            peers(args, folder)
        return
    # KVM's devices are QEMU's, and what has VMX is too slow for them.
    here = ("exits",) + (compare.PARTS if args.vendor == "amd" else ())
    parts = [p for p in here if p in (args.only or here)]
    if not parts:
        sys.exit(f"bench: {' '.join(args.only)}: not measured with "
                 f"VENDOR={args.vendor}")
    data = {}
    with tempfile.TemporaryDirectory(prefix="joist-bench-") as folder:
        print("bench: several machines are booted; this takes minutes",
              flush=True)
        if "exits" in parts:
            data[f"exits-{args.vendor}"] = exits(args, folder)
            parts.remove("exits")
        if parts:
            data["work"] = work(args, folder, parts)
            compare.table(data["work"])
            compare.plot(data["work"], os.path.join(args.out, "bench.svg"))
    write_json(os.path.join(args.out, "bench.json"), data)


main()
