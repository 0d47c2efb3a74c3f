# SPDX-License-Identifier: BSD-2-Clause
"""The same Linux at the same work: bare, as a guest of KVM with QEMU's
devices, and as a guest of Joist.

Machines are booted where Linux works bare, where a guest of KVM does, and where
one of Joist does.  All figures are instructions of the whole machine, so what a
guest's devices take in the host is in them.

QEMU 7.2's SVM delivers an interrupt a second time, whatever IF says, if it
happens to stop between the VMRUN that injects it and the guest's next exit.
That is how KVM injects; and its guest now and then spins for ever with
interrupts off, which fits.  Such a machine is started again, and each part of the work under
KVM has a machine of its own, and is short.
"""
import concurrent.futures
import json
import os
import subprocess
import sys

import emulator

PARTS = ("boot", "block", "net")
SIDES = ("bare", "kvm", "joist")
HEADS = {"bare": "bare", "kvm": "KVM", "joist": "Joist"}
MIB = 1 << 20
CLOCK = 10 ** 9			# instructions in a second of the machine's time
MEMORY = 2048
TUNABLES = "control_mem=1G"
ATTEMPTS = 3
PATIENCE = 300			# seconds: a part takes 60 on a quiet host
BOOT_MEMORY = 512		# as in the script `guest`
BOOT_ARGS = "console=ttyS0 quiet nokaslr"
# The key in BENCH_ONLY, what the row is called here and in the plot.
ROWS = {
    "boot": ("boot", "boot, to the first program", "boot"),
    "read": ("block", "disk: read, 128 KiB each, 8 at once; per MiB",
             "read 128K"),
    "write": ("block", "disk: write, 128 KiB each, 8 at once; per MiB",
              "write 128K"),
    "randread1": ("block", "disk: random read of 4 KiB, one at a time",
                  "random read 4K"),
    "randread16": ("block", "disk: random read of 4 KiB, 16 at once",
                   "random read 4K, 16"),
    "randwrite16": ("block", "disk: random write of 4 KiB, 16 at once",
                    "random write 4K, 16"),
    "stream-out": ("net", "network: TCP stream out of the guest; per MiB",
                   "TCP out"),
    "stream-in": ("net", "network: TCP stream into the guest; per MiB",
                  "TCP in"),
    "rr": ("net", "network: TCP request and response of one byte",
           "TCP request"),
}
NET = [row for row, (part, *_) in ROWS.items() if part == "net"]
PER_MIB = ("read", "write")


class Broken(Exception):
    """A result that is none."""


def from_fio(report):
    out = {}
    # What fio has to say besides comes before.
    for job in json.loads(report[report.index("{"):])["jobs"]:
        name = job["jobname"]
        done = max((job["read"], job["write"]), key=lambda d: d["io_bytes"])
        if job["error"] or not done["io_bytes"]:
            raise Broken(f"fio's job '{name}': error {job['error']}")
        spent = done["runtime"] * CLOCK / 1000
        out[name] = spent / (done["io_bytes"] / MIB if name in PER_MIB
                             else done["total_ios"])
    return out


def from_iperf3(name, report):
    end = json.loads(report)
    if "error" in end:
        raise Broken(f"iperf3, {name}: {end['error']}")
    got = end["end"]["sum_received"]
    return {name: got["seconds"] * CLOCK / (got["bytes"] / MIB)}


def read_result(key, rest):
    """One line `bench: key rest` as row -> instructions."""
    if key == "fio":
        return from_fio(rest)
    if key.startswith("stream-"):
        return from_iperf3(key, rest)
    if key in ("boot", "rr"):
        return {key: int(rest)}
    return {}


def results(machine, timeout, echo, patience=None):
    """Side -> row -> instructions."""
    found, side = {}, None
    for key, rest in emulator.results(machine, timeout, echo, patience):
        if key == "side":
            side = json.loads(rest)
        try:
            found.setdefault(side, {}).update(read_result(key, rest))
        except (Broken, ValueError, KeyError, ZeroDivisionError) as e:
            sys.exit(f"bench: {side}: {key}: {e}")
    return found


def bare_boot(files, timeout, echo):
    """From power-on, with QEMU's own loader as under KVM."""
    for key, rest in emulator.results(emulator.start_kernel(
            files.vmlinux, files.boot, BOOT_ARGS, BOOT_MEMORY), timeout, echo):
        if key == "init":
            return {"bare": {"boot": int(rest.split()[0])}}
    sys.exit("bench: the bare machine did not start")


