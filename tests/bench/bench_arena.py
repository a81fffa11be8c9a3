# SPDX-License-Identifier: LGPL-2.1-or-later
"""arena: the allocator against others, and against what it would be with another design.

alloc    the compressed sizes of the corpus's blocks, allocated; then six times again, each object in place of a random
         one; payload copied
           alloc_memory           resident memory / payload meanwhile, by one thread; _filled: before; _trimmed: after
                                  compaction, or what the others have: malloc_trim(3), arena.purge, mi_collect()
           alloc_ops_per_s        replacements per second
           alloc_cpu              processor time of a replacement. zsd computes a checksum of the payload in it
           _2_threads             any thread frees any object, as in a store; _own: a thread frees what it has allocated
                                  itself, which suits thread caches; _shuffled: sizes drawn at random, not in the
                                  order of the files
         zsd: a pool that is compacted when 5% could be freed, by one of the threads between its operations;
         alloc_moved: objects that this moves per replacement, alloc_compaction: its processor time; alloc_checksum:
         that of the objects' checksums alone, part of which is hidden while the copy goes to memory
         glibc, jemalloc, mimalloc: malloc(3)
locks    threads read and replace objects, one to one; lock_ops_per_s: geometric mean over the numbers of threads;
         lock_waits: how often a thread found a lock taken, per million operations; lock_wait: for how long, per
         operation (the counters of the pool's locks)
           zsd        one pool, a lock per size class
           32-pools   32 pools over the same caches
           pool-lock  one pool, and one lock around each call
account  threads replace objects, with accounting of owners and nodes (zsd) and without it (off)
           accounting_ops_per_s   operations per second of processor time, by one thread; _2_threads
           accounting_on_over_off   of each round: both are measured in turn in one process
caches   cache_unused_bytes: (total - active) * size of handles and zspage descriptors, for 1,054,440 objects in 32
         pools which share the caches (zsd) or have their own (per-pool); _few: with fewer, fuller zspages
pools    the corpus on 1 to 256 devices that share one pool (zsd) or have one each (per-device)
           pool_memory            resident memory, with everything that the store needs
           pool_partial_zspages   zspages with both used and free objects
           fill_pages_over_payload   zspages' pages / payload on one device, right after it was filled
free     a discard of 1 GiB, the removal of a full device of 4 GiB; memory freed by the maintenance thread (zsd), or by
         the caller (synchronous); _back: until all of it is back; free_cpu: processor time of both
compact  60 % of the blocks of a full device are discarded, the rest is compacted while two threads read and write, in
         slices with a tenth of a processor, as the daemon does by itself; _whole: all at once, as `zsctl compact` does
           compacted_pages_over_payload      afterwards; fragmented_pages_over_payload: before
           compaction_p99_over_quiet         the larger one of reads and writes
lifetimes  a device that is overwritten for ever and one that is written once, in one pool (zsd), or with zspages of
         their own (apart): lifetimes_SCENARIO: zspages' pages / payload, mean over the last rounds; _compacted: with
         compaction meanwhile. The scenarios are described in arena_lifetimes.c
geometry pages above payload in %, right after the corpus was stored, by the model of bench_geometry.py; columns: the
         longest zspage, pages
           geometry_N_apart   our classes, spaced by 1/N; _bulk: in a pool so large that partly filled zspages are
                              nothing
           geometry_zsmalloc  the kernel's
           geometry_measured  a pool (zsd); _modelled: the same by the model
Options: --subject chooses among these nine, --rounds sets the number of rounds of all.
"""

import ctypes.util
import json
import math
import os

import bench_geometry
import corpus
from scope import BenchError, run as run_program

OURS = "zsd"
# What the program then says of malloc, and what is preloaded for it; the version is the distribution's.
MALLOCS = {"glibc": ("libc.so", None), "jemalloc": ("libjemalloc", "jemalloc"), "mimalloc": ("libmimalloc", "mimalloc")}
THREADS = (1, 2, 4, 8)  # the program's
DEVICES = (1, 4, 32, 256)
SCENARIOS = ("first", "mixed", "files", "empty")  # of lifetimes
SPACINGS = (16, 32, 48, 64, 80, 96, 128, 256)  # of geometry, as the next two
LENGTHS = (4, 8, 16, 32, 64)
KERNEL_LENGTHS = (4, 8, 16)
REMOVED_BYTES = 4 << 30
QUICK_BLOCKS = 65536
TIMEOUT = 120

