# SPDX-License-Identifier: LGPL-2.1-or-later
"""tuning: what each setting costs and saves, for zsd-tuning(7); on the start of the usr corpus, without peers.

codec    each codec with each block size
           memory_over_data   all that the data costs (zspages, slots, handles) / the data
           write_1m           filling the device, 8 requests of 1 MiB at a time, all CPUs
           read_4k, write_4k  random requests of 4 KiB, one by one: the median of how long one takes
loop     the file of a device, and loop devices over it with direct I/O and sectors of 4096 and 512 bytes
cache    reading and writing with the kernel's page cache (fio, 4 KiB at random, not direct), Cache=none and kernel;
         what is read was read before
encrypt  writing all blocks back to the backing file, and reading them all again, with and without Encrypt=yes
_cpu is the daemon's processor time. Options: --subject chooses among the parts; --rounds: of loop and cache.
"""

import json
import os

import corpus
from scope import BenchError, Scope, cpu_seconds, run as run_program
from subjects import Zsd
from workloads import WORKLOADS, Load

ALGORITHMS = ("lz4", "zstd:1", "zstd:3", "zstd:9")
BLOCKS_KIB = (4, 16, 64)
DATA_BYTES = 512 << 20
DATA_BYTES_QUICK = 128 << 20
SECONDS = 1.0
RAMP_SECONDS = 0.2
ROUNDS = 3
TIMEOUT = 300
RATIO_METRICS = ()
BY_NAME = {workload.name: workload for workload in WORKLOADS}
SMALL = {"read_4k": BY_NAME["randread_4k_qd1"], "write_4k": BY_NAME["randwrite_4k_qd1"]}
LARGE = {"read_1m": BY_NAME["read_1m_qd1"], "write_1m": BY_NAME["write_1m_qd1"]}
SECTORS = (4096, 512)


