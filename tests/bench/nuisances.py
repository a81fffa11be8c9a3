# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a hostile client costs the data path, told from what else happens to a machine.

The load goes on without an end, and what the client does changes from one short window of it to the next: it is at
work on our daemon (zsd), on another one that has nothing else to do (other), or not at all (none); in the one order
and in the other by turns, some hundred times. The latencies of all windows of a kind are one distribution. What the
ratio of two of their p99s is worth is told by drawing windows of both kinds anew, in pairs of neighbours (bootstrap).
"""

import bisect
import contextlib
import itertools
import operator
import os
import random
import signal
import subprocess
import threading
import time

from scope import BenchError

KINDS = ("half", "slow", "connections", "garbage")
WINDOW_SECONDS = 0.15
# What a client has begun may go on without it, as connections do that wait to be accepted: 64 of them, one a ms.
SETTLE_SECONDS = 0.07
DRAWS = 400
# Of a histogram what lies above this part of all values is kept: a p99 is always there.
TAIL = 0.8


class Distribution:
    """The tail of a window's latencies, on an axis of values that all windows share."""

    def __init__(self, pairs, axis):
        counts = dict(pairs)
        self.total = sum(counts.values())
        self.tail = [counts.get(value, 0) for value in axis]


def tail_axis(windows):
    """The values above TAIL of all latencies together, ascending. windows: lists of (value, count)."""
    counts = {}
    for value, count in itertools.chain.from_iterable(windows):
        counts[value] = counts.get(value, 0) + count
    values = sorted(counts)
    sums = list(itertools.accumulate(counts[value] for value in values))
    return values[bisect.bisect_left(sums, TAIL * sums[-1]):] if values else []


def p99(distributions, axis):
    """Of all of them together; between the ends of its bucket as if values were spread evenly there."""
    above = sum(distribution.total for distribution in distributions) / 100
    tail = [0] * len(axis)
    for distribution in distributions:
        tail = list(map(operator.add, tail, distribution.tail))
    for value, count in zip(reversed(axis), reversed(tail)):
        if count > above:
            return value * (1 - above / count / 64)
        above -= count
    raise BenchError("there are too few latencies for a p99")


def ratio_interval(ours, theirs, axis, seed=1):
    """The p99 of ours divided by that of theirs, pairwise neighbours, and its interval of 95 %."""
    chance = random.Random(seed)
    pairs = list(zip(ours, theirs))
    ratios = []
    for _ in range(DRAWS):
        drawn = chance.choices(pairs, k=len(pairs))
        ratios.append(p99([one for one, _ in drawn], axis) / p99([other for _, other in drawn], axis))
    ratios.sort()
    whole = p99([one for one, _ in pairs], axis) / p99([other for _, other in pairs], axis)
    return whole, ratios[round(0.025 * DRAWS)], ratios[round(0.975 * DRAWS) - 1]


def turn(number, subjects):
    """Whose turn the window is: subjects in their order, then backwards."""
    cycle = (*subjects, *reversed(subjects))
    return cycle[number % len(cycle)]


class Switch(threading.Thread):
    """Lets one client work at a time, by the windows of the monotonic clock. clients: subject -> process or None."""

    def __init__(self, clients):
        super().__init__(daemon=True)
        self.clients = clients
        self.stopped = False
        self.late = set()  # windows in which the change came late

    def run(self):
        # As soon as it is due: this needs no time, and is what the windows are about.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        number = int(time.monotonic() / WINDOW_SECONDS) + 1
        working = None
        while not self.stopped:
            time.sleep(max(0, number * WINDOW_SECONDS - time.monotonic()))
            client = self.clients[turn(number, list(self.clients))]
            if client is not working:
                _send(working, signal.SIGSTOP)
                _send(client, signal.SIGCONT)
                working = client
            if time.monotonic() > number * WINDOW_SECONDS + SETTLE_SECONDS / 10:
                self.late.add(number)
            number += 1
        _send(working, signal.SIGSTOP)

    def finish(self):
        self.stopped = True
        self.join()


def _send(process, number):
    if process:
        process.send_signal(number)


@contextlib.contextmanager
def _clients(program, targets, kind):
    """A client for each target that has a socket, not at work yet."""
    clients = {}
    try:
        for subject, socket_path in targets.items():
            clients[subject] = socket_path and subprocess.Popen([program, socket_path, kind],
                                                                stdin=subprocess.DEVNULL)
        yield clients
        for subject, client in clients.items():
            if client and client.poll() is not None:
                raise BenchError(f"the hostile client of {subject} has ended: {client.returncode}")
    finally:
        for client in filter(None, clients.values()):
            client.kill()
            client.wait()


def measure(program, targets, kind, run_load):
    """
    Answers subject -> windows, as distributions on an axis, in such an order that neighbours were neighbours; and the
    axis. targets: subject -> socket, or None for nobody; run_load: of the load generator, with its further options.
    """
    with _clients(program, targets, kind) as clients:
        switch = Switch(clients)
        switch.start()
        try:
            result = run_load("--window", str(WINDOW_SECONDS), "--settle", str(SETTLE_SECONDS))["windows"]
        finally:
            switch.finish()
    return sort_windows(result, switch.late, list(targets))


def sort_windows(result, late, subjects):
    """What the load generator tells, by whose turn it was: whole rounds of subjects in which no change came late."""
    axis = tail_axis(result["latencies"])
    windows = {subject: [] for subject in subjects}
    first = -result["first"] % len(subjects)
    for start in range(first, len(result["latencies"]) - len(subjects) + 1, len(subjects)):
        numbers = [result["first"] + start + i for i in range(len(subjects))]
        if late.intersection(numbers):
            continue
        for number in numbers:
            latencies = result["latencies"][number - result["first"]]
            windows[turn(number, subjects)].append(Distribution(latencies, axis))
    return windows, axis
