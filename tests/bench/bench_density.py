# SPDX-License-Identifier: LGPL-2.1-or-later
"""density: the memory that the same data takes.

used                pages of objects, slot table and handles: what the data costs as long as it is stored
                      zsd   the pool's used_bytes: zspage pages (object headers in them), slot table, handle words
                      zram  mem_used_total, 16 bytes a slot of the disk, the slab pages of its handles
derived             zsd only: the daemon's own memory outside of the arena (RssAnon + RssFile): code, stacks, codec
                    contexts, zspage descriptors, lists. zram's like is spread over the kernel and can't be told apart
pages_per_payload   pages of objects / compressed bytes: what the allocator wastes, its object headers included
metadata_per_block  (slot table + handles) / blocks that hold data
data_per_used       data / used
"""

import os

import corpus
from scope import Scope, resident_bytes
from subjects import PAGE_BYTES, Zram, Zsd, available
from workloads import Load

RATIO_METRICS = tuple(
    f"{name}_{metric}" for name in ("usr", "memory")
    for metric in ("used", "pages_per_payload", "metadata_per_block", "data_per_used")
)
CORPORA = {"usr": corpus.usr, "memory": corpus.memory}
QUICK_BYTES = 256 << 20
ZRAM_SLOT_BYTES = 16  # struct zram_table_entry, without access times


def _subjects(build, size_bytes):
    return [
        Zsd(build, size_bytes=size_bytes),
        Zsd(build, name="zsd-zstd", algorithm="zstd", size_bytes=size_bytes),
        Zram(build, size_bytes=size_bytes),
    ]


def _measure_zsd(subject):
    pool = subject.pool_stats()
    resident = resident_bytes(subject.pids[0])
    return {
        "data": pool["data_bytes"],
        "payload": pool["stored_bytes"],
        "pages": pool["zspage_bytes"],
        "metadata": pool["slot_table_bytes"] + pool["handle_bytes"],
        "used": pool["used_bytes"],
        "derived": resident["RssAnon"] + resident["RssFile"],
    }


def _measure_zram(subject):
    stats = subject.mm_stat()
    metadata = subject.size_bytes // PAGE_BYTES * ZRAM_SLOT_BYTES + subject.handle_bytes()
    return {
        "data": stats["orig_data_size"],
        "payload": stats["compr_data_size"],
        "pages": stats["mem_used_total"],
        "metadata": metadata,
        "used": stats["mem_used_total"] + metadata,
    }


def _report(report, name, subject, sizes):
    def add(metric, unit, value):
        report.add(f"{name}_{metric}", unit, subject.name, value)

    add("data", "bytes", sizes["data"])
    add("payload", "bytes", sizes["payload"])
    add("used", "bytes", sizes["used"])
    if "derived" in sizes:
        add("derived", "bytes", sizes["derived"])
    add("pages_per_payload", "ratio", sizes["pages"] / sizes["payload"])
    add("metadata_per_block", "bytes", sizes["metadata"] / (sizes["data"] / PAGE_BYTES))
    add("data_per_used", "ratio", sizes["data"] / sizes["used"])


def _measure(subject, name, load, report):
    with Scope() as scope:
        subject.start(scope)
        load.fill(subject.path, subject.fill_depth)
        load.verify(subject.path)
        sizes = _measure_zsd(subject) if isinstance(subject, Zsd) else _measure_zram(subject)
    _report(report, name, subject, sizes)


def _measure_idle(subject, report):
    """Resident memory of a daemon that has just started and has no device."""
    if subject.missing():
        return
    with Scope() as scope:
        subject.start_idle(scope)
        report.add("idle_resident", "bytes", subject.name, resident_bytes(subject.pids[0])["VmRSS"])


def run(options, report, say):
    program = os.path.join(options.build, "tests", "bench", "load")
    _measure_idle(Zsd(options.build), report)
    names = []
    for name, make in CORPORA.items():
        path = make(options.output, say)
        size = os.path.getsize(path)
        load = Load(program, path, min(size, QUICK_BYTES) if options.quick else size)
        subjects = [s for s in _subjects(options.build, load.region_bytes)
                    if not options.subject or s.name in options.subject]
        for subject in available(subjects, say):
            say(f"{name}: {subject.name}")
            _measure(subject, name, load, report)
            names += [subject.name] if subject.name not in names else []
    say("")
    say(report.table(report.metrics(), names))
    peers = [name for name in names if name != "zsd"]
    if "zsd" in names and peers:
        say("\nzsd divided by each peer")
        say(report.ratio_table(RATIO_METRICS, peers))
    say("\nusr: tar stream of /usr; memory: pages of processes at work; the lines are explained in bench_density.py")
