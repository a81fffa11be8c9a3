# SPDX-License-Identifier: LGPL-2.1-or-later
"""cold: writing blocks back and reading them, against fio on the same file system; recompression; more than fits.

The store is used without a daemon: the usr corpus in memory, lz4, blocks of 4 KiB; a backing file below the build
directory, O_DIRECT. fio: io_uring, O_DIRECT, one job.

writeback_blocks_per_s   all blocks are written back, in the order of the device
           zsd     by the thread that writes back
           fio     the same bytes, sequentially, 256 KiB at a time, 16 at once, as zsd writes them
           raw-4k  the same blocks as zram writes them: 4096 bytes each, 32 at once
           writeback_cpu            processor time of a block, of the thread that writes back and its system calls;
                                    the maintenance thread gives memory back meanwhile, up to 32 MiB behind
           writeback_bytes          that went to the file, a block; of zsd all headers and padding are in it
           writeback_bytes_over_compressed   the same / compressed size; writeback_pages_over_compressed:
                                    4096 bytes / compressed size
readback_iops            blocks are read from the file at random, 32 at once
           zsd     by 32 threads; checksum, decompression and a comparison with the corpus are in it
           fio     as many bytes of the file that zsd has written, in reads of one and of two pages
hot_p99_during_writeback_over_quiet   one thread reads blocks that are in memory, while the others (10.3 GiB) are
                         written back, and in turns while they are not; hot_p50, hot_p99: latencies; _quiet: without
recompressed_memory_4k_over_lz4   memory in all (zspages, slots, handles) of the corpus after recompression to zstd:3
                         and compaction / memory before; _16k: of blocks of 16 KiB / of lz4 and 4 KiB, too;
                         _uncompacted: as it says
           recompress_bytes_per_s   data, by one thread
trained_memory_4k_over_lz4   the same after that with a dictionary of 64 KiB that was trained from it; _16k as above
trained_read_over_plain_4k   decompressing a block with the dictionary / without; _16k
zipf_hit_rate            reads that find their block in memory / all, where the corpus is four times the pool's limit:
                         the n-th most popular block is read (70 %) or written (30 %) 1/n as often as the first
           zipf_written_bytes   that went to the file, collection included, a byte of data that clients have written
           zipf_written_bytes_over_compressed   the same, a byte of the blocks written back, compressed
           zipf_blocks_per_s    read and written by two threads
           zipf_refused         writes that got ENOSPC; the file has no limit
Options: --subject chooses among writeback, hot, recompress and zipf, --rounds sets the number of rounds of all but
recompress.
"""

import json
import os

import corpus
from scope import BenchError, run as run_program

OURS = "zsd"
RATIO_METRICS = ("writeback_blocks_per_s", "readback_iops")
PAGE_BYTES = 4096
QUEUE_DEPTH = 32
# As the store has it: the size of a chunk, and how many of them it has.
CHUNK_BYTES = 256 << 10
CHUNKS = 16
SEGMENT_BYTES = 1 << 20
HOT_DEVICES = 16  # of equal size, the first of which is hot
HOT_BYTES = 11 << 30
HOT_BYTES_QUICK = 1 << 30
QUICK_BLOCKS = 65536
TIMEOUT = 240


