# SPDX-License-Identifier: BSD-2-Clause
"""`make install` into a tree: what is there, what Debian's own tools make of
it, and that `make uninstall` takes it away.  Nothing is booted.
"""
import os
import re
import shutil
import subprocess

import pytest

import machine as m

ROOT_UUID = "01234567-89ab-cdef-0123-456789abcdef"
BOOT_UUID = "fedcba98-7654-3210-fedc-ba9876543210"


def run(*command, **kw):
    """Its output; it must succeed."""
    res = subprocess.run(command, text=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)
    assert res.returncode == 0, f"{command}: {res.stdout}"
    return res.stdout


def make(*args):
    return run("make", "-s", "-C", m.TOP, *args)


@pytest.fixture(scope="module")
def version():
    return make("print-vmlinuz").strip().split("/vmlinuz-")[1]


@pytest.fixture
def root(tmp_path, version):
    path = tmp_path / "root"
    make("install", f"DESTDIR={path}", f"KERNEL_VERSION={version}")
    return path


def files(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = \
                oct(os.stat(path).st_mode & 0o7777)[2:]
    return found


def test_files(root, version):
    """All of them, as everybody may read them, and none twice."""
    assert files(root) == {
        "boot/joist.elf": "644",
        "etc/grub.d/20_linux_joist": "755",
        "etc/modprobe.d/joist.conf": "644",
        f"lib/modules/{version}/updates/joist.ko": "644",
        "lib/systemd/system/joist@.service": "644",
        "lib/systemd/system/joist-autostart.service": "644",
        "usr/bin/joist-net": "755",
        "usr/bin/joist-vm": "755",
        "usr/bin/joistctl": "755",
        "usr/lib/sysusers.d/joist.conf": "644",
        "usr/lib/tmpfiles.d/joist.conf": "644",
        "usr/share/bash-completion/completions/joistctl": "644",
        "usr/share/man/man4/joist.4": "644",
        "usr/share/man/man5/joist.conf.5": "644",
        "usr/share/man/man8/joist-vm.8": "644",
        "usr/share/man/man8/joistctl.8": "644",
        "usr/share/zsh/vendor-completions/_joistctl": "644",
    }
    assert os.path.isdir(root / "etc/joist")
    run("grub-file", "--is-x86-multiboot2", root / "boot/joist.elf")
    assert "joistctl" in run(root / "usr/bin/joistctl", "--help")


def test_uninstall(root, version):
    """What is not Joist's stays, and so does what the user has written."""
    (root / "etc/joist/joist.conf").write_text("vm x { }\n")
    (root / "boot/other").write_text("\n")
    make("uninstall", f"DESTDIR={root}", f"KERNEL_VERSION={version}")
    assert sorted(files(root)) == ["boot/other", "etc/joist/joist.conf"]


def test_systemd(root):
    """The units, and the group, as systemd reads them."""
    shutil.copytree("/lib/systemd/system", root / "lib/systemd/system",
                    symlinks=True, dirs_exist_ok=True)
    # What targets of systemd's own start is not installed there.
    verify = ["systemd-analyze", "verify", f"--root={root}", "--man=no",
              "--recursive-errors=no"]
    for unit in ("joist@web.service", "joist-autostart.service"):
        assert run(*verify, unit) == ""
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    run("systemd-sysusers", f"--root={root}", "joist.conf")
    assert re.search(r"^joist:x:\d+:$", (root / "etc/group").read_text(), re.M)


def test_modprobe(root, version):
    """The module is found, and is started with the group's number."""
    for name in ("modules.order", "modules.builtin"):
        (root / "lib/modules" / version / name).write_text("")
    run("/sbin/depmod", "-b", root, version)
    said = run("/sbin/modprobe", "-d", root, "-S", version, "-C",
               root / "etc/modprobe.d", "--show-depends", "joist")
    assert said.startswith("install ") and "gid=" in said, said
    said = run("/sbin/modprobe", "-d", root, "-S", version, "-i",
               "--show-depends", "joist")
    assert said.split()[:2] == \
        ["insmod", f"{root}/lib/modules/{version}/updates/joist.ko"], said


PROBE = """#!/bin/sh
# grub-probe of a GPT disk with ext4 on it.
case " $* " in
*fs_uuid*) echo {uuid} ;;
*partmap*) echo gpt ;;
*abstraction*) ;;
*fs*) echo ext2 ;;
*hint*) echo hd0,gpt2 ;;
*) echo "grub-probe: $*" >&2; exit 1 ;;
esac
"""
# In a mount namespace of its own: the tree's folders in place of this
# machine's.
INSIDE = """set -e
touch {root}/dev/null
mount --bind /dev/null {root}/dev/null
for dir in boot lib/modules etc/default dev; do
	mount --bind {root}/$dir /$dir
done
exec sh {root}/etc/grub.d/20_linux_joist 2> {root}/said
"""


def entries(root, boot, **env):
    """What the generator writes; boot is where GRUB sees the folder /boot."""
    tools = root / "tools"
    os.makedirs(tools, exist_ok=True)
    for name, text in (("probe", PROBE.format(uuid=BOOT_UUID)),
                       ("mkrelpath", f"#!/bin/sh\necho '{boot}'\n")):
        (tools / name).write_text(text)
        os.chmod(tools / name, 0o755)
    if subprocess.run(["unshare", "-rm", "true"]).returncode:
        pytest.skip("no mount namespaces for us here")
    return run("unshare", "-rm", "sh", "-c", INSIDE.format(root=root), env=dict(
        os.environ, grub_probe=str(tools / "probe"),
        grub_mkrelpath=str(tools / "mkrelpath"), GRUB_DEVICE="/dev/vda2",
        GRUB_DEVICE_UUID=ROOT_UUID, GRUB_DEVICE_BOOT="/dev/vda1",
        GRUB_CMDLINE_LINUX="console=ttyS0", GRUB_CMDLINE_LINUX_DEFAULT="quiet",
        GRUB_EARLY_INITRD_LINUX_STOCK="intel-ucode.img amd-ucode.img",
        **env))


@pytest.mark.parametrize("boot", ["/boot", ""], ids=["root", "separate-boot"])
def test_grub(root, version, boot, tmp_path):
    """An entry for each kernel that joist.ko is there for, newest first."""
    others = ("6.1.0-9-amd64", "6.1.0-1-without-joist")
    for name in (version, *others):
        (root / "boot" / f"vmlinuz-{name}").write_text("")
    (root / "boot" / f"initrd.img-{version}").write_text("")
    for name in others:
        os.makedirs(root / "lib/modules" / name / "updates")
    shutil.copy(root / f"lib/modules/{version}/updates/joist.ko",
                root / f"lib/modules/{others[0]}/updates")
    os.makedirs(root / "etc/default/grub.d")
    (root / "etc/default/grub").write_text(
        'GRUB_CMDLINE_JOIST="loglvl=debug"\n')
    (root / "etc/default/grub.d/a.cfg").write_text(
        'GRUB_CMDLINE_LINUX_JOIST="nohz=off"\n'
        'GRUB_EARLY_INITRD_LINUX_CUSTOM="acpi.cpio"\n')
    for name in ("acpi.cpio", "amd-ucode.img"):
        (root / "boot" / name).write_text("")
    os.makedirs(root / "dev")
    text = entries(root, boot)
    path = tmp_path / "grub.cfg"
    path.write_text(text)
    run("grub-script-check", path)
    found = re.findall(r"^menuentry '(.*?)'.*?^}$", text, re.M | re.S)
    assert found == [f"Joist, with Linux {v}" for v in (version, others[0])]
    assert (root / "said").read_text().splitlines() == \
        [f"Found Joist for Linux {v}" for v in (version, others[0])]
    lines = [line.split() for line in text.splitlines()]
    assert ["multiboot2", f"{boot}/joist.elf", "loglvl=debug"] in lines
    args = "ro modules_load=joist console=ttyS0 quiet nohz=off".split()
    # Linux names the device itself where there is no such UUID.
    for v in (version, others[0]):
        assert ["module2", f"{boot}/vmlinuz-{v}", "control", "root=/dev/vda2",
                *args] in lines
    initrds = [line for line in lines if line[-1:] == ["initrd"]]
    early = [["module2", f"{boot}/{name}", "initrd"]
             for name in ("amd-ucode.img", "acpi.cpio")]
    assert initrds == [
        *early, ["module2", f"{boot}/initrd.img-{version}", "initrd"], *early]
    assert any(line[0] == "search" and BOOT_UUID in line
               for line in lines if line)
    # And where there is: as Debian's own entries do.
    os.makedirs(root / "dev/disk/by-uuid")
    (root / "dev/disk/by-uuid" / ROOT_UUID).write_text("")
    assert entries(root, boot).count(f"root=UUID={ROOT_UUID} ") == 2
    assert entries(root, boot, GRUB_DISABLE_LINUX_UUID="true") == text
    # Without the hypervisor there is nothing to offer.
    os.unlink(root / "boot/joist.elf")
    assert entries(root, boot) == ""
