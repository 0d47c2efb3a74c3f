# SPDX-License-Identifier: BSD-2-Clause
"""The devices of virtual machines: disks, networks, the process that has them;
hostile guests; what outlives a crash."""
import hashlib
import re

import pytest

import machine as m
from vms import (GUEST, LINUX, LINUX_MEM, check_hostile, check_hostile_driver,
                 control, ctl_json, guest_run, nothing_left, pool_free, said,
                 start_linux_guest, type_to, vm, wait)

pytestmark = pytest.mark.xdist_group("devices")

MIB = 1 << 20


def check_full(control):
    """No room on the host for what the guest writes to its vdc: it is paused,
    and loses nothing."""
    type_to(control, "disk", "dd if=/dev/urandom of=/big bs=64k count=96; "
            "dd if=/big of=/dev/vdc bs=64k conv=fsync && echo all-$((1 + 1))")
    paused = "joistctl status disk --json | grep -q '\"state\": \"paused\"'"
    assert wait(control, paused)
    before = vm(control, "disk")
    assert "No space left" in before["why_paused"], before
    assert "/tmp/small/disk" in before["why_paused"], before
    assert before["disk_errors"][:3] == [0, 0, 0], before
    assert before["disk_errors"][3] > 0, before
    control.output("logread | grep -q 'small/disk.*No space left.*paused' && "
                   "joistctl status | grep '^disk is paused: .*small/disk'")
    # There is no more of it yet.
    control.output("joistctl unpause disk")
    assert wait(control, paused)
    assert vm(control, "disk")["disk_errors"][3] > before["disk_errors"][3]
    control.output("mount -o remount,size=32m /tmp/small && "
                   "joistctl unpause disk")
    said(control, "disk", "^all-2")
    digest = control.output("head -c 6291456 /tmp/small/disk | "
                            "sha256sum").split()[0]
    assert guest_run(control, "disk", f"sha256sum /big | grep {digest}") == 0
    after = vm(control, "disk")
    assert after["state"] == "running" and not after["why_paused"], after


def test_disk(control):
    """A file system: made, filled, found again after a reboot and a kill."""
    control.output("truncate -s 48M /tmp/disk")
    start = "-d /tmp/disk,serial=abc-123"
    mount = "mkdir -p /m && mount -t ext4 /dev/vda /m"
    start_linux_guest(control, "disk", cpus=2, more=start)
    said(control, "disk", "guest: Linux .* on 2 CPUs")
    assert guest_run(control, "disk", "grep abc-123 "
                     "/sys/block/vda/serial") == 0
    assert guest_run(control, "disk", "mkfs.ext4 -q /dev/vda") == 0
    assert guest_run(control, "disk", mount) == 0
    assert guest_run(control, "disk", "cd /m && dd if=/dev/urandom bs=64k "
                     "count=160 of=big && sha256sum big > sums") == 0
    # It knows where it is, and which one it is.
    assert guest_run(control, "disk", "cd /sys/class/dmi/id && grep Joist "
                     "sys_vendor && grep disk product_serial") == 0
    # One VM at a time writes to it.
    code, text = control.run(f"joistctl start other {LINUX} -d /tmp/disk 2>&1")
    assert code == 2 and "in use" in text, text
    # A reboot with the file system mounted; /m is busy, so only synced.
    assert guest_run(control, "disk", "sync") == 0
    type_to(control, "disk", "reboot")
    said(control, "disk", "guest: Linux .* on 2 CPUs", 2)
    assert guest_run(control, "disk", mount) == 0
    assert guest_run(control, "disk", "cd /m && sha256sum -c sums") == 0
    # What has been flushed survives its device process.
    assert guest_run(control, "disk", "dd if=big of=more bs=64k count=40 "
                     "conv=fsync && sha256sum more > sum2 && sync") == 0
    control.output(f"kill -9 {vm(control, 'disk')['manager']}")
    assert wait(control, "! pidof joist-vm > /dev/null")
    control.output("head -c 1048576 /dev/urandom > /tmp/disk2")
    control.output("mkdir /tmp/small && mount -t tmpfs -o size=4m none "
                   "/tmp/small && truncate -s 16M /tmp/small/disk")
    start_linux_guest(control, "disk", more=start + " -d /tmp/disk2,ro"
                      " -d /tmp/disk2,cd -d /tmp/small/disk")
    said(control, "disk", "guest: Linux .* on 1 CPU")
    assert guest_run(control, "disk", mount) == 0
    assert guest_run(control, "disk",
                     "cd /m && sha256sum -c sums && sha256sum -c sum2") == 0
    assert guest_run(control, "disk", "cd / && umount /m && "
                     "fsck.ext4 -fn /dev/vda") == 0
    # The source of random numbers: 4 KiB of them do not shrink.
    assert guest_run(control, "disk", "modprobe virtio_rng && head -c 4096 "
                     "/dev/hwrng | gzip | wc -c | grep 4[01]..") == 0
    # The second one is read-only, and what it should be.
    assert guest_run(control, "disk", "echo > /dev/vdb") != 0
    digest = control.output("sha256sum < /tmp/disk2").split()[0]
    assert guest_run(control, "disk",
                     f"sha256sum /dev/vdb | grep {digest}") == 0
    # And in a CD drive.
    assert guest_run(control, "disk", "modprobe -a virtio_scsi sr_mod && "
                     f"sha256sum /dev/sr0 | grep {digest}") == 0
    check_full(control)
    control.output("joistctl kill disk; rm /tmp/disk /tmp/disk2")
    assert wait(control, "! pidof joist-vm > /dev/null")
    control.output("umount /tmp/small && rmdir /tmp/small")


