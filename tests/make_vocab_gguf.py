#!/usr/bin/env python3
"""make_vocab_gguf.py - copies a GGUF file's tokenizer, without the weights, into a small GGUF file for tests.

    tests/make_vocab_gguf.py MODEL.gguf OUT.gguf

Every value is copied byte for byte; keys of the model's sizes are left out, so that nobody takes the copy for a model.
"""
import struct
import sys

KEPT = ("general.architecture", "general.name", "general.license", "tokenizer.")
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of each scalar type
STRING, ARRAY = 8, 9


def read_string(data, at):
    size, = struct.unpack_from("<Q", data, at)
    return data[at + 8 : at + 8 + size], at + 8 + size


def skip_value(data, at, kind):
    if kind == STRING:
        return read_string(data, at)[1]
    if kind != ARRAY:
        return at + SIZES[kind]
    element, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if element in SIZES:
        return at + SIZES[element] * count
    for _ in range(count):
        at = skip_value(data, at, element)
    return at


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read(64 << 20)  # metadata stand first
    magic, version, _, n_keys = struct.unpack_from("<4sIQQ", data, 0)
    if magic != b"GGUF" or version not in (2, 3):
        sys.exit(f"{sys.argv[1]}: not a GGUF file of version 2 or 3")
    kept, at = [], 24
    for _ in range(n_keys):
        start = at
        key, at = read_string(data, at)
        kind, = struct.unpack_from("<I", data, at)
        at = skip_value(data, at + 4, kind)
        if key.decode().startswith(KEPT):
            kept.append(data[start:at])
    with open(sys.argv[2], "wb") as file:
        file.write(struct.pack("<4sIQQ", magic, version, 0, len(kept)) + b"".join(kept))


main()
