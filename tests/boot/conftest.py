# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: machines that end with the test, and whose logs a failure shows."""
import functools
import hashlib
import http.server
import os
import subprocess
import threading

import pytest

import machine as m
import results


# Groups and tests that take long, the longest first: at the end no core waits
# long for the other.  The rest follows.
LONGEST = ("test_linux", "vms", "devices", "debian", "test_make_demo",
           "firmware", "bochs-vmx-4", "bochs-vmx-1", "bochs-svm-1",
           "bochs-deb13-vmx-1", "selftest-deb13-4", "selftest-pc-2-release",
           "test_machine", "test_make_run", "selftest-q35-4")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true",
                     help="the platforms that take long, too")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only where --long is given")
    config.addinivalue_line("markers", "platform(name): what it runs on")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        left = [i for i in items if not i.get_closest_marker("long")]
        config.hook.pytest_deselected(
            items=[i for i in items if i.get_closest_marker("long")])
        items[:] = left
    for item in items:
        item.user_properties.append(("cell", results.place(item)))

    def rank(item):
        group = item.get_closest_marker("xdist_group")
        name = group.args[0] if group else item.originalname
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def agent_image(tmp_path_factory):
    """To be appended to the live image: the agent in place of the shell."""
    path = str(tmp_path_factory.mktemp("agent") / "agent.img")
    subprocess.run([os.path.join(m.TOP, "guests/control/image/mkinitrd.py"),
                    path, "--bare", "--file",
                    os.path.join(m.HERE, "agent.sh") + ":/joist-autorun"],
                   check=True)
    return path


def starter(request, tmp_path_factory):
    started = []
    request.node.machines = started

    def start(name, iso=None, media="cd", **kw):
        image = {k: kw.pop(k) for k in ("elf", "control", "args", "initrd", "tunables",
                                        "grub_cfg") if k in kw}
        if iso is None:
            iso = str(tmp_path_factory.mktemp("iso") / "test.iso")
            m.make_iso(iso, firmware=kw.get("firmware", "bios"), **image)
        kind = kw.pop("kind", None)
        machine = kind(name, iso, **kw) if kind else \
            m.Machine(name, iso, media=media, **kw)
        started.append(machine)
        return machine

    yield start
    for machine in started:
        machine.close()
        if str(machine.iso).startswith(str(tmp_path_factory.getbasetemp())):
            os.unlink(machine.iso)


@pytest.fixture
def start(request, tmp_path_factory):
    """start(name, ...) boots a machine; see machine.Machine and make_iso."""
    yield from starter(request, tmp_path_factory)


@pytest.fixture(scope="module")
def start_module(request, tmp_path_factory):
    """The same, for a machine that several tests use."""
    yield from starter(request, tmp_path_factory)


@pytest.fixture
def start_linux(start, agent_image):
    return functools.partial(linux, start, agent_image)


@pytest.fixture(scope="module")
def start_linux_module(start_module, agent_image):
    return functools.partial(linux, start_module, agent_image)


def linux(start, agent, name, args="", more=(), **kw):
    """Boot Linux with the agent and more in its image, and wait for it."""
    kw.setdefault("control", m.VMLINUX)
    image = kw.pop("image", m.INITRD)
    machine = start(name, args=f"{m.LINUX_ARGS} {args}",
                    initrd=[image, *more, agent], **kw)
    machine.ready()
    return machine


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for node in item.listchain():
        for machine in getattr(node, "machines", ()):
            report.sections.append((f"machine {machine.name}",
                                    machine.tail()))


def pytest_terminal_summary(terminalreporter, config):
    if not hasattr(config, "workerinput"):
        results.add_reports(terminalreporter.stats)


class Served:
    """Bytes for the control VM to fetch from the machine outside."""

    def __init__(self, data):
        self.data = data
        self.sha256 = hashlib.sha256(data).hexdigest()
        served = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                size = int(self.path.strip("/") or len(served.data))
                self.send_response(200)
                self.send_header("Content-Length", str(size))
                self.end_headers()
                self.wfile.write(served.data[:size])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def digest(self, size):
        return hashlib.sha256(self.data[:size]).hexdigest()


@pytest.fixture(scope="session")
def served():
    web = Served(os.urandom(64 << 20))
    yield web
    web.server.shutdown()