def test_qcow2(control):
    """An image in a format, on top of another: by who is in group joist."""
    control.output("mkdir /tmp/q; cp /guests/*.qcow2 /tmp/q; "
                   "chown -R joist /tmp/q; chmod 444 /tmp/q/base.qcow2")
    start = (f"joistctl start cow {LINUX} -m {LINUX_MEM} "
             "-d /tmp/q/top.qcow2,format=qcow2,serial=cow-1,backing=/tmp/q/base.qcow2 "
             "-d /guests/small.vmdk,format=vmdk,cd -a 'console=ttyS0 quiet "
             "no_timer_check guest.name=cow'")
    mount = "mkdir -p /m && mount -t ext4 /dev/vda /m"
    # Below an image is what the configuration says, and not its header.
    for who in ("root", "joist"):
        code, text = control.run(
            f"su {who} -c \"{start.replace(',backing=/tmp/q/base.qcow2', '')}\" "
            "2>&1")
        assert code == 2 and "base.qcow2" in text, text
    control.output(f'su joist -c "{start}"')
    said(control, "cow", "guest: Linux .* on 1 CPU")
    assert guest_run(control, "cow", f"mkfs.ext4 -q /dev/vda && {mount}") == 0
    assert guest_run(control, "cow", "cd /m && dd if=/dev/urandom of=big "
                     "bs=64k count=80 && sha256sum big > sums && sync") == 0
    # As a raw disk would be: it is who it is, and takes discards.
    assert guest_run(control, "cow", "grep cow-1 /sys/block/vda/serial && "
                     "fstrim /m") == 0
    digest = control.output("sha256sum < /guests/small").split()[0]
    assert guest_run(control, "cow", "modprobe -a virtio_scsi sr_mod && "
                     f"sha256sum /dev/sr0 | grep {digest}") == 0
    # A reboot with the file system mounted: the same daemon goes on.
    daemons = control.output("pidof qemu-storage-daemon")
    type_to(control, "cow", "reboot")
    said(control, "cow", "guest: Linux .* on 1 CPU", 2)
    assert guest_run(control, "cow", f"{mount} && cd /m && "
                     "sha256sum -c sums") == 0
    control.output("joistctl pause cow && joistctl unpause cow")
    assert guest_run(control, "cow", "dd if=big of=more bs=64k count=9 "
                     "conv=fsync") == 0
    assert control.output("pidof qemu-storage-daemon") == daemons
    # One VM at a time writes to it.
    code, text = control.run(f"{start.replace('cow', 'two', 1)} 2>&1")
    assert code == 2 and "top.qcow2" in text and "in use" in text, text
    # What has been flushed survives joist-vm, and the daemon ends with it.
    control.output(f"kill -9 {vm(control, 'cow')['manager']}")
    assert wait(control, "! pidof joist-vm qemu-storage-daemon > /dev/null")
    control.output(start)
    said(control, "cow", "guest: Linux .* on 1 CPU")
    assert guest_run(control, "cow", f"{mount} && cd /m && "
                     "sha256sum -c sums") == 0
    assert guest_run(control, "cow", "cd / && umount /m && "
                     "fsck.ext4 -fn /dev/vda") == 0
    # A daemon that closes its connection is ended, and the guest gets errors.
    pid = control.output("grep -l small.vmdk $(pidof qemu-storage-daemon | "
                         "sed 's,[0-9]\\+,/proc/&/cmdline,g')").split("/")[2]
    listener = re.search(r"addr.str=(\d+)", control.output(
        f"tr '\\0' '\\n' < /proc/{pid}/cmdline")).group(1)
    connection, = set(re.findall(r" (\d+) -> socket:", control.output(
        f"ls -l /proc/{pid}/fd"))) - {"0", "1", "2", listener}
    assert guest_run(control, "cow", "modprobe -a virtio_scsi sr_mod && "
                     "dd if=/dev/sr0 of=/dev/null bs=2k count=1") == 0
    control.output(f"inject {pid} 48 {connection} 2")
    assert wait(control, "logread | grep -q 'cow: disk /guests/small.vmdk: "
                "qemu-storage-daemon died of signal 9'")
    assert guest_run(control, "cow", "dd if=/dev/sr0 of=/dev/null bs=2k "
                     "count=1 skip=110") != 0
    assert guest_run(control, "cow", "dd if=/dev/vda of=/dev/null bs=4k "
                     "count=1 skip=7000") == 0
    # So it does without a daemon, and goes on.
    control.output("kill -9 $(pidof qemu-storage-daemon)")
    assert wait(control, "logread | grep -q 'cow: disk /tmp/q/top.qcow2: "
                "qemu-storage-daemon died of signal 9'")
    assert guest_run(control, "cow", "dd if=/dev/vda of=/dev/null bs=4k "
                     "count=1 skip=9000") != 0
    assert guest_run(control, "cow", "dd if=/dev/urandom of=/dev/vda bs=64k "
                     "count=1 conv=fsync") != 0
    control.output("joistctl kill cow; rm -r /tmp/q")