def work_words(side, parts, net=NET):
    return (f"bench.side={side} bench.parts={','.join(parts)} "
            f"bench.net={','.join(net)}")


def words(*what):
    return f"{emulator.CONTROL_ARGS['amd']} {work_words(*what)}"


def bare(files, parts, timeout, echo):
    return results(emulator.start_kernel(
        files.vmlinux, files.host, words("bare", parts), MEMORY), timeout, echo)


def under_kvm(files, folder, parts, timeout, echo):
    both = os.path.join(folder, "both.img")
    with open(both, "wb") as f:
        for part in (files.host, files.peer):
            subprocess.run(["cat", part], check=True, stdout=f)
    rows = {}
    for part in parts:
        for what in ([n] for n in NET) if part == "net" else (NET,):
            rows.update(kvm_part(files.vmlinux, both, part, what, timeout,
                                 echo))
    return {"kvm": rows}


def kvm_part(kernel, initrd, part, net, timeout, echo):
    for attempt in range(ATTEMPTS):
        try:
            machine = emulator.start_kernel(
                kernel, initrd, words("kvm", [part], net), MEMORY)
            return results(machine, timeout, echo, PATIENCE).get("kvm", {})
        except emulator.Stuck:
            print(f"bench: KVM's guest hangs ({part}, attempt {attempt + 1} "
                  f"of {ATTEMPTS})", flush=True)
    return {}


def under_joist(files, folder, parts, timeout, echo):
    iso = os.path.join(folder, "compare.iso")
    emulator.make_iso(iso, files, 0, work_words("joist", parts), TUNABLES)
    return results(emulator.start("amd", iso, ("-m", str(MEMORY))),
                   timeout, echo)


def measure(files, folder, parts, jobs, timeout, echo):
    """Row -> side -> instructions, or None."""
    runs = [(under_joist, files, folder, parts),
            (under_kvm, files, folder, parts), (bare, files, parts)]
    if "boot" in parts:
        runs.append((bare_boot, files))
    got = {side: {} for side in SIDES}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for run in [pool.submit(*r, timeout, echo) for r in runs]:
            for side, rows in run.result().items():
                got.setdefault(side, {}).update(rows)
    out = {}
    for row, (part, *_) in ROWS.items():
        if part not in parts:
            continue
        for side in SIDES:
            if row not in got[side] and side != "kvm":
                sys.exit(f"bench: no figure for '{row}' from {HEADS[side]}")
        out[row] = {side: round(got[side][row]) if row in got[side] else None
                    for side in SIDES}
    return out


def text(n, form):
    return "-" if n is None else format(n, form)


def ratio(n, side, to):
    return None if None in (n[side], n[to]) else n[side] / n[to]


def table(rows):
    print(f"\n{'work, in instructions':46}"
          + "".join(f"{HEADS[s]:>15}" for s in SIDES)
          + f"{'KVM/bare':>10}{'Joist/bare':>12}{'Joist/KVM':>11}")
    for row, n in rows.items():
        print(f"{ROWS[row][1]:46}"
              + "".join(f"{text(n[s], ','):>15}" for s in SIDES)
              + f"{text(ratio(n, 'kvm', 'bare'), '.2f'):>10}"
              + f"{text(ratio(n, 'joist', 'bare'), '.2f'):>12}"
              + f"{text(ratio(n, 'joist', 'kvm'), '.2f'):>11}")
    print("Measured in this run, of the whole machine: what a guest's devices "
          "take in the host is\nin it.  The disk is in memory; the network "
          "ends in the host.")
    if any(n["kvm"] is None for n in rows.values()):
        print("-: KVM's guest hung each time, see tests/bench/compare.py.")


PLOT = """set terminal svg size 960,520 background "white"
set output "{out}"
set title "The same Linux: instructions, bare is 1 (less is better)"
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.8
set boxwidth 0.9
set logscale y 2
set yrange [0.5:*]
set ylabel "times as many as bare"
set grid ytics
set xtics rotate by -25
set key outside top center horizontal
set datafile missing "-"
$rows << END
{rows}
END
plot $rows using 2:xtic(1) title "KVM and QEMU" linecolor rgb "#999999", \\
     $rows using 3 title "Joist" linecolor rgb "#3060b0"
"""


def plot(rows, path):
    def column(n, side):
        return text(ratio(n, side, "bare"), ".4f")

    lines = "\n".join(f'"{ROWS[row][2]}" {column(n, "kvm")} '
                      f'{column(n, "joist")}' for row, n in rows.items())
    subprocess.run(["gnuplot"], check=True, text=True,
                   input=PLOT.format(out=path, rows=lines))
