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
)


class Load:
    """The load generator over one corpus, on the first region_bytes of a device (default: the corpus's size)."""

    def __init__(self, program, corpus, region_bytes=None):
        self.program = program
        self.corpus = corpus
        self.region_bytes = region_bytes or os.path.getsize(corpus)

    def fill(self, path, depth):
        """Writes the region's data to the start of the device."""
        self._run(path, "fill", "--depth", str(depth), timeout=300)

    def verify(self, path):
        """Compares the device with what fill() wrote."""
        self._run(path, "verify", "--depth", "8", timeout=300)

    def measure(self, path, workload, seconds, ramp_seconds, seed):
        return self._run(
            path, workload.mode, "--block", str(workload.block_bytes), "--depth", str(workload.depth),
            "--jobs", str(workload.jobs), "--seconds", str(seconds), "--ramp", str(ramp_seconds), "--seed", str(seed),
            timeout=60 + seconds,
        )

    def _run(self, path, mode, *options, timeout):
        command = [self.program, "--corpus", self.corpus, "--path", path, "--mode", mode,
                   "--region", str(self.region_bytes), *options]
        return json.loads(run(command, timeout))