def test_sandbox(control):
    """A machine process that somebody has taken over can do little."""
    control.output("joistctl start other -m 16M -k /guests/spin")
    for who, as_user in (("root", "{}"), ("joist", "su joist -c '{}'")):
        control.output(as_user.format("joistctl start box -m 16M "
                                      "-k /guests/spin"))
        said(control, "box", "hello")
        pid = vm(control, "box")["pid"]
        text = control.output(f"cat /proc/{pid}/status")
        uid = int(re.search(r"^Uid:\s+(\d+)", text, re.M).group(1))
        assert uid > 1 << 24 if who == "root" else uid == 970
        assert "NoNewPrivs:\t1" in text and "Seccomp:\t2" in text
        assert re.search(r"^CapEff:\s+0+$", text, re.M)
        assert control.output(f"ls -A /proc/{pid}/root/") == ""
        assert len(control.output(f"cat /proc/{pid}/net/dev")
                   .splitlines()) == 3
        # getpid() is in the list, so this is how a call is made: ...
        assert control.output(f"inject {pid} 39") == str(pid)
        assert vm(control, "box")["state"] == "running"
        # ... and open() is not.
        control.run(f"inject {pid} 2 0 0")
        assert wait(control, "! joistctl status box > /dev/null 2>&1")
        assert wait(control, "logread | tail -n 3 | grep -q 'box: the device "
                    "process made a system call that its sandbox forbids'")
    assert vm(control, "other")["state"] == "running"
    control.output("joistctl kill other")


def guest_fetches(control, name, address, port, size):
    """The guest gets so many zero bytes from the control VM: their digest."""
    digest = hashlib.sha256(bytes(size)).hexdigest()
    control.run(f"(head -c {size} /dev/zero | nc -l -p {port}) "
                "> /dev/null 2>&1 &")
    assert wait(control, f"netstat -ltn | grep -q :{port}")
    assert guest_run(control, name, f"nc {address} {port} | sha256sum | "
                     f"grep {digest}") == 0
    return digest


