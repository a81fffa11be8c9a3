# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a file of memory pages as processes have them: memory_image.py FILE.

Several children of this program, each with another kind of heap, do some work and wait; then every page of theirs that
is private, writable and present (what a kernel would swap out) is copied from /proc/PID/mem, in the order of its
address. It is real memory rather than an imitation of it: allocator headers, pointers, counters, text, zero pages. The
layout of address space and the hash seed are fixed (personality(2), PYTHONHASHSEED), so that two runs on one machine
give nearly the same bytes; machines differ as their Python and /usr do.
"""

import array
import ast
import ctypes
import glob
import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import zlib

PAGE_BYTES = 4096
ADDR_NO_RANDOMIZE = 0x0040000
PAGEMAP_PRESENT = 1 << 63  # Documentation/admin-guide/mm/pagemap.rst
MAPPING_BYTES_MAX = 512 << 20


def _library_sources(limit):
    """Paths of Python sources that every installation has."""
    return sorted(glob.glob(os.path.join(os.path.dirname(os.__file__), "*.py")))[:limit]


def syntax_trees():
    """A compiler's heap: small objects full of pointers, and the sources themselves."""
    heap = []
    for path in _library_sources(150):
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        heap.append((path, text, ast.parse(text)))
    return heap


def database():
    """SQLite's pages and indices in memory: records of text and numbers."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table file (id integer primary key, path text, size integer, modified real, note text)")
    connection.execute("create index by_path on file (path)")
    connection.execute("create index by_size on file (size, modified)")
    generator = random.Random(1)
    names = sorted(os.path.join(parent, name) for parent, _, files in os.walk("/usr/share") for name in files)
    for number in range(250000):
        path = names[number % len(names)]
        connection.execute("insert into file (path, size, modified, note) values (?, ?, ?, ?)",
                           (f"{path}.{number // len(names)}", int(generator.expovariate(1e-4)),
                            1.6e9 + generator.random() * 1e8, generator.choice(("new", "seen", "", None))))
    return connection


def documents():
    """A service's heap: many dictionaries, read from JSON, with repeated keys and short strings."""
    generator = random.Random(2)
    text = json.dumps([
        {"id": number, "user": f"user{generator.randrange(5000)}", "score": generator.random(),
         "tags": generator.sample(("red", "green", "blue", "new", "old", "hot"), 3), "active": number % 3 == 0}
        for number in range(90000)
    ])
    return text, json.loads(text)


def numbers_and_blobs():
    """Arrays of numbers, sparse tables, zeroed buffers; and data that is compressed already, as images are."""
    generator = random.Random(3)
    samples = array.array("d", (math.sin(i / 50) + generator.gauss(0, 0.01) for i in range(1 << 20)))
    integers = array.array("q", (generator.randrange(1 << 16) for _ in range(1 << 20)))
    counters = array.array("I", bytes(4 << 20))
    for _ in range(100000):
        counters[generator.randrange(len(counters))] += 1
    blobs = [zlib.compress(generator.randbytes(20000) + bytes(generator.randrange(20000))) for _ in range(800)]
    cleared = [bytearray(64 << 10) for _ in range(256)]
    for buffer in cleared:
        buffer[: generator.randrange(48 << 10)] = b"\0"
    return samples, integers, counters, blobs, cleared


HEAPS = (syntax_trees, database, documents, numbers_and_blobs)


def _hold(name):
    """In the child: builds the heap, says so, and waits for the end of its standard input."""
    heap = globals()[name]()
    print("ready", flush=True)
    sys.stdin.read()
    del heap


def _mappings(pid):
    """Private writable ranges that no file backs, stacks left out."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        for line in maps:
            fields = line.split(maxsplit=5)
            name = fields[5].strip() if len(fields) > 5 else ""
            if fields[1] == "rw-p" and (not name or name == "[heap]"):
                begin, end = (int(number, 16) for number in fields[0].split("-"))
                if end - begin <= MAPPING_BYTES_MAX:
                    yield begin, end


def _dump(pid, output):
    with open(f"/proc/{pid}/mem", "rb", 0) as memory, open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
        for begin, end in _mappings(pid):
            pagemap.seek(begin // PAGE_BYTES * 8)
            entries = array.array("Q", pagemap.read((end - begin) // PAGE_BYTES * 8))
            for number, entry in enumerate(entries):
                if entry & PAGEMAP_PRESENT:
                    memory.seek(begin + number * PAGE_BYTES)
                    output.write(memory.read(PAGE_BYTES))


def _fix_addresses():
    ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)


def main(path):
    with open(path, "wb") as output:
        for heap in HEAPS:
            child = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--hold", heap.__name__], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, env={**os.environ, "PYTHONHASHSEED": "0"}, preexec_fn=_fix_addresses,
            )
            with child:
                try:
                    if child.stdout.readline() != b"ready\n":
                        sys.exit(f"memory_image.py: {heap.__name__}: could not be built")
                    _dump(child.pid, output)
                finally:
                    child.kill()


if __name__ == "__main__":
    if sys.argv[1] == "--hold":
        _hold(sys.argv[2])
    else:
        main(sys.argv[1])