RATIO_METRICS = (
    "alloc_memory", "alloc_memory_filled", "alloc_memory_trimmed", "alloc_memory_2_threads",
    "alloc_memory_trimmed_2_threads", "alloc_memory_shuffled", "alloc_memory_2_threads_shuffled",
    "alloc_ops_per_s", "alloc_ops_per_s_2_threads", "alloc_ops_per_s_2_threads_own",
    "alloc_ops_per_s_shuffled", "alloc_ops_per_s_2_threads_shuffled", "alloc_cpu", "alloc_cpu_2_threads",
    "lock_ops_per_s", *(f"lock_ops_per_s_{threads}" for threads in THREADS),
    *(f"lock_waits_{threads}" for threads in THREADS[1:]), *(f"lock_wait_{threads}" for threads in THREADS[1:]),
    "accounting_ops_per_s", "accounting_ops_per_s_2_threads", "cache_unused_bytes", "cache_unused_bytes_few",
    *(f"pool_memory_{devices}_devices" for devices in DEVICES),
    "punch_hole_latency", "device_remove_latency", "free_cpu",
    *(f"lifetimes_{scenario}{suffix}" for scenario in SCENARIOS for suffix in ("", "_compacted")),
)


class Arena:
    """The program, the corpus and its trace."""

    def __init__(self, options, say):
        self.program = os.path.join(options.build, "tests", "bench", "arena")
        self.corpus = corpus.usr(options.output, say)
        self.trace = os.path.join(options.output, "usr.sizes")
        self.quick = options.quick
        # Always anew: it takes two seconds, and the codec may have changed. Who has the old one mapped keeps it.
        self._run("trace", "--corpus", self.corpus, "--trace", self.trace + ".new")
        os.replace(self.trace + ".new", self.trace)

    def lines(self, name, *options, preload=None):
        """Runs a benchmark and answers what it has printed."""
        if self.quick:
            options += ("--blocks", str(QUICK_BLOCKS))
        return self._run(name, "--corpus", self.corpus, "--trace", self.trace, *options, preload=preload)

    def line(self, name, *options, preload=None):
        return self.lines(name, *options, preload=preload)[0]

    def _run(self, *arguments, preload=None):
        command = [self.program, *arguments]
        if preload:
            command = ["env", f"LD_PRELOAD={preload}", *command]
        return [json.loads(line) for line in run_program(command, TIMEOUT).splitlines()]


def _rotated(items, number):
    items = list(items)
    shift = number % len(items)
    return items[shift:] + items[:shift]


# What is reported of a run, by what the program prints: metric, unit. For some kinds of run only a part of it.
ALLOC_METRICS = {
    "churned": ("alloc_memory", "/payload"), "filled": ("alloc_memory_filled", "/payload"),
    "trimmed": ("alloc_memory_trimmed", "/payload"), "ops_per_s": ("alloc_ops_per_s", "ops/s"),
    "fill_ops_per_s": ("alloc_fill_ops_per_s", "ops/s"), "cpu_ns_per_op": ("alloc_cpu", "ns/op"),
    "moved_per_op": ("alloc_moved", "/op"), "compaction_ns_per_op": ("alloc_compaction", "ns/op"),
    "checksum_ns_per_op": ("alloc_checksum", "ns/op"),
}
ALLOC_KINDS = {"": tuple(ALLOC_METRICS), "own": ("ops_per_s", "cpu_ns_per_op"),
               "shuffled": ("churned", "ops_per_s", "cpu_ns_per_op")}


def _alloc_once(arena, report, seed, subject, threads, kind):
    library, preload = MALLOCS.get(subject, (None, None))
    preload = preload and ctypes.util.find_library(preload)
    variant = ("zsd" if subject == OURS else "malloc") + (f"-{kind}" if kind else "")
    result = arena.line("alloc", "--variant", variant, "--threads", str(threads), "--seed", str(seed), preload=preload)
    if library and library not in result["malloc"]:
        raise BenchError(f"{subject} is not what was measured, but {result['malloc']}: ./dev deps bench installs it")
    suffix = ("" if threads == 1 else f"_{threads}_threads") + (f"_{kind}" if kind else "")
    for key in ALLOC_KINDS[kind]:
        if key in result:
            metric, unit = ALLOC_METRICS[key]
            report.add(metric + suffix, unit, subject, result[key])


def alloc(arena, report, number):
    for threads, kind in ((1, ""), (2, ""), (2, "own"), (1, "shuffled"), (2, "shuffled")):
        for subject in _rotated((OURS, *MALLOCS), number):
            _alloc_once(arena, report, number + 1, subject, threads, kind)