def test_net(control):
    """Two guests on a bridge with the control VM, and one that lies."""
    net = "192.168.77."
    control.output("ip link add br0 type bridge; ip link set br0 mtu 4000 up; "
                   f"ip addr add {net}1/24 dev br0")
    # The first one's queues are the kernel's, the second one's joist-vm's; both
    # have a pair for each CPU.
    for n, name, allow in ((2, "one", ",allow"), (3, "two", "")):
        control.output(
            f"joistctl start {name} {LINUX} -m {LINUX_MEM} -c 2 "
            f"-n bridge=br0,queues=2{allow} -a 'console=ttyS0 quiet no_timer_check guest.name={name} "
            f"guest.ip={net}{n}'")
    # A port is no reason for the bridge to take smaller packets.
    taps = control.output("ls /sys/class/net/br0/brif").split()
    assert len(taps) == 2
    for tap in ["br0"] + taps:
        assert control.output(f"cat /sys/class/net/{tap}/mtu") == "4000", tap
    for tap in taps:
        assert control.output(f"cat /proc/sys/net/ipv6/conf/{tap}/disable_ipv6 "
                              "2>/dev/null || echo 1") == "1"
    for name in ("one", "two"):
        said(control, name, "guest: Linux .* on 2 CPUs")
    threads = control.output("ps -o pid,args | grep '[[]vhost-'").splitlines()
    assert [t.split("-")[1].strip("]") for t in threads] == \
        2 * [str(vm(control, "one")["pid"])]
    control.output(f"ping -c 3 -w 60 {net}2; ping -c 3 -w 60 {net}3")
    assert guest_run(control, "one", f"ping -c 3 -w 60 {net}3") == 0
    # What the second CPU sends is answered by the second pair.
    for name in ("one", "two"):
        assert guest_run(control, name, f"taskset 2 ping -c 3 -w 60 {net}1 && "
                         "set -- $(grep input.1 /proc/interrupts) && "
                         "[ $(($2 + $3)) -gt 0 ]") == 0
    # Much in both directions.
    size = 8 << 20
    digest = guest_fetches(control, "one", f"{net}1", 5001, size)
    # Its input must not end before the other side has sent everything.
    control.run("mkfifo /tmp/never; (nc -l -p 5002 0<> /tmp/never | "
                "sha256sum) > /tmp/sum &")
    assert wait(control, "netstat -ltn | grep -q :5002")
    assert guest_run(control, "two",
                     f"head -c {size} /dev/zero | nc {net}1 5002") == 0
    assert wait(control, f"grep {digest} /tmp/sum")
    # A reboot begins afresh.
    type_to(control, "one", "reboot")
    said(control, "one", "guest: Linux .* on 2 CPUs", 2)
    assert guest_run(control, "one", f"ping -c 3 -w 60 {net}3") == 0
    # Another's address is not sent from, but where it is allowed.
    assert guest_run(control, "one", "ifconfig eth0 hw ether "
                     f"4a:6f:00:00:00:02 && ping -c 2 -w 60 {net}1") == 0
    assert guest_run(control, "two", "ifconfig eth0 hw ether "
                     f"4a:6f:00:00:00:01 && ! ping -c 2 -w 5 {net}1") == 0
    control.output("joistctl kill one; joistctl kill two; ip link del br0; "
                   "rm /tmp/sum /tmp/never")


def test_net_user(control):
    """A network without a bridge, by who is in group joist."""
    start = (f"joistctl start user {LINUX} -m {LINUX_MEM} "
             "-n user,loopback,forward=tcp::8022:80 -a 'console=ttyS0 quiet "
             "no_timer_check guest.name=user guest.ip=10.0.2.15'")
    control.output(f'su joist -c "{start}"')
    said(control, "user", "guest: Linux .* on 1 CPU")
    assert guest_run(control, "user", "ping -c 2 -w 60 10.0.2.2") == 0
    # Out: 10.0.2.2 is the control VM's own address to itself.
    guest_fetches(control, "user", "10.0.2.2", 5003, 1 << 20)
    # In, by the forwarded port; somebody else cannot have that, too.
    type_to(control, "user", "echo from-inside | nc -l -p 80 &")
    assert wait(control, "nc 127.0.0.1 8022 < /dev/null | grep from-inside")
    code, text = control.run(f"{start.replace('user', 'two', 1)} 2>&1")
    assert code == 2 and "8022" in text and "in use" in text, text
    # When it dies, the guest knows, and goes on.
    assert guest_run(control, "user", "grep 1 /sys/class/net/eth0/carrier") == 0
    control.output("kill -9 $(pidof joist-net)")
    assert wait(control, "logread | grep -q 'user: network card 0: joist-net "
                "died of signal 9'")
    assert guest_run(control, "user", "while grep 1 /sys/class/net/eth0/carrier"
                     "; do sleep 1; done") == 0
    control.output("joistctl kill user")
    assert wait(control, "! pidof joist-net > /dev/null")


