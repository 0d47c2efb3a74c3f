#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""font.py -- a console font (PSF 1, gzip'ed or not) as drivers/font.h's table.

usage: font.py FONT.psf.gz > font.c

Glyphs are found by the font's own Unicode table.  The font must be 8 x 16
(PSF 1 is always 8 wide) and have all of ASCII 32..126.
"""

import gzip
import struct
import sys

MAGIC = 0x0436
GLYPHS_512, HAS_UNICODE = 1, 2      # in the mode byte
HEIGHT = 16
FIRST, LAST = 32, 126
SEQUENCE, END = 0xFFFE, 0xFFFF      # in the Unicode table


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def glyphs(data):
    """Character code -> the bytes of its glyph."""
    magic, mode, height = struct.unpack_from("<HBB", data)
    if magic != MAGIC or not mode & HAS_UNICODE:
        raise ValueError("not a PSF 1 font with a Unicode table")
    if height != HEIGHT:
        raise ValueError(f"a font of 8 x {height}, not 8 x 16")
    count = 512 if mode & GLYPHS_512 else 256
    start = 4 + count * HEIGHT
    table = data[start:len(data) - (len(data) - start) % 2]
    found, i, in_sequence = {}, 0, False
    for (code,) in struct.iter_unpack("<H", table):
        if code == END:
            i, in_sequence = i + 1, False
        elif code == SEQUENCE:
            in_sequence = True
        elif not in_sequence and i < count:
            at = 4 + i * HEIGHT
            found.setdefault(code, data[at:at + HEIGHT])
    return found


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        found = glyphs(read(sys.argv[1]))
        rows = [found[code] for code in range(FIRST, LAST + 1)]
    except (OSError, ValueError, struct.error) as e:
        sys.exit(f"font.py: {sys.argv[1]}: {e}")
    except KeyError as e:
        sys.exit(f"font.py: {sys.argv[1]}: no glyph for code {e}")

    print(f"/* Made by drivers/font.py from {sys.argv[1]}. */")
    print('#include "drivers/font.h"\n')
    print("const u8 font[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT] = {")
    for row in rows:
        print("\t{ " + ", ".join(f"0x{b:02x}" for b in row) + " },")
    print("};")


if __name__ == "__main__":
    main()
