# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything that a benchmark starts is undone: processes by pid, mounts, directories, in reverse order.

A Scope is an ExitStack. SIGTERM and SIGHUP end the program as SIGINT does, by an exception, so that the scope is left;
while it is being left further signals are ignored. Children run in sessions of their own: a ^C in the terminal reaches
this program only, and no daemon dies before its mount is gone.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time

STOP_SECONDS = 15
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class BenchError(Exception):
    """Something that the user should read, without a traceback."""


def _raise_exit(number, _frame):
    raise SystemExit(128 + number)


def end_on_signals():
    for number in SIGNALS:
        signal.signal(number, _raise_exit)


class Scope(contextlib.ExitStack):
    def __exit__(self, *details):
        before = [signal.signal(number, signal.SIG_IGN) for number in SIGNALS]
        try:
            return super().__exit__(*details)
        finally:
            for number, handler in zip(SIGNALS, before):
                signal.signal(number, handler)

    def directory(self):
        """A new directory; whatever is in it is expected to be gone or empty of mounts when the scope ends."""
        path = tempfile.mkdtemp(prefix="zsd-bench.")
        self.callback(_remove_tree, path)
        return path

    def spawn(self, command, log_path):
        """Starts a process whose output goes to log_path; it is stopped when the scope ends."""
        with open(log_path, "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.callback(stop, process)
        return process


def _remove_tree(path):
    # Never into a mount: a file system that is still there is somebody's data.
    subprocess.run(["rm", "-rf", "--one-file-system", path], check=False)


def stop(process):
    """SIGTERM, and SIGKILL if that doesn't help."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(command, timeout=60):
    """Runs a command to its end and answers its standard output; BenchError with its own words if it fails."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except BaseException as error:
        _abandon(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise BenchError(f"{' '.join(command)}: no answer in {timeout} s") from None
        raise
    if process.returncode:
        raise BenchError(f"{' '.join(command)}: exit code {process.returncode}: {errors.strip()}")
    return output


def _abandon(process):
    # One that waits for a file server that hangs can't die before the server does: that is the scope's work.
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)


def wait_for(condition, what, process=None, log_path=None, timeout=20):
    """Waits until condition() is true, while the process lives."""
    deadline = time.monotonic() + timeout
    while not condition():
        if process and process.poll() is not None:
            raise BenchError(f"{what}: exit code {process.returncode}: {_tail(log_path)}")
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not ready after {timeout} s: {_tail(log_path)}")
        time.sleep(0.02)


def _tail(log_path):
    try:
        with open(log_path, encoding="utf-8", errors="replace") as log:
            return " | ".join(log.read().strip().splitlines()[-3:]) or "no output"
    except (OSError, TypeError):
        return "no output"


def is_mounted(path):
    """By the mount table: a stat() would hang on a file server that hangs."""
    escaped = os.path.realpath(path).replace("\\", "\\134").replace(" ", "\\040")
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        return any(line.split()[4] == escaped for line in mounts)


def unmount(path):
    if is_mounted(path):
        subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)


def cpu_seconds(pids):
    """Processor time of whole processes, all threads, user and system."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            # The name is in parentheses and may hold anything; utime and stime are fields 14 and 15 (proc(5)).
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    """Resident memory of a process by kind: RssAnon, RssFile, RssShmem, and their sum VmRSS."""
    sizes = {}
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "RssAnon", "RssFile", "RssShmem"):
                sizes[name] = int(value.split()[0]) * 1024
    return sizes
