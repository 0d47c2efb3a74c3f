#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Unpack the ELF kernel from a bzImage: vmlinux.py BZIMAGE VMLINUX

The payload's place is in the setup header ("The Linux/x86 Boot Protocol",
payload_offset and payload_length).  Started by its PVH note it spares the
unpacking at every boot, which under software emulation takes longer than all
the rest.  Section headers and the zeros of .bss, which the payload carries as
data, are left out.
"""
import gzip
import lzma
import struct
import subprocess
import sys

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
PT_LOAD, PT_NOTE = 1, 4
PAGE = 4096


def fail(text):
    sys.exit(f"vmlinux.py: {text}")


def unpack(data):
    """Decompress `data`, whose format is told by its magic number."""
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(data)
    if data[:2] == b"\x1f\x8b":
        # The last 4 bytes are the unpacked size, put there by the build.
        return gzip.decompress(data[:-4])
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dcq"], input=data[:-4], check=True,
                              stdout=subprocess.PIPE).stdout
    if data[:4] == b"\x7fELF":
        return data
    fail(f"payload format {data[:6].hex()} is not known")


def payload(path):
    with open(path, "rb") as f:
        image = f.read()
    if image[:4] == b"\x7fELF":
        return image
    if len(image) < 0x250 or image[0x202:0x206] != b"HdrS":
        fail(f"{path}: not a Linux bzImage")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1f1] or 4) + 1) * 512 + offset
    if length == 0 or start + length > len(image):
        fail(f"{path}: truncated")
    return unpack(image[start:start + length])


def slim(elf):
    """The ELF file again, with program headers and their bytes only."""
    if elf[:7] != b"\x7fELF\x02\x01\x01":
        fail("payload is not a 64-bit little-endian ELF file")
    head = list(EHDR.unpack_from(elf))
    loads, notes = [], []
    for i in range(head[10]):
        ph = list(PHDR.unpack_from(elf, head[5] + i * head[9]))
        if ph[0] == PT_LOAD:
            loads.append(ph)
        elif ph[0] == PT_NOTE:
            notes.append(ph)

    pos = -(-(EHDR.size + PHDR.size * (len(loads) + len(notes))) // PAGE) * PAGE
    body = bytearray()
    for ph in loads:
        data = elf[ph[2]:ph[2] + ph[5]].rstrip(b"\0")
        data += bytes(-len(data) % PAGE)
        data = data[:ph[5]]
        moved = pos + len(body) - ph[2]
        for note in notes:
            if ph[2] <= note[2] and note[2] + note[5] <= ph[2] + len(data):
                note[2] += moved
                note[1] |= 1 << 31      # done; cleared below
        ph[2] += moved
        ph[5] = len(data)
        ph[7] = PAGE
        body += data + bytes(-len(data) % PAGE)
    for note in notes:
        if not note[1] >> 31:
            fail("a note lies outside every segment")
        note[1] &= (1 << 31) - 1

    head[5], head[6] = EHDR.size, 0
    head[9], head[10] = PHDR.size, len(loads) + len(notes)
    head[11] = head[12] = head[13] = 0
    out = EHDR.pack(*head) + b"".join(PHDR.pack(*p) for p in loads + notes)
    return out + bytes(pos - len(out)) + bytes(body)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    out = slim(payload(sys.argv[1]))
    with open(sys.argv[2], "wb") as f:
        f.write(out)


main()
