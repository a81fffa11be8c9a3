# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the subjects are asked to do. The load generator (load.c) does it with the corpus's data."""

import dataclasses
import json
import os

from scope import run


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    mode: str
    block_bytes: int
    depth: int
    jobs: int
    unit: str
    devices: int = 1

    def value(self, result):
        """The figure that is reported, in `unit`."""
        return result["bytes_per_second"] / 1e9 if self.unit == "GB/s" else result["ops_per_second"]


WORKLOADS = (
    Workload("write_1m_qd1", "seqwrite", 1 << 20, 1, 1, "GB/s"),
    Workload("read_1m_qd1", "seqread", 1 << 20, 1, 1, "GB/s"),
    Workload("write_1m_qd8", "seqwrite", 1 << 20, 8, 1, "GB/s"),
    Workload("read_1m_qd8", "seqread", 1 << 20, 8, 1, "GB/s"),
    Workload("randread_4k_qd1", "randread", 4096, 1, 1, "IOPS"),
    Workload("randwrite_4k_qd1", "randwrite", 4096, 1, 1, "IOPS"),
    Workload("randread_4k_qd32x2", "randread", 4096, 32, 2, "IOPS"),
    Workload("randwrite_4k_qd32x2", "randwrite", 4096, 32, 2, "IOPS"),
    Workload("randread_4k_qd32x1", "randread", 4096, 32, 1, "IOPS"),
    Workload("mixed_4k_4dev", "mixed", 4096, 8, 4, "IOPS", 4),
)
CHUNK_BYTES = 1 << 20  # the load generator's
# Of each device beside the first.
MORE_REGION_BYTES = 256 << 20


class Load:
    """The load generator over one corpus, on the first region_bytes of a device (default: the corpus's size)."""

    def __init__(self, program, corpus, region_bytes=None):
        self.program = program
        self.corpus = corpus
        self.region_bytes = region_bytes or os.path.getsize(corpus)

    def fill(self, path, depth, region_bytes=None):
        """Writes the region's data to the start of the device."""
        return self._run((path,), "fill", "--depth", str(depth), region_bytes=region_bytes, timeout=300)

    def verify(self, path):
        """Compares the device with what fill() wrote."""
        self._run((path,), "verify", "--depth", "8", timeout=300)

    def measure(self, paths, workload, seconds, ramp_seconds, seed, *more):
        return self._run(
            paths[:workload.devices], workload.mode, "--block", str(workload.block_bytes),
            "--depth", str(workload.depth), "--jobs", str(workload.jobs), "--seconds", str(seconds),
            "--ramp", str(ramp_seconds), "--seed", str(seed), *more,
            region_bytes=MORE_REGION_BYTES if workload.devices > 1 else None, timeout=60 + seconds,
        )

    def spread(self, paths, workload, seconds, ramp_seconds, seed, region_bytes):
        """Each job over all paths, by chance; region_bytes: of each path."""
        return self._run(
            paths, workload.mode, "--block", str(workload.block_bytes), "--depth", str(workload.depth), "--jobs",
            str(workload.jobs), "--seconds", str(seconds), "--ramp", str(ramp_seconds), "--seed", str(seed), "--spread",
            region_bytes=region_bytes, timeout=60 + seconds,
        )

    def _run(self, paths, mode, *options, timeout, region_bytes=None):
        command = [self.program, "--corpus", self.corpus, "--mode", mode,
                   "--region", str(min(region_bytes or self.region_bytes, self.region_bytes)), *options]
        for path in paths:
            command += ["--path", path]
        return json.loads(run(command, timeout))