def test_vsock(control):
    """Sockets between a guest and the control VM, in both directions."""
    control.output(f"cat {GUEST}/initrd /guests/tools.img > /tmp/initrd")
    start = (f"joistctl start sock -k {GUEST}/vmlinux -r /tmp/initrd "
             f"-m {LINUX_MEM} --vsock 5 -a 'console=ttyS0 quiet "
             "no_timer_check guest.name=sock'")
    control.output(f'su joist -c "{start}"')
    said(control, "sock", "guest: Linux .* on 1 CPU")
    modules = "modprobe -a virtio_pci vmw_vsock_virtio_transport"
    assert guest_run(control, "sock", modules) == 0
    code, text = control.run("joistctl start other -m 16M -k /guests/spin "
                             "--vsock 5 2>&1")
    assert code == 2 and "CID 5 is in use" in text, text
    control.output("joistctl start other -m 16M -k /guests/spin --vsock 6; "
                   "joistctl kill other")
    # Much out of the guest, ...
    size = 4 << 20
    digest = hashlib.sha256(bytes(size)).hexdigest()
    control.run("vsock listen 1001 < /dev/null 2> /tmp/err | sha256sum "
                "> /tmp/sum &")
    assert wait(control, "grep -q listening /tmp/err")
    assert guest_run(control, "sock", f"head -c {size} /dev/zero | "
                     "vsock connect 2 1001") == 0
    assert wait(control, f"grep -q {digest} /tmp/sum")
    # ... and into it, after a reset, too.
    for boot in (1, 2):
        type_to(control, "sock", "vsock listen 1002 < /dev/null | sha256sum &")
        said(control, "sock", "listening", boot)
        control.output(f"head -c {size} /dev/zero | vsock connect 5 1002")
        said(control, "sock", digest, boot)
        if boot == 1:
            assert guest_run(control, "sock", "{ vsock listen 1003 2> "
                             "/dev/null & }") == 0
            control.output("joistctl reset sock")
            said(control, "sock", "guest: Linux .* on 1 CPU", 2)
            assert guest_run(control, "sock", modules) == 0
    # Nobody there: told at once.
    assert guest_run(control, "sock", "vsock connect 2 1009") == 1
    control.output("joistctl kill sock; rm /tmp/initrd /tmp/err /tmp/sum")


def test_console(control):
    """The virtio console: out of the guest, into it, and who has none."""
    start_linux_guest(control, "con", more="--console file:/tmp/hvc "
                      "-s console -s pty")
    said(control, "con", "guest: Linux .* on 1 CPU")
    # Both serial ports are in its tables.
    for port in ("0x3f8", "0x2f8"):
        assert guest_run(control, "con", f"grep {port} "
                         "/sys/bus/pnp/devices/*/resources") == 0
    assert guest_run(control, "con", "modprobe -a virtio_pci "
                     "virtio_console") == 0
    digest = control.output("seq -s , 20000 | sha256sum")
    for boot in (1, 2):
        # More than there is room for on the way.
        assert guest_run(control, "con", "seq -s , 20000 > /dev/hvc0; "
                         f"echo over-{boot} > /dev/hvc0") == 0
        assert wait(control, f"joistctl log con -p hvc | grep -q over-{boot}")
        assert control.output("tr -d '\\r' < /tmp/hvc | head -n 1 | "
                              "sha256sum") == digest
        assert guest_run(control, "con", "exec 3< /dev/hvc0") == 0
        control.run("echo by-console | timeout 60 joistctl console con -p hvc "
                    "> /tmp/out 2>&1 &")
        assert guest_run(control, "con", "read -r x <&3; "
                         "[ $x = by-console ]") == 0
        if boot == 1:
            # A driver that leaves, and one that comes.
            control.output(": > /tmp/hvc")
            type_to(control, "con", "reboot")
            said(control, "con", "guest: Linux .* on 1 CPU", 2)
            assert guest_run(control, "con", "modprobe -a virtio_pci "
                             "virtio_console") == 0
    assert vm(control, "con")["console"] == "file:/tmp/hvc"
    control.output("joistctl kill con; rm /tmp/hvc /tmp/out; "
                   "joistctl start no -m 16M -k /guests/spin")
    code, text = control.run("joistctl log no -p hvc 2>&1")
    assert code == 2 and "no virtio console" in text, text
    control.output("joistctl kill no")