class Cold:
    """The program, the corpus, and files that are removed when it ends."""

    def __init__(self, options, say):
        self.program = os.path.join(options.build, "tests", "bench", "arena")
        self.corpus = corpus.usr(options.output, say)
        self.quick = options.quick
        self.backing = os.path.join(options.output, "cold.backing")
        self.scratch = os.path.join(options.output, "cold.scratch")
        self.written = None  # what the last writeback has printed

    def __enter__(self):
        self.remove()
        return self

    def __exit__(self, *details):
        self.remove()

    def remove(self):
        """Removes the files, now: else their room is given back, and discarded, seconds later, while others write."""
        for path in (self.backing, self.scratch):
            if os.path.exists(path):
                os.unlink(path)
        os.sync()

    def run(self, name, *options):
        """Runs a benchmark, with a new backing file, and answers what it has printed."""
        self.remove()
        if self.quick:
            options += ("--blocks", str(QUICK_BLOCKS))
        command = [self.program, name, "--corpus", self.corpus, "--backing", self.backing, *options]
        return [json.loads(line) for line in run_program(command, TIMEOUT).splitlines()]

    def fio(self, operation, path, *options):
        """Runs fio, and answers its rates of what it has read or written."""
        command = [
            "fio", "--name=cold", "--output-format=json", "--ioengine=io_uring", "--direct=1", f"--rw={operation}",
            f"--filename={path}", *options,
        ]
        job = json.loads(run_program(command, TIMEOUT))["jobs"][0]
        result = job["write" if operation == "write" else "read"]
        return {"seconds": result["runtime"] / 1e3, "ios": result["total_ios"]}


def _fio_write(cold, nr_bytes, block_bytes, depth):
    """Into a file with holes, as the backing file is one."""
    cold.remove()
    return cold.fio("write", cold.scratch, f"--size={nr_bytes}", f"--bs={block_bytes}", f"--iodepth={depth}",
                    "--fallocate=truncate")["seconds"]


def pages_split(reads, read_bytes):
    """How many of a hundred reads are of two pages, so that the mean is the same."""
    return min(max(round((read_bytes / reads / PAGE_BYTES - 1) * 100), 0), 100)


def _fio_read(cold, written_bytes, reads, read_bytes):
    """Of the part that has been written only: holes cost nothing."""
    two = pages_split(reads, read_bytes)
    result = cold.fio("randread", cold.backing, f"--bssplit=4k/{100 - two}:8k/{two}", "--blockalign=4k",
                      f"--iodepth={QUEUE_DEPTH}", "--norandommap", f"--offset={SEGMENT_BYTES}",
                      f"--size={written_bytes // CHUNK_BYTES * CHUNK_BYTES}",
                      f"--io_size={read_bytes // PAGE_BYTES * PAGE_BYTES}")
    return result["ios"] / result["seconds"]


def _add_ours(report, written, read):
    blocks = written["blocks"]
    report.add("writeback_blocks_per_s", "blocks/s", OURS, blocks / written["nsec"] * 1e9)
    report.add("writeback_cpu", "us/block", OURS, written["cpu_nsec"] / blocks / 1e3)
    report.add("writeback_bytes", "bytes/block", OURS, written["written_bytes"] / blocks)
    report.add("writeback_bytes_over_compressed", "ratio", OURS, written["written_bytes"] / written["payload_bytes"])
    report.add("readback_iops", "reads/s", OURS, read["reads"] / read["nsec"] * 1e9)
    report.add("readback_cpu", "us/read", OURS, read["cpu_nsec"] / read["reads"] / 1e3)
    report.add("readback_bytes", "bytes/read", OURS, read["read_bytes"] / read["file_reads"])


def _write_ours(cold, report):
    cold.written, read = cold.run("writeback", "--threads", str(QUEUE_DEPTH))
    _add_ours(report, cold.written, read)
    report.add("readback_iops", "reads/s", "fio",
               _fio_read(cold, cold.written["written_bytes"], read["file_reads"], read["read_bytes"]))


def _write_theirs(cold, report):
    blocks, written_bytes = cold.written["blocks"], cold.written["written_bytes"]
    for peer, nr_bytes, block_bytes, depth in (("fio", written_bytes, CHUNK_BYTES, CHUNKS),
                                               ("raw-4k", blocks * PAGE_BYTES, PAGE_BYTES, QUEUE_DEPTH)):
        report.add("writeback_blocks_per_s", "blocks/s", peer,
                   blocks / _fio_write(cold, nr_bytes, block_bytes, depth))
        report.add("writeback_bytes", "bytes/block", peer, nr_bytes / blocks)
    pages_bytes = blocks * PAGE_BYTES
    report.add("writeback_pages_over_compressed", "ratio", "raw-4k", pages_bytes / cold.written["payload_bytes"])


