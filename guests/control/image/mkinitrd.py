#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Build an initramfs: the control VM's live image, or a guest's small one.

A cpio archive in "newc" form is written directly, so that building it needs
no root, and with fixed times and owners, so that the same input gives the
same file.
"""
import argparse
import lzma
import os
import re
import stat
import subprocess
import sys
import tempfile


def fail(text):
    sys.exit(f"mkinitrd.py: {text}")


class Image:
    """Path (without leading slash) -> (mode, device, content)."""

    def __init__(self):
        self.entries = {}

    def dir(self, path, perm=0o755):
        self.entries.setdefault(path, (stat.S_IFDIR | perm, (0, 0), b""))

    def parents(self, path):
        parts = path.split("/")[:-1]
        for n in range(1, len(parts) + 1):
            self.dir("/".join(parts[:n]))

    def add(self, path, data, perm=0o644):
        path = path.lstrip("/")
        self.parents(path)
        self.entries[path] = (stat.S_IFREG | perm, (0, 0), data)

    def copy(self, source, path, perm=None):
        with open(source, "rb") as f:
            data = f.read()
        if perm is None:
            perm = 0o755 if os.access(source, os.X_OK) else 0o644
        self.add(path, data, perm)

    def link(self, path, target):
        path = path.lstrip("/")
        self.parents(path)
        self.entries[path] = (stat.S_IFLNK | 0o777, (0, 0), target.encode())

    def node(self, path, kind, major, minor, perm):
        self.parents(path)
        self.entries[path] = (kind | perm, (major, minor), b"")

    def cpio(self):
        out = bytearray()
        names = sorted(self.entries)
        for ino, name in enumerate(names + ["TRAILER!!!"], 1):
            mode, dev, data = self.entries.get(name, (0, (0, 0), b""))
            nlink = 2 if stat.S_ISDIR(mode) else 1
            raw = name.encode() + b"\0"
            fields = (ino, mode, 0, 0, nlink, 0, len(data), 0, 0,
                      dev[0], dev[1], len(raw), 0)
            out += b"070701" + b"".join(b"%08X" % f for f in fields) + raw
            out += bytes(-len(out) % 4)
            out += data
            out += bytes(-len(out) % 4)
        return bytes(out) + bytes(-len(out) % 512)


def add_base(image, busybox):
    """busybox with a link for each of its commands, and empty mount points."""
    for path in ("dev", "proc", "sys", "run", "mnt", "root", "etc", "var",
                 "usr/share"):
        image.parents(path + "/")
        image.dir(path)
    image.dir("tmp", 0o1777)
    image.node("dev/console", stat.S_IFCHR, 5, 1, 0o600)
    image.node("dev/null", stat.S_IFCHR, 1, 3, 0o666)
    image.copy(busybox, "bin/busybox", 0o755)
    listed = subprocess.run([busybox, "--list-full"], check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    for path in listed.split():
        if path != "bin/busybox":
            image.link(path, "/bin/busybox")


def add_libraries(image, program):
    """The shared libraries and the loader that `program` needs."""
    res = subprocess.run(["ldd", program], text=True, stderr=subprocess.DEVNULL,
                         stdout=subprocess.PIPE)
    if res.returncode != 0:
        return                          # static
    for line in res.stdout.splitlines():
        if "not found" in line:
            fail(f"{program}: {line.strip()}")
        found = re.search(r"(/\S+) \(0x", line)
        if found:
            image.copy(found.group(1), found.group(1), 0o755)


def module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


class Modules:
    """Those of a kernel's modules that a list asks for, with what they need."""

    def __init__(self, version, root="/lib/modules"):
        self.version = version
        self.tree = os.path.join(root, version)
        self.deps, self.paths, self.soft = {}, {}, {}
        try:
            with open(os.path.join(self.tree, "modules.dep")) as f:
                for line in f:
                    path, needs = line.rstrip("\n").split(":")
                    self.paths[module_name(path)] = path
                    self.deps[path] = needs.split()
            with open(os.path.join(self.tree, "modules.softdep")) as f:
                for line in f:
                    words = line.split()
                    if words[:1] == ["softdep"]:
                        self.soft[words[1]] = [
                            w.replace("-", "_") for w in words[2:]
                            if not w.endswith(":")]
        except OSError as e:
            fail(f"no modules of kernel {version}: {e}")

    def closure(self, names):
        todo = [n.replace("-", "_") for n in names]
        wanted = set()
        while todo:
            path = self.paths.get(todo.pop())
            if path is None or path in wanted:
                continue
            wanted.add(path)
            todo += [module_name(p) for p in self.deps[path]]
            todo += self.soft.get(module_name(path), [])
        return sorted(wanted)

    def add(self, image, names, extra):
        base = f"lib/modules/{self.version}"
        with tempfile.TemporaryDirectory() as tmp:
            def put(source, rel):
                dest = os.path.join(tmp, base, rel.removesuffix(".xz"))
                os.makedirs(os.path.dirname(dest), exist_ok=True)
                if rel.endswith(".xz"):
                    # As Debian 13 has them: the image is compressed as a whole.
                    with open(dest, "wb") as f, lzma.open(source) as g:
                        f.write(g.read())
                else:
                    os.symlink(os.path.abspath(source), dest)
                image.copy(dest, os.path.relpath(dest, tmp), 0o644)

            for path in self.closure(names):
                put(os.path.join(self.tree, path), path)
            for source in extra:
                put(source, "extra/" + os.path.basename(source))
            for name in ("modules.builtin", "modules.builtin.modinfo",
                         "modules.order"):
                source = os.path.join(self.tree, name)
                if os.path.exists(source):
                    os.symlink(source, os.path.join(tmp, base, name))
            tool = "/sbin/depmod" if os.path.exists("/sbin/depmod") else "depmod"
            subprocess.run([tool, "-b", tmp, self.version], check=True)
            for name in ("dep", "alias", "softdep", "symbols"):
                image.copy(os.path.join(tmp, base, f"modules.{name}"),
                           f"{base}/modules.{name}", 0o644)


