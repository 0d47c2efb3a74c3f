# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's emulation as Joist needs it, for `make run` and the tests.

doc/vendors.md says what each part is for.
"""
# With a thread per core any interrupt may be lost; with one thread a device's or
# timer's, which the next one brings back: a periodic tick.
TCG = "tcg,thread=single,tb-size=64"