def locks(arena, report, number):
    names = {OURS: "class", "32-pools": "pools32", "pool-lock": "pool"}
    results = arena.lines("locks", "--seed", str(number + 1))
    for subject, name in names.items():
        mean = math.exp(sum(math.log(result[name]) for result in results) / len(results))
        report.add("lock_ops_per_s", "ops/s", subject, mean)
        for result in results:
            report.add(f"lock_ops_per_s_{result['threads']}", "ops/s", subject, result[name])
            report.add(f"lock_waits_{result['threads']}", "/Mops", subject, result[f"{name}_waits"])
            report.add(f"lock_wait_{result['threads']}", "ns/op", subject, result[f"{name}_wait_ns"])


def account(arena, report, number):
    for result in arena.lines("account", "--seed", str(number + 1)):
        suffix = "" if result["threads"] == 1 else f"_{result['threads']}_threads"
        for subject, name in ((OURS, "on"), ("off", "off")):
            report.add(f"accounting_ops_per_s{suffix}", "ops/s", subject, 1e9 / result[f"{name}_cpu_ns"])
        report.add(f"accounting_on_over_off{suffix}", "ratio", OURS, result["off_cpu_ns"] / result["on_cpu_ns"])


def caches(arena, report, number):
    for scale, suffix in (("many", ""), ("few", "_few")):
        for subject, variant in ((OURS, "shared"), ("per-pool", "per-pool")):
            result = arena.line("caches", "--variant", f"{scale}/{variant}", "--seed", str(number + 1))
            unused = result["unused_handle_bytes"] + result["unused_zspage_bytes"]
            report.add(f"cache_unused_bytes{suffix}", "bytes", subject, unused)
            report.add(f"cache_unused_handle_bytes{suffix}", "bytes", subject, result["unused_handle_bytes"])
            report.add(f"cache_unused_zspage_bytes{suffix}", "bytes", subject, result["unused_zspage_bytes"])
            report.add(f"cache_zspages{suffix}", "zspages", subject, result["zspages"])


def pools(arena, report, number):
    for devices in DEVICES:
        for subject, variant in _rotated(((OURS, "shared"), ("per-device", "per-device")), number):
            result = arena.line("pools", "--variant", variant, "--devices", str(devices))
            report.add(f"pool_memory_{devices}_devices", "bytes", subject, result["memory"])
            report.add(f"pool_partial_zspages_{devices}_devices", "zspages", subject, result["partial"])
            report.add(f"pool_fill_{devices}_devices", "s", subject, result["fill_ns"] / 1e9)
            if devices == 1 and subject == OURS:
                report.add("fill_pages_over_payload", "ratio", subject, result["zspage_bytes"] / result["payload"])


def free(arena, report, number):
    cpu = {}
    for subject, variant in _rotated(((OURS, "deferred"), ("synchronous", "synchronous")), number):
        removed = ("--size", str(QUICK_BLOCKS * 4096 if arena.quick else REMOVED_BYTES))
        for name, metric, options in (("punch", "punch_hole", ()), ("remove", "device_remove", removed)):
            result = arena.line(name, "--variant", variant, *options)
            report.add(f"{metric}_latency", "ms", subject, result["latency_ns"] / 1e6)
            report.add(f"{metric}_back", "ms", subject, result["back_ns"] / 1e6)
            report.add(f"{metric}_cpu", "ms", subject, result["cpu_ns"] / 1e6)
            report.add(f"{metric}_fallbacks", "blocks", subject, result["fallbacks"])
            cpu[subject] = cpu.get(subject, 0) + result["cpu_ns"] / 1e6
    for subject, value in cpu.items():
        report.add("free_cpu", "ms", subject, value)


def _compact_once(arena, report, number, variant, suffix):
    result = arena.line("compact", "--variant", variant, "--seed", str(number + 1))
    ratios = []
    for kind in ("read", "write"):
        for phase in ("quiet", "compact"):
            for percentile in ("p50", "p99"):
                value = result[f"{kind}_{phase}_{percentile}_ns"] / 1e3
                report.add(f"{phase}_{kind}_{percentile}{suffix}", "us", OURS, value)
        ratios.append(result[f"{kind}_compact_p99_ns"] / result[f"{kind}_quiet_p99_ns"])
    report.add(f"fragmented_pages_over_payload{suffix}", "ratio", OURS, result["before"])
    report.add(f"compacted_pages_over_payload{suffix}", "ratio", OURS, result["after"])
    report.add(f"compaction_p99_over_quiet{suffix}", "ratio", OURS, max(ratios))
    report.add(f"compaction_seconds{suffix}", "s", OURS, result["compact_ns"] / 1e9)
    report.add(f"compaction_worked{suffix}", "s", OURS, result["worked_ns"] / 1e9)
    for percentile in ("p50", "p99"):
        report.add(f"compaction_slice_{percentile}{suffix}", "us", OURS, result[f"slice_{percentile}_ns"] / 1e3)
    report.add(f"compaction_freed{suffix}", "MB/s", OURS,
               result["freed_pages"] * 4096 / 1e6 / (result["compact_ns"] / 1e9))