def read_list(path):
    with open(path) as f:
        return [w for line in f for w in line.split("#")[0].split()]


def compress(data, how):
    if how == "none":
        return data
    command = {"zstd": ["zstd", "-q", "-9", "-T0", "-c"],
               "lz4": ["lz4", "-q", "-9", "-l", "-c"]}[how]
    return subprocess.run(command, input=data, check=True,
                          stdout=subprocess.PIPE).stdout


def pair(text):
    source, sep, path = text.partition(":")
    if not sep:
        raise argparse.ArgumentTypeError(f"{text}: wants SOURCE:PATH")
    return source, path


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("output")
    ap.add_argument("--bare", action="store_true",
                    help="without busybox: to be appended to another image")
    ap.add_argument("--busybox", default="/bin/busybox")
    ap.add_argument("--file", type=pair, action="append", default=[],
                    metavar="SOURCE:PATH", help="copy a file in")
    ap.add_argument("--program", type=pair, action="append", default=[],
                    metavar="SOURCE:PATH",
                    help="the same, executable, with its shared libraries")
    ap.add_argument("--link", type=pair, action="append", default=[],
                    metavar="TARGET:PATH")
    ap.add_argument("--kernel-version")
    ap.add_argument("--modules", metavar="LIST", help="file of module names")
    ap.add_argument("--module", action="append", default=[],
                    help="a module file of our own")
    ap.add_argument("--compress", default="none",
                    choices=("none", "zstd", "lz4"))
    args = ap.parse_args()

    image = Image()
    try:
        if not args.bare:
            add_base(image, args.busybox)
        for source, path in args.file:
            image.copy(source, path)
        for source, path in args.program:
            image.copy(source, path, 0o755)
            add_libraries(image, source)
        for target, path in args.link:
            image.link(path, target)
        if args.modules:
            Modules(args.kernel_version).add(image, read_list(args.modules),
                                             args.module)
        data = compress(image.cpio(), args.compress)
        with open(args.output + ".new", "wb") as f:
            f.write(data)
        os.replace(args.output + ".new", args.output)
    except (OSError, subprocess.CalledProcessError) as e:
        fail(e)


main()
