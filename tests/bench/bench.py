#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a benchmark, prints its tables and writes BUILD/bench/NAME.json.

Exit codes: 0; 1 it could not be run to its end; 2 usage; 128 + n ended by signal n.
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is

import bench_arena
import bench_cold
import bench_control
import bench_density
import bench_io
import bench_scaling
import bench_tuning
from report import OURS, Report
from scope import BenchError, end_on_signals
from workloads import WORKLOADS

BENCHES = {
    "io": bench_io, "density": bench_density, "arena": bench_arena, "cold": bench_cold, "scaling": bench_scaling,
    "tuning": bench_tuning, "control": bench_control,
}
DEFAULT_BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build")


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*BENCHES, "all"])
    parser.add_argument("--build", default=DEFAULT_BUILD, metavar="DIR", help="build directory (default: build)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, less data")
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", choices=[w.name for w in WORKLOADS],
                        help="io: these workloads only: " + ", ".join(w.name for w in WORKLOADS))
    parser.add_argument("--subject", nargs="+", metavar="SUBJECT", help="these subjects only")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (default: each bench's own)")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: at least 1")
    options.build = os.path.realpath(options.build)
    options.output = os.path.join(options.build, "bench")
    return options


def say(line):
    print(line, flush=True)


def run_bench(name, options):
    bench = BENCHES[name]
    report = Report(getattr(bench, "SUBJECTS", (OURS,)))
    say(f"bench {name}")
    bench.run(options, report, say)
    path = os.path.join(options.output, f"{name}.json")
    report.write(path, bench.RATIO_METRICS)
    say(f"\nwritten: {path}")


def main():
    options = parse_arguments(sys.argv[1:])
    if os.geteuid() != 0:
        raise BenchError("run it as root: it makes zram devices and mounts a tmpfs")
    end_on_signals()
    for name in BENCHES if options.name == "all" else [options.name]:
        run_bench(name, options)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