def writeback(cold, report, number):
    """In turns; in the first round fio has to be told how much it is."""
    steps = (_write_theirs, _write_ours) if number % 2 else (_write_ours, _write_theirs)
    for step in steps:
        step(cold, report)


def hot(cold, report, number):
    size = HOT_BYTES_QUICK if cold.quick else HOT_BYTES
    result = cold.run("hot", "--devices", str(HOT_DEVICES), "--size", str(size), "--seed", str(number + 1))[0]
    for which in ("p50", "p99"):
        report.add(f"hot_{which}_quiet", "us", OURS, result[f"quiet_{which}_ns"] / 1e3)
        report.add(f"hot_{which}", "us", OURS, result[f"{which}_ns"] / 1e3)
    report.add("hot_p99_during_writeback_over_quiet", "ratio", OURS, result["p99_ns"] / result["quiet_p99_ns"])


def recompress(cold, report, number):
    del number  # nothing is random
    lz4_bytes = None
    for block_bytes in (4096, 16384):
        result = cold.run("recompress", "--block", str(block_bytes))[0]
        lz4_bytes = lz4_bytes or result["filled_bytes"]
        name = f"recompressed_memory_{block_bytes >> 10}k_over_lz4"
        report.add(name, "ratio", OURS, result["compacted_bytes"] / lz4_bytes)
        report.add(f"{name}_uncompacted", "ratio", OURS, result["recompressed_bytes"] / lz4_bytes)
        report.add(f"recompress_bytes_per_s_{block_bytes >> 10}k", "bytes/s", OURS,
                   result["data_bytes"] / result["nsec"] * 1e9)
        report.add(f"trained_memory_{block_bytes >> 10}k_over_lz4", "ratio", OURS, result["trained_bytes"] / lz4_bytes)
        report.add(f"trained_read_over_plain_{block_bytes >> 10}k", "ratio", OURS,
                   result["trained_read_nsec"] / result["read_nsec"])


def zipf(cold, report, number):
    result = cold.run("zipf", "--seed", str(number + 1))[0]
    operations = result["reads"] + result["writes"]
    report.add("zipf_hit_rate", "ratio", OURS, 1 - result["misses"] / result["reads"])
    report.add("zipf_written_bytes", "ratio", OURS, result["written_bytes"] / (result["writes"] * PAGE_BYTES))
    report.add("zipf_written_bytes_over_compressed", "ratio", OURS, result["written_bytes"] / result["payload_bytes"])
    report.add("zipf_blocks_per_s", "blocks/s", OURS, operations / result["nsec"] * 1e9)
    report.add("zipf_refused", "writes", OURS, result["refused"])


# Part: function, the prefixes of its metrics, the peers, rounds.
PARTS = {
    "writeback": (writeback, ("writeback_", "readback_"), ("fio", "raw-4k"), 5),
    "hot": (hot, ("hot_",), (), 3),
    "recompress": (recompress, ("recompress", "trained"), (), 1),
    "zipf": (zipf, ("zipf_",), (), 3),
}


def _print(report, prefixes, peers, say):
    metrics = [metric for metric in report.metrics() if metric.startswith(prefixes)]
    say("\n" + report.table(metrics, [OURS, *peers]))
    if peers:
        say("\nzsd divided by each peer")
        say(report.ratio_table(RATIO_METRICS, peers))


def run(options, report, say):
    unknown = set(options.subject or ()) - set(PARTS)
    if unknown:
        raise BenchError(f"cold: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    with Cold(options, say) as cold:
        for name, (part, prefixes, peers, rounds) in PARTS.items():
            if options.subject and name not in options.subject:
                continue
            rounds = (options.rounds or (2 if options.quick else rounds)) if rounds > 1 else 1
            say(f"\n{name}: {rounds} rounds, median [min-max]")
            for number in range(rounds):
                part(cold, report, number)
            _print(report, prefixes, peers, say)
    say("\nthe lines are explained in bench_cold.py")