def compact(arena, report, number):
    _compact_once(arena, report, number, "paced", "")
    _compact_once(arena, report, number, "whole", "_whole")


def lifetimes(arena, report, number):
    for scenario in SCENARIOS:
        for compaction, suffix in (("", ""), ("/compact", "_compacted")):
            for subject, kind in ((OURS, "shared"), ("apart", "apart")):
                variant = f"{scenario}/{kind}{compaction}"
                result = arena.lines("lifetimes", "--variant", variant, "--seed", str(number + 1))[-1]
                report.add(f"lifetimes_{scenario}{suffix}", "/payload", subject, result["mean"])


def geometry(arena, report, number):
    del number  # nothing is random
    sizes = bench_geometry.load_sizes(arena.trace, QUICK_BLOCKS if arena.quick else 0)
    real = arena.line("geometry")
    if [tuple(shape) for shape in real["classes"]] != bench_geometry.our_classes(
            bench_geometry.OUR_SPACING, bench_geometry.OUR_LENGTH):
        raise BenchError("bench_geometry.py no longer has the size classes of geometry.c")
    payload = sum(size * count for size, count in sizes.items())
    ours, _ = bench_geometry.our_overhead(sizes, bench_geometry.OUR_SPACING, bench_geometry.OUR_LENGTH)
    report.add("geometry_measured", "%", OURS, (real["pages"] * bench_geometry.PAGE_BYTES / payload - 1) * 100)
    report.add("geometry_modelled", "%", OURS, ours * 100)
    for length in KERNEL_LENGTHS:
        filled, bulk = bench_geometry.kernel_overhead(sizes, length)
        report.add("geometry_zsmalloc", "%", str(length), filled * 100)
        report.add("geometry_zsmalloc_bulk", "%", str(length), bulk * 100)
    for spacing in SPACINGS:
        for length in LENGTHS:
            filled, bulk = bench_geometry.our_overhead(sizes, spacing, length)
            report.add(f"geometry_{spacing}_apart", "%", str(length), filled * 100)
            report.add(f"geometry_{spacing}_apart_bulk", "%", str(length), bulk * 100)


# Part: function, the prefixes of its metrics, the peers, rounds.
PARTS = {
    "alloc": (alloc, ("alloc_",), tuple(MALLOCS), 3),
    "locks": (locks, ("lock_",), ("32-pools", "pool-lock"), 3),
    "account": (account, ("accounting_",), ("off",), 3),
    "caches": (caches, ("cache_",), ("per-pool",), 2),
    "pools": (pools, ("pool_", "fill_"), ("per-device",), 2),
    "free": (free, ("punch_", "device_", "free_"), ("synchronous",), 3),
    "compact": (compact, ("quiet_", "compact", "fragmented_"), (), 3),
    "lifetimes": (lifetimes, ("lifetimes_",), ("apart",), 1),
    "geometry": (geometry, ("geometry_",), tuple(str(length) for length in LENGTHS), 1),
}


def _print(report, prefixes, peers, say):
    metrics = [metric for metric in report.metrics() if metric.startswith(prefixes)]
    say("\n" + report.table(metrics, [OURS, *peers]))
    if any(metric in RATIO_METRICS for metric in metrics):
        say("\nzsd divided by each peer")
        say(report.ratio_table([metric for metric in metrics if metric in RATIO_METRICS], peers))


def run(options, report, say):
    unknown = set(options.subject or ()) - set(PARTS)
    if unknown:
        raise BenchError(f"arena: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    names = [name for name in PARTS if not options.subject or name in options.subject]
    arena = Arena(options, say)
    for name in names:
        part, prefixes, peers, rounds = PARTS[name]
        rounds = options.rounds or (1 if options.quick else rounds)
        say(f"\n{name}: {rounds} rounds, median [min-max]")
        for number in range(rounds):
            part(arena, report, number)
        _print(report, prefixes, peers, say)
    say("\nthe lines are explained in bench_arena.py")
