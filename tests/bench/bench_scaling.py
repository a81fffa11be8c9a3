# SPDX-License-Identifier: LGPL-2.1-or-later
"""scaling: what an operation costs when there is more of something, at the same load.

All daemons of a transport stay up together; in each round each of them does each workload in turn, as in io. The cost
is processor time of an operation, of server and client together.

threads_N     a daemon with N threads, 1 to twice the processors
devices_N     one daemon with N devices; the same bytes in all, each operation on a device by chance
size_S        a device of that size, sparse, the same bytes at its start

memory        of an idle daemon, and after large requests that all threads have served: RssAnon + RssShmem without what
              the pool uses, so that the difference by the number of threads is what one thread takes, with its ring
idle_cpu      processor time in some seconds without requests
"""

import os
import time

import corpus
from scope import BenchError, Scope, cpu_seconds, resident_bytes
from subjects import Zsd, available
from workloads import CHUNK_BYTES, Load, Workload

RATIO_METRICS = ()
TRANSPORTS = ("classic", "uring")
SUBJECTS = TRANSPORTS

TOTAL_BYTES = 256 << 20  # that are read and written, whatever they are spread over
NR_DEVICES = (1, 16, 256)
SIZES = {"1G": 1 << 30, "1T": 1 << 40}
ROUNDS = 5
ROUNDS_QUICK = 2
SECONDS = 0.5
RAMP_SECONDS = 0.1
SETTLE_SECONDS = 3.0  # what was written may have an end yet
IDLE_SECONDS = 3.0

WORKLOADS = (
    Workload("randread_4k", "randread", 4096, 32, 2, "IOPS"),
    Workload("randwrite_4k", "randwrite", 4096, 32, 2, "IOPS"),
)
LARGE = Workload("large", "mixed", CHUNK_BYTES, 8, 4, "GB/s")


class Case:
    """One daemon of a series, by what there is more of."""

    def __init__(self, series, amount, subject):
        self.series = series
        self.amount = amount
        self.subject = subject

    @property
    def paths(self):
        return [self.subject.path, *self.subject.more_paths]

    def metric(self, name):
        return f"{name}_{self.series}_{self.amount}"


def _cases(build, transport):
    cpus = len(os.sched_getaffinity(0))
    # Over io_uring there are not more threads than processors.
    for threads in sorted({1, cpus} if transport == "uring" else {1, cpus, 2 * cpus}):
        yield Case("threads", threads, Zsd(build, transport, transport=transport, threads=threads))
    for number in NR_DEVICES:
        yield Case("devices", number, Zsd(build, transport, transport=transport, nr_devices=number,
                                          size_bytes=TOTAL_BYTES))
    for name, size in SIZES.items():
        yield Case("size", name, Zsd(build, transport, transport=transport, size_bytes=size))


def _fill(case, source):
    """The first TOTAL_BYTES of the corpus, over all devices of the case."""
    share = TOTAL_BYTES // len(case.paths)
    for number, path in enumerate(case.paths):
        with open(path, "r+b", buffering=0) as file:
            for at in range(0, share, CHUNK_BYTES):
                file.write(os.pread(source, CHUNK_BYTES, number * share + at))


def _measure(case, workload, load, seed, report):
    cpu = cpu_seconds(case.subject.pids)
    result = load.spread(case.paths, workload, SECONDS, RAMP_SECONDS, seed, TOTAL_BYTES // len(case.paths))
    cost = (cpu_seconds(case.subject.pids) - cpu + result["cpu_seconds"]) / result["ops_all"] * 1e6
    name = case.metric(workload.name)
    report.add(name, workload.unit, case.subject.name, workload.value(result))
    report.add(f"{name}_cpu", "us/op", case.subject.name, cost)


def _memory(case, when, report):
    resident = resident_bytes(case.subject.pids[0])
    own_bytes = resident["RssAnon"] + resident["RssShmem"] - case.subject.pool_stats()["resident_bytes"]
    report.add(case.metric(f"memory_{when}"), "KiB", case.subject.name, own_bytes / 1024)


def _idle(cases, report):
    time.sleep(SETTLE_SECONDS)
    before = [cpu_seconds(case.subject.pids) for case in cases]
    time.sleep(IDLE_SECONDS)
    for case, seconds in zip(cases, before):
        report.add(case.metric("idle_cpu"), "s", case.subject.name, cpu_seconds(case.subject.pids) - seconds)


def _run_transport(transport, options, load, source, report, say):
    cases = list(_cases(options.build, transport))
    if not available([case.subject for case in cases], say):
        return
    rounds = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    with Scope() as scope:
        for case in cases:
            case.subject.start(scope)
            _memory(case, "idle", report)
            _fill(case, source)
        say(f"{transport}: started and filled {len(cases)} daemons")
        _idle(cases, report)
        for number in range(rounds):
            say(f"{transport}: round {number + 1} of {rounds}")
            shift = number % len(cases)
            for workload in WORKLOADS:
                for case in cases[shift:] + cases[:shift]:
                    _measure(case, workload, load, number + 1, report)
        for case in cases:
            if case.series == "threads":
                load.spread(case.paths, LARGE, SECONDS, 0, 1, TOTAL_BYTES)
                _memory(case, "used", report)


def _spread(report, transport, workload, series):
    """The most that an operation costs divided by the least, over a series; of each the round that cost least."""
    prefix = f"{workload.name}_{series}_"
    costs = [report.least(name, transport) for name in report.metrics()
             if name.startswith(prefix) and name.endswith("_cpu")]
    costs = [cost for cost in costs if cost]
    return max(costs) / min(costs) if costs else None


def _print(report, say):
    costs = [name for name in report.metrics() if name.endswith("_cpu")]
    say("\nmedian [min-max]")
    say(report.table([name for name in report.metrics() if name not in costs], TRANSPORTS))
    say("\nprocessor time of an operation: server and client together")
    say(report.table(costs, TRANSPORTS))
    say("\nthe most that an operation costs divided by the least, of each the round that cost least")
    for workload in WORKLOADS:
        for series in ("threads", "devices", "size"):
            spreads = [_spread(report, transport, workload, series) for transport in TRANSPORTS]
            texts = [f"{transport} {spread:.2f}" for transport, spread in zip(TRANSPORTS, spreads) if spread]
            say(f"{workload.name}, more {series}: {', '.join(texts)}")


def run(options, report, say):
    path = corpus.usr(options.output, say)
    load = Load(os.path.join(options.build, "tests", "bench", "load"), path)
    wanted = [name for name in TRANSPORTS if not options.subject or name in options.subject]
    if not wanted:
        raise BenchError(f"no such subject; there are {' '.join(TRANSPORTS)}")
    source = os.open(path, os.O_RDONLY)
    try:
        for transport in wanted:
            _run_transport(transport, options, load, source, report, say)
    finally:
        os.close(source)
    _print(report, say)
