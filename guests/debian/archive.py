# SPDX-License-Identifier: BSD-2-Clause
"""Debian's archive, for trees of a release that need not be this machine's.

No host is named here: packages come from where this machine's own apt gets
Debian's, and Debian's keys, which this machine has, vouch for them.
"""
import os
import re
import subprocess

KEYRINGS = "/usr/share/keyrings"
KEYRING = os.path.join(KEYRINGS, "debian-archive-keyring.gpg")


class Error(Exception):
    pass


def own_release():
    """This machine's release, as in "bookworm"."""
    with open("/etc/os-release") as f:
        found = re.search(r'^VERSION_CODENAME="?(\w+)"?$', f.read(), re.M)
    return found.group(1) if found else ""


def index():
    """(where, suite, component) of each of the machine's package lists."""
    text = subprocess.run(
        ["apt-get", "indextargets", "--format",
         "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        check=True, text=True, stdout=subprocess.PIPE).stdout
    return [tuple(line.split()) for line in text.splitlines()]


def sources(release):
    """Lines for apt: Debian's main, with its updates, of that release."""
    if not os.path.exists(f"{KEYRINGS}/debian-archive-{release}-stable.gpg"):
        raise Error(f"this machine does not have Debian's keys of {release}: "
                    "update the package debian-archive-keyring")
    own = own_release()
    found = set()
    for where, suite, component in index():
        for kind in ("", "-updates", "-security"):
            if component == "main" and suite in (own + kind, release + kind):
                found.add(f"deb [signed-by={KEYRING}] {where} "
                          f"{release + kind} main\n")
    if not any(f" {release} " in line for line in found):
        raise Error(f"apt's sources here have no Debian {own}: "
                    "give --sources FILE")
    return "".join(sorted(found))