def memory(control, name):
    return ctl_json(control, f"memory {name}")


def test_balloon(control):
    """Memory goes to another VM and comes back; a pool that has none."""
    size, least, other = 256, 160, 64                   # MiB
    # All but so much is taken, and a little for tables.
    hog = pool_free(control) // MIB - size - 32
    control.output(f"joistctl start hog -m {hog}M -k /guests/spin")
    start_linux_guest(control, "bal", more=f"-m {size}M --balloon yes")
    said(control, "bal", "guest: Linux .* on 1 CPU")
    free = pool_free(control)
    two = f"joistctl start two -m {other}M -k /guests/spin"
    code, text = control.run(two + " 2>&1")
    assert code == 2 and "the pool has" in text, text

    # Less: in the guest, in the hypervisor, and for another VM.
    control.output(f"joistctl memory bal {least}M -w -t 900")
    now = memory(control, "bal")
    assert now["held"] == now["target"] == least * MIB
    assert now["configured"] == size * MIB and now["driver"]
    assert now["actual"] == (size - least) * MIB
    assert 0 < now["stats"]["free"] < now["stats"]["total"] < least * MIB
    assert vm(control, "bal")["memory"] == least * MIB
    assert pool_free(control) - free > (size - least - 2) * MIB
    control.output(two)

    # More, and somebody else has it.
    control.output(f"joistctl memory bal {size}M")
    assert wait(control, "joistctl memory bal | grep -q 'wants memory back'")
    code, text = control.run(f"joistctl memory bal {size}M -w -t 1 2>&1")
    assert code == 2 and "the pool has not got that much" in text and \
        f"not {size} MiB" in text, text
    assert memory(control, "bal")["starved"]
    control.output("joistctl kill two")
    control.output(f"joistctl memory bal {size}M -w -t 900")
    # What has come back is memory: it keeps what is written.
    assert guest_run(control, "bal", "mkdir /t && mount -t tmpfs none /t && "
                     "dd if=/dev/urandom of=/t/x bs=64k count=256 && "
                     "cp /t/x /t/y && cmp /t/x /t/y && rm /t/x /t/y") == 0

    # A reboot while it has little, which it is asked to keep to again.
    control.output(f"joistctl memory bal {least}M -w -t 900")
    type_to(control, "bal", "reboot")
    said(control, "bal", "guest: Linux .* on 1 CPU", 2)
    control.output(f"joistctl memory bal {least}M -w -t 900")
    # And one when another VM has the rest.
    control.output(two)
    type_to(control, "bal", "reboot")
    assert wait(control, "logread | grep -q 'bal: the guest starts anew, and "
                "memory that it had given back is not in the pool'")
    assert wait(control, "! joistctl status bal > /dev/null 2>&1")
    control.output("joistctl kill two")

    # Whom it cannot be asked of, or what not.
    control.output("joistctl start no -m 32M --balloon yes -k /guests/spin")
    for command, code, word in (
            ("hog", 2, "it has no balloon"), ("no 8M", 2, "16 MiB or more"),
            ("no 33M", 2, "has 32 MiB and cannot get more"),
            ("no 20001K", 2, "4 KiB"), ("no some", 64, "not a size"),
            ("no -w", 64, "which size"),
            ("no 20M", 0, "no driver"), ("no 20M -t 2", 2, "not 20 MiB")):
        got, text = control.run(f"joistctl memory {command} 2>&1")
        assert got == code and word in text, (command, got, text)
    now = memory(control, "no")
    assert not now["driver"] and now["target"] == 20 * MIB and \
        now["held"] == 32 * MIB and now["stats"] is None
    control.output("joistctl kill no; joistctl kill hog")


