# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stores that are compared. Each offers one file or block device, `path`, while its scope lasts.

`more_paths` are further devices of the same store, for those workloads that take several.
`pids` are the processes whose time is the store's; where there are none (the kernel's zram), the work is done in the
time of whoever reads and writes. `description` is the note printed below the results.
"""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess

from scope import BenchError, is_mounted, run, unmount, wait_for

DEVICE_BYTES = 4 << 30
PAGE_BYTES = 4096
IO_DEVICES = 4  # of each store, as a workload takes so many


class Subject:
    name = ""
    description = ""
    fill_depth = 8  # writes in flight that keep their data apart
    keeps_data = True

    def __init__(self, build):
        self.build = build
        self.path = None
        self.more_paths = []
        self.pids = []

    def missing(self):
        """Why this subject can't run here, or None."""
        return None

    def start(self, scope):
        raise NotImplementedError

    def program(self, *parts):
        return os.path.join(self.build, *parts)


def _missing_programs(programs):
    """programs: name -> Debian package. Names the packages of those that are not installed."""
    packages = [package for program, package in programs.items() if not shutil.which(program)]
    return f"install {' '.join(packages)}" if packages else None


def _make_file(path, size_bytes):
    with open(path, "wb") as file:
        file.truncate(size_bytes)


def _missing_file(path):
    return None if os.path.exists(path) else f"{path} is not built"


URING_PARAMETER = "/sys/module/fuse/parameters/enable_uring"


def _missing_transport(transport):
    if transport == "uring" and not os.path.exists(URING_PARAMETER):
        return "the kernel has no FUSE over io_uring, which came with Linux 6.14"
    return None


def _enable_transport(scope, transport):
    """Lets the kernel offer it while the scope lasts."""
    if transport != "uring":
        return
    with open(URING_PARAMETER, "r+", encoding="utf-8") as file:
        before = file.read().strip()
        file.seek(0)
        file.write("Y")
    scope.callback(_write_file, URING_PARAMETER, before)