class Device(Zsd):
    """One device, added with these options; configuration: text of a zsd.conf, or None."""

    def __init__(self, build, size_bytes, options=(), configuration=None):
        super().__init__(build, size_bytes=size_bytes)
        self.options = options
        self.configuration = configuration

    def start_idle(self, scope):
        if self.configuration:
            path = os.path.join(scope.directory(), "zsd.conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(self.configuration)
            self.source = ("--config", path)
        super().start_idle(scope)

    def add(self):
        self.zsctl("add", "bench", "--size", f"{self.size_bytes}B", *self.options)


class Tuning:
    def __init__(self, options, report, say):
        self.build = options.build
        self.output = options.output
        self.rounds = options.rounds or (1 if options.quick else ROUNDS)
        self.report = report
        self.say = say
        path = corpus.usr(options.output, say)
        size = min(DATA_BYTES_QUICK if options.quick else DATA_BYTES, os.path.getsize(path))
        self.load = Load(os.path.join(options.build, "tests", "bench", "load"), path, size)

    def device(self, *options, configuration=None):
        return Device(self.build, self.load.region_bytes, options, configuration)

    def fill(self, device):
        """Answers the rate in bytes per second, and the daemon's time for a MiB."""
        before = cpu_seconds(device.pids)
        result = self.load.fill(device.path, device.fill_depth)
        seconds = cpu_seconds(device.pids) - before
        return result["bytes_per_second"], seconds / (result["bytes"] / (1 << 20))

    def measure(self, device, path, workloads, suffix, subject):
        """Small requests by how long one takes, large ones by their rate."""
        for name, workload in workloads.items():
            before = cpu_seconds(device.pids)
            result = self.load.measure([path], workload, SECONDS, RAMP_SECONDS, 1)
            cpu = (cpu_seconds(device.pids) - before) / result["ops_all"]
            if workload.unit == "GB/s":
                self.report.add(f"{name}{suffix}", "MB/s", subject, result["bytes_per_second"] / 1e6)
            else:
                self.report.add(f"{name}{suffix}", "us", subject, result["latency_p50_ns"] / 1e3)
            self.report.add(f"{name}_cpu{suffix}", "us/op", subject, cpu * 1e6)

    def print(self, suffix, subjects):
        metrics = [metric for metric in self.report.metrics() if metric.endswith(suffix)]
        self.say(self.report.table(metrics, subjects, spread=False))


def codec(tuning):
    for block_kib in BLOCKS_KIB:
        suffix = f"_{block_kib}k"
        for algorithm in ALGORITHMS:
            device = tuning.device("--algorithm", algorithm, "--block-size", f"{block_kib}K")
            with Scope() as scope:
                device.start(scope)
                rate, seconds = tuning.fill(device)
                pool = device.pool_stats()
                share = pool["used_bytes"] / pool["data_bytes"]
                tuning.report.add(f"memory_over_data{suffix}", "ratio", algorithm, share)
                tuning.report.add(f"write_1m{suffix}", "MB/s", algorithm, rate / 1e6)
                tuning.report.add(f"write_1m_cpu{suffix}", "us/MiB", algorithm, seconds * 1e6)
                tuning.measure(device, device.path, SMALL, suffix, algorithm)
        tuning.say(f"\nblocks of {block_kib} KiB")
        tuning.print(suffix, ALGORITHMS)


def _attach(scope, path, sector_bytes):
    loop = run_program(["losetup", "--find", "--show", "--direct-io=on", "--sector-size", str(sector_bytes), path])
    scope.callback(run_program, ["losetup", "--detach", loop.strip()])
    return loop.strip()


def loop(tuning):
    with Scope() as scope:
        device = tuning.device()
        device.start(scope)
        tuning.fill(device)
        paths = {"file": device.path, **{f"loop-{size}": _attach(scope, device.path, size) for size in SECTORS}}
        for number in range(tuning.rounds):
            names = list(paths)
            for name in names[number % len(names):] + names[:number % len(names)]:
                tuning.measure(device, paths[name], {**SMALL, **LARGE}, "_loop", name)
    tuning.print("_loop", list(paths))


def _fio(path, operation):
    """Rate of requests through the page cache; what is read is in it, if it can be."""
    command = [
        "fio", "--name=cache", f"--filename={path}", f"--rw={operation}", "--bs=4k", "--size=128M", "--direct=0",
        "--invalidate=0", "--ioengine=psync", "--time_based", f"--runtime={SECONDS}", "--output-format=json",
    ]
    job = json.loads(run_program(command, TIMEOUT))["jobs"][0]
    return job["write" if operation == "randwrite" else "read"]["iops"]


def cache(tuning):
    kinds = ("none", "kernel")
    for number in range(tuning.rounds):
        for kind in kinds if number % 2 else kinds[::-1]:
            with Scope() as scope:
                device = tuning.device("--cache", kind)
                device.start(scope)
                tuning.fill(device)
                run_program(["dd", f"if={device.path}", "of=/dev/null", "bs=1M", "status=none"], TIMEOUT)
                for operation in ("randread", "randwrite"):
                    tuning.report.add(f"{operation}_4k_cache", "IOPS", kind, _fio(device.path, operation))
    tuning.print("_cache", kinds)


def encrypt(tuning):
    backing = os.path.join(tuning.output, "tuning.backing")
    for value in ("no", "yes"):
        configuration = f"[Pool]\nAccounting=no\n[Writeback]\nBacking={backing}\nIdleAfter=never\nEncrypt={value}\n"
        with Scope() as scope:
            scope.callback(os.unlink, backing)
            device = tuning.device(configuration=configuration)
            device.start(scope)
            tuning.fill(device)
            blocks = tuning.load.region_bytes / 4096
            for name, work in (("writeback", lambda: device.zsctl("writeback", "bench")),
                               ("readback", lambda: tuning.load.verify(device.path))):
                before = cpu_seconds(device.pids)
                work()
                cpu = cpu_seconds(device.pids) - before
                tuning.report.add(f"{name}_cpu_encrypt", "us/block", value, cpu / blocks * 1e6)
    tuning.print("_encrypt", ("no", "yes"))


PARTS = {"codec": codec, "loop": loop, "cache": cache, "encrypt": encrypt}


def run(options, report, say):
    unknown = set(options.subject or ()) - set(PARTS)
    if unknown:
        raise BenchError(f"tuning: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    tuning = Tuning(options, report, say)
    for name, part in PARTS.items():
        if not options.subject or name in options.subject:
            say(f"\n{name}")
            part(tuning)
    say("\nthe lines are explained in bench_tuning.py")
