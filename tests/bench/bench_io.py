# SPDX-License-Identifier: LGPL-2.1-or-later
"""io: throughput, rate and processor time of reads and writes, against the peers.

All subjects are filled with the same data and stay up for the whole run. In each round every workload is done on every
subject in turn, the order shifted by one from round to round, so that a slow spell of the machine hits all alike.
"""

import os

import corpus
from scope import Scope, cpu_seconds
from subjects import available, io_subjects
from workloads import MORE_REGION_BYTES, WORKLOADS, Load

SECONDS = 1.0
RAMP_SECONDS = 0.1
ROUNDS = 5
ROUNDS_QUICK = 2
SECONDS_QUICK = 0.5

SUBJECTS = ("classic", "uring")  # ours
RATIO_METRICS = tuple(workload.name for workload in WORKLOADS)


def _prepare(subjects, load, scope, say):
    for subject in subjects:
        subject.start(scope)
        load.fill(subject.path, subject.fill_depth)
        for path in subject.more_paths:
            load.fill(path, subject.fill_depth, MORE_REGION_BYTES)
        if not subject.keeps_data:
            say(f"started {subject.name}")
            continue
        load.verify(subject.path)
        say(f"started, filled and verified {subject.name}")


def _measure(subject, workload, load, seconds, seed, report):
    cpu = cpu_seconds(subject.pids)
    result = load.measure([subject.path, *subject.more_paths], workload, seconds, RAMP_SECONDS, seed)
    server_us = (cpu_seconds(subject.pids) - cpu) / result["ops_all"] * 1e6
    client_us = result["cpu_seconds"] / result["ops_all"] * 1e6
    report.add(workload.name, workload.unit, subject.name, workload.value(result))
    report.add(f"{workload.name}_server_cpu", "us/op", subject.name, server_us)
    report.add(f"{workload.name}_cpu", "us/op", subject.name, server_us + client_us)
    report.add(f"{workload.name}_p50", "us", subject.name, result["latency_p50_ns"] / 1e3)
    report.add(f"{workload.name}_p99", "us", subject.name, result["latency_p99_ns"] / 1e3)


def _print(report, workloads, subjects, say):
    names = [subject.name for subject in subjects]
    metrics = [workload.name for workload in workloads]
    ours = [name for name in names if name in SUBJECTS]
    peers = report.peers(metrics[0])
    say("\nmedian [min-max]")
    say(report.table(metrics, names))
    for name in ours if peers else []:
        say(f"\n{name} divided by each peer (above 1: zsd is faster; null: over the same transport; best-null: over "
            "the faster one)")
        say(report.ratio_table(metrics, peers, name))
    say("\nprocessor time of an operation: server and client together; below: the server's alone")
    say(report.table([f"{metric}_cpu" for metric in metrics], names, spread=False))
    say(report.table([f"{metric}_server_cpu" for metric in metrics], names, spread=False))
    say("\nlatency of an operation")
    say(report.table([f"{metric}_{which}" for metric in metrics for which in ("p50", "p99")], names, spread=False))
    say("")
    for subject in subjects:
        say(f"{subject.name}: {subject.description}")


def run(options, report, say):
    workloads = [workload for workload in WORKLOADS if not options.only or workload.name in options.only]
    rounds = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    seconds = SECONDS_QUICK if options.quick else SECONDS
    subjects = [s for s in io_subjects(options.build) if not options.subject or s.name in options.subject]
    subjects = available(subjects, say)
    load = Load(os.path.join(options.build, "tests", "bench", "load"), corpus.usr(options.output, say))
    with Scope() as scope:
        _prepare(subjects, load, scope, say)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            shift = number % len(subjects)
            for workload in workloads:
                for subject in subjects[shift:] + subjects[:shift]:
                    _measure(subject, workload, load, seconds, number + 1, report)
    _print(report, workloads, subjects, say)