def test_hostile(control):
    check_hostile(control)


def test_hostile_driver(control):
    control.output("cp /guests/small.vmdk /tmp")
    check_hostile_driver(control, (
        ("/tmp/disk", "", "-d /tmp/disk2,ro"),
        ("/tmp/small.vmdk,format=vmdk", ",allow", "--balloon yes")))
    control.output("rm /tmp/small.vmdk")


def acks(text, names):
    """The last block in each directory whose flush had ended; -1: none."""
    return {d: max([-1, *map(int, re.findall(rf"^ack {d} (\d+)$", text, re.M))])
            for d in names}


def durable_start(control):
    control.output(
        f"joistctl start dur {LINUX} -m {LINUX_MEM} -d /mnt/raw "
        "-d /mnt/top.qcow2,format=qcow2,backing=/mnt/base.qcow2 "
        "-a 'console=ttyS0 quiet no_timer_check guest.name=dur'")
    said(control, "dur", "guest: Linux .* on 1 CPU")


DURABLE_MOUNT = ("mkdir -p /raw /qcow2 && mount -t ext4 /dev/vda /raw && "
                 "mount -t ext4 /dev/vdb /qcow2")


def durable_check(control, last):
    """In a new guest: all of them are there, and the file systems good."""
    assert guest_run(control, "dur", DURABLE_MOUNT) == 0
    for name, n in last.items():
        assert guest_run(control, "dur", f"durable check {name} {n}") == 0
    for name, dev in (("/raw", "vda"), ("/qcow2", "vdb")):
        assert guest_run(control, "dur", f"umount {name} && fsck.ext4 -fn "
                         f"/dev/{dev}") == 0


def test_durable(control):
    """What a guest has flushed outlives joist-vm, and the machine: the last
    test, as the control VM begins afresh."""
    mount = "mount -t ext4 /dev/nvme0n1 /mnt"
    control.output(f"{mount} && cp /guests/*.qcow2 /mnt && "
                   "truncate -s 48M /mnt/raw && sync")
    # No guest gets a disk to write to that is mounted here.
    code, text = control.run(f"joistctl start dur {LINUX} -d /dev/nvme0n1 2>&1")
    assert code == 2 and "in use on this machine" in text, text
    durable_start(control)
    assert guest_run(control, "dur", "mkfs.ext4 -q /dev/vda && mkfs.ext4 -q "
                     f"/dev/vdb && {DURABLE_MOUNT}") == 0
    control.run("joistctl console dur < /dev/null > /tmp/acks &")
    type_to(control, "dur", "durable write /raw & durable write /qcow2 &")
    names = ["/raw", "/qcow2"]
    for name in names:
        assert wait(control, f"grep -q 'ack {name} 5' /tmp/acks")
    control.output(f"kill -9 {vm(control, 'dur')['manager']}")
    assert wait(control, "! pidof joist-vm qemu-storage-daemon > /dev/null")
    last = acks(control.output("tr -d '\\r' < /tmp/acks"), names)
    durable_start(control)
    durable_check(control, last)
    # The same, and the reset button of the whole machine.
    more = ["/raw/more", "/qcow2/more"]
    assert guest_run(control, "dur", f"{DURABLE_MOUNT} && mkdir "
                     f"{' '.join(more)} && sync") == 0
    type_to(control, "dur", "durable write /raw/more & "
            "durable write /qcow2/more &")
    start = control.agent.at
    control.agent.send("joistctl console dur < /dev/null\n")
    while min(acks(control.agent.text[start:], more).values()) < 5:
        control.agent.expect(r"^ack \S+ \d+$")
    control.qmp("system_reset")
    # Perhaps in the middle of a line.
    control.agent.expect(r"agent-ready$")
    last.update(acks(control.agent.text[start:], more))
    control.output(mount)
    durable_start(control)
    durable_check(control, last)
    control.output("joistctl kill dur")
    assert wait(control, "! pidof joist-vm qemu-storage-daemon > /dev/null")
    control.output("umount /mnt")