def _write_file(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _is_block_device(path):
    return os.path.exists(path) and stat.S_ISBLK(os.stat(path).st_mode)


def _listens(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


class Zsd(Subject):
    """The daemon of this project, private to the benchmark."""

    def __init__(self, build, name="zsd", algorithm="lz4", size_bytes=DEVICE_BYTES, nr_devices=1, transport="classic",
                 threads=None):
        super().__init__(build)
        self.name = name
        self.threads = threads
        self.transport = transport
        self.nr_devices = nr_devices
        self.algorithm = algorithm
        self.size_bytes = size_bytes
        self.description = f"zsd, {algorithm}, 4 KiB blocks, checksums on; over FUSE, transport {transport}"
        self.socket = None
        self.source = ("--no-config",)  # of the configuration

    def missing(self):
        return (_missing_file(self.program("daemon", "zsd")) or _missing_file(self.program("tools", "zsctl")) or
                _missing_transport(self.transport))

    def start(self, scope):
        self.start_idle(scope)
        self.add()
        for number in range(1, self.nr_devices):
            self.zsctl("add", f"bench{number}", "--size", f"{self.size_bytes}B", "--algorithm", self.algorithm)
            self.more_paths.append(f"{self.path}{number}")

    def start_idle(self, scope):
        """The daemon alone, without a device."""
        _enable_transport(scope, self.transport)
        directory = scope.directory()
        log = os.path.join(directory, "zsd.log")
        runtime = os.path.join(directory, "run")
        mount_point = os.path.join(runtime, "mnt")
        scope.callback(unmount, mount_point)
        command = [self.program("daemon", "zsd"), "--runtime-dir", runtime, *self.source,
                   "--transport", self.transport]
        if self.threads:
            command += ["--threads", str(self.threads)]
        process = scope.spawn(command, log)
        self.socket = os.path.join(runtime, "io.zsd.control")
        wait_for(lambda: is_mounted(mount_point) and _listens(self.socket), "zsd", process, log)
        self.pids = [process.pid]
        self.path = os.path.join(mount_point, "bench")

    def add(self):
        self.zsctl("add", "bench", "--size", f"{self.size_bytes}B", "--algorithm", self.algorithm)

    def zsctl(self, *arguments):
        return run([self.program("tools", "zsctl"), "--socket", self.socket, *arguments])

    def pool_stats(self):
        return json.loads(self.zsctl("stats", "--json"))["pool"]


class Zram(Subject):
    """A zram device made for the benchmark: one that is in use as swap or disk is not touched."""

    name = "zram"
    description = "the kernel's zram, lz4, no checksum; compresses in the time of the process that writes"

    CONTROL = "/sys/class/zram-control"

    def __init__(self, build, size_bytes=DEVICE_BYTES, nr_devices=1):
        super().__init__(build)
        self.size_bytes = size_bytes
        self.nr_devices = nr_devices
        self.number = None  # of the first

    def missing(self):
        if not os.path.exists(self.CONTROL):
            with contextlib.suppress(FileNotFoundError):  # no modprobe, no modules
                subprocess.run(["modprobe", "zram"], check=False, capture_output=True)
        if not os.path.exists(f"{self.CONTROL}/hot_add"):
            return "the kernel has no zram module"
        return None

    def start(self, scope):
        self.number = self._add(scope)
        self.path = f"/dev/zram{self.number}"
        self.more_paths = [f"/dev/zram{self._add(scope)}" for _ in range(1, self.nr_devices)]

    def _add(self, scope):
        with open(f"{self.CONTROL}/hot_add", encoding="utf-8") as file:
            number = int(file.read())
        scope.callback(self._remove, number)
        self._write(number, "comp_algorithm", "lz4")
        self._write(number, "disksize", str(self.size_bytes))
        wait_for(lambda: _is_block_device(f"/dev/zram{number}"), f"/dev/zram{number}")
        return number

    def _remove(self, number):
        self._write(number, "reset", "1")
        with open(f"{self.CONTROL}/hot_remove", "w", encoding="utf-8") as file:
            file.write(str(number))

    @staticmethod
    def _write(number, attribute, value):
        with open(f"/sys/block/zram{number}/{attribute}", "w", encoding="utf-8") as file:
            file.write(value)

    def mm_stat(self):
        """Documentation/admin-guide/blockdev/zram.rst, in its order."""
        names = ("orig_data_size", "compr_data_size", "mem_used_total", "mem_limit", "mem_used_max", "same_pages",
                 "pages_compacted", "huge_pages")
        with open(f"/sys/block/zram{self.number}/mm_stat", encoding="utf-8") as file:
            return dict(zip(names, map(int, file.read().split())))


    def handle_bytes(self):
        """Slab pages of the handles, from slabinfo(5); 8 bytes an object where the cache is merged with others."""
        with open("/proc/slabinfo", encoding="utf-8") as file:
            for line in file:
                fields = line.split()
                if fields[0] == f"zs_handle-zram{self.number}":
                    return int(fields[14]) * int(fields[5]) * PAGE_BYTES
        stats = self.mm_stat()
        return (stats["orig_data_size"] // PAGE_BYTES - stats["same_pages"]) * 8


class Nbdkit(Subject):
    """One of both programs a device, as each serves one."""

    name = "nbdkit"
    description = "nbdkit memory allocator=zstd behind nbdfuse: zstd, 32 KiB units, userspace, over NBD and FUSE"

    def __init__(self, build, nr_devices=1):
        super().__init__(build)
        self.nr_devices = nr_devices

    def missing(self):
        return _missing_programs({"nbdkit": "nbdkit", "nbdfuse": "libnbd-bin"})

    def start(self, scope):
        self.path, *self.more_paths = [self._serve(scope) for _ in range(self.nr_devices)]

    def _serve(self, scope):
        directory = scope.directory()
        log = os.path.join(directory, "log")
        socket = os.path.join(directory, "socket")
        server = scope.spawn(
            ["nbdkit", "--foreground", "--unix", socket, "memory", f"size={DEVICE_BYTES}", "allocator=zstd"], log
        )
        wait_for(lambda: os.path.exists(socket), "nbdkit", server, log)
        disk = os.path.join(directory, "disk")
        _make_file(disk, 0)
        bridge = scope.spawn(["nbdfuse", disk, "--unix", socket], log)
        # It ends when its mount does, and wants to be ended in no other way (nbdfuse(1)).
        scope.callback(unmount, disk)
        wait_for(lambda: is_mounted(disk), "nbdfuse", bridge, log)
        self.pids += [server.pid, bridge.pid]
        return disk


class StorageDaemon(Subject):
    name = "qsd"
    description = (
        "qemu-storage-daemon's FUSE export of a file on tmpfs: not compressed. "
        "QEMU 7.2 mixes up the data of writes that are in flight together, so its QD8, QD32 and mixed ones show speed "
        "only"
    )
    # Seen here with 7.2.22: after one pass of 1 MiB writes at QD8, blocks hold the data of their neighbours in flight.
    fill_depth = 1

    def __init__(self, build, nr_devices=1):
        super().__init__(build)
        self.nr_devices = nr_devices

    def missing(self):
        return _missing_programs({"qemu-storage-daemon": "qemu-system-common"})

    def start(self, scope):
        directory = scope.directory()
        log = os.path.join(directory, "log")
        tmpfs = os.path.join(directory, "tmpfs")
        os.mkdir(tmpfs)
        run(["mount", "-t", "tmpfs", "-o", f"size={self.nr_devices * DEVICE_BYTES}", "zsd-bench", tmpfs])
        scope.callback(unmount, tmpfs)
        disks = [os.path.join(directory, f"disk{number}") for number in range(self.nr_devices)]
        command = ["qemu-storage-daemon"]
        for number, disk in enumerate(disks):
            image = os.path.join(tmpfs, f"image{number}")
            _make_file(image, DEVICE_BYTES)
            _make_file(disk, 0)
            scope.callback(unmount, disk)
            command += ["--blockdev", f"driver=file,node-name=image{number},filename={image}",
                        "--export", f"type=fuse,id=disk{number},node-name=image{number},mountpoint={disk},writable=on"]
        process = scope.spawn(command, log)
        wait_for(lambda: all(map(is_mounted, disks)), "qemu-storage-daemon", process, log)
        self.path, *self.more_paths = disks
        self.pids = [process.pid]


class NullServer(Subject):
    keeps_data = False

    def __init__(self, build, name="null", transport="classic", nr_devices=1):
        super().__init__(build)
        self.name = name
        self.nr_devices = nr_devices
        self.transport = transport
        self.description = f"stores nothing: the limit of FUSE over the transport {transport}"

    def missing(self):
        return _missing_file(self.program("tests", "bench", "null_server")) or _missing_transport(self.transport)

    def start(self, scope):
        directory = scope.directory()
        log = os.path.join(directory, "log")
        mount_point = os.path.join(directory, "mnt")
        _enable_transport(scope, self.transport)
        os.mkdir(mount_point)
        scope.callback(unmount, mount_point)
        process = scope.spawn([self.program("tests", "bench", "null_server"), mount_point, str(DEVICE_BYTES),
                               str(len(os.sched_getaffinity(0))), self.transport], log)
        wait_for(lambda: is_mounted(mount_point), "null_server", process, log)
        self.pids = [process.pid]
        self.path, *self.more_paths = [os.path.join(mount_point, f"null{number}") for number in range(self.nr_devices)]


def io_subjects(build):
    return [Zsd(build, "classic", nr_devices=IO_DEVICES),
            Zsd(build, "uring", nr_devices=IO_DEVICES, transport="uring"),
            Zram(build, nr_devices=IO_DEVICES), Nbdkit(build, IO_DEVICES), StorageDaemon(build, IO_DEVICES),
            NullServer(build, nr_devices=IO_DEVICES),
            NullServer(build, "null-uring", "uring", nr_devices=IO_DEVICES)]


def available(subjects, say):
    """Those that can run; says of each other one why it is left out."""
    result = []
    for subject in subjects:
        reason = subject.missing()
        if reason:
            say(f"missing: {subject.name}: {reason}")
        else:
            result.append(subject)
    if not result:
        raise BenchError("no subject to measure")
    return result
