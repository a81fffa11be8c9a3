# SPDX-License-Identifier: LGPL-2.1-or-later
"""The data that is stored: made once, kept below the build directory.

usr     the first GiB of a tar stream of /usr, its members sorted by name: programs, libraries, headers, text
memory  pages of processes that have done real work, as they are in memory: see memory_image.py
"""

import os
import subprocess
import sys

from scope import BenchError, run

CHUNK_BYTES = 1 << 20  # the load generator's
USR_BYTES = 1 << 30


def _publish(path, temporary, minimum_bytes):
    """Cuts to whole chunks; a corpus that was left half made never gets its name."""
    size = os.path.getsize(temporary) // CHUNK_BYTES * CHUNK_BYTES
    if size < minimum_bytes:
        raise BenchError(f"{temporary}: only {size} bytes; at least {minimum_bytes} are needed for a fair mix of data")
    os.truncate(temporary, size)
    os.replace(temporary, path)


def usr(directory, say):
    path = os.path.join(directory, "usr.tar")
    if os.path.exists(path):
        return path
    say("making the corpus usr.tar from /usr")
    os.makedirs(directory, exist_ok=True)
    temporary = path + ".new"
    with open(temporary, "wb") as file:
        tar = subprocess.Popen(
            ["tar", "--create", "--sort=name", "--directory=/", "usr"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        try:
            subprocess.run(["head", "--bytes", str(USR_BYTES)], stdin=tar.stdout, stdout=file, check=True)
        finally:
            tar.kill()
            tar.stdout.close()
            tar.wait()
    _publish(path, temporary, USR_BYTES // 4)
    return path


def memory(directory, say):
    path = os.path.join(directory, "memory.img")
    if os.path.exists(path):
        return path
    say("making the corpus memory.img from the memory of processes at work")
    os.makedirs(directory, exist_ok=True)
    temporary = path + ".new"
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "memory_image.py")
    run([sys.executable, script, temporary], timeout=300)
    _publish(path, temporary, 64 << 20)
    return path
