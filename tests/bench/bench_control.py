# SPDX-License-Identifier: LGPL-2.1-or-later
"""control: what looking at the daemon costs, and whether it answers while it works and while it is attacked.

list_1000         zsctl list of 1,000 devices, from its start to its end
iostat_N          zsctl iostat 1 with N devices: its processor time and the daemon's, in percent of a core, while it
                  goes on; most of it is for printing N lines each second, which iostat_N_active (-z) leaves out
monitor_N         zsctl monitor 1 the same
call_p99_X        a call on a connection that is open, answered: idle, with the data path saturated (busy), and with
                  that and a client who asks for the metrics of 1,000 devices all the time (scraped);
                  the client has a CPU whenever it wants one
hostile_X         p99 of the data path while a hostile client is at work on its daemon, divided by the p99 while the
                  same client is at work on another daemon that has nothing else to do (other), and while none is
                  (none), each with its interval of 95 %: see nuisances.py. What the client takes of the CPUs itself
                  it takes in both cases; zsd / other is what it gains by the daemon
hostile_X_cpu     the processor time of the daemon's control thread, and of the other's, while it is at work on it
start_100         from starting the daemon to READY=1, with 100 configured devices
network_X         nbdcopy over loopback TCP to and from nbdkit, which serves a device (zsd) or a file on tmpfs
Options: --subject chooses among the parts start, watch, calls, hostile, network; --rounds: not of hostile.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time

import corpus
import nuisances
import scope as programs
from scope import BenchError, Scope, wait_for
from subjects import Zsd, available
from workloads import Load, Workload

RATIO_METRICS = ("network_write", "network_read")
SUBJECTS = ("zsd",)

MANY = 1000
ROUNDS = 7
ROUNDS_QUICK = 2
SECONDS = 2.0
SECONDS_QUICK = 0.5
HOSTILE_SECONDS = 60
HOSTILE_SECONDS_QUICK = 6
WATCH_SAMPLES = 10
WATCH_SAMPLES_QUICK = 3
CALL_PAUSE_SECONDS = 0.003
NETWORK_BYTES = 1 << 30
NETWORK_BYTES_QUICK = 128 << 20
# One processor's time is not enough for it, nor are two.
SATURATED = Workload("saturated", "mixed", 4096, 32, 4, "IOPS")
# The same without a queue: its p99 is that of requests which wait for nothing but a CPU.
UNQUEUED = Workload("unqueued", "mixed", 4096, 1, 4, "IOPS")
# What a program that watches the daemon asks for again and again.
CALLS = ("org.varlink.service.GetInfo", "io.zsd.control.Status", "io.zsd.control.List", "io.zsd.control.Stats")


class Client:
    """A connection to a control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.socket.close()

    def call(self, method, parameters=None, more=False):
        """The last reply, as bytes."""
        message = {"method": method, "parameters": parameters or {}, "more": more}
        self.socket.sendall(json.dumps(message).encode() + b"\0")
        reply = b""
        while not reply.endswith(b"\0") or reply.endswith(b'"continues":true}\0'):
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise BenchError(f"{method}: the daemon closed the connection")
            reply = piece if reply.endswith(b"\0") else reply + piece
        return reply[:-1]


def _task_seconds(pid):
    """Processor time of a process, by nanoseconds (schedstat)."""
    nsec = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/schedstat", "rb") as file:
            nsec += int(file.read().split()[0])
    return nsec / 1e9


def _add_devices(client, number):
    for index in range(number):
        reply = json.loads(client.call("io.zsd.control.Add", {"name": f"many{index}", "size_bytes": 1 << 30}))
        if "error" in reply:
            raise BenchError(f"Add: {reply}")


def _remove_devices(client, number):
    for index in range(number):
        client.call("io.zsd.control.Remove", {"name": f"many{index}"})


#
# list and iostat
#


def _list(subject, rounds, report):
    for _ in range(3 * rounds):
        before = time.monotonic()
        subject.zsctl("list")
        report.add(f"list_{MANY}", "ms", "zsd", (time.monotonic() - before) * 1e3)


def _watch(subject, metric, samples, report, *words):
    """From between two reports to between two others: the first is of all devices, whatever is left out later."""
    command = [subject.program("tools", "zsctl"), "--socket", subject.socket, *words, "1"]
    with open(os.devnull, "wb") as null, subprocess.Popen(command, stdin=null, stdout=null) as client:
        try:
            time.sleep(1.5)
            before = _task_seconds(subject.pids[0]), _task_seconds(client.pid)
            time.sleep(samples)
            after = _task_seconds(subject.pids[0]), _task_seconds(client.pid)
        finally:
            client.kill()
    for name, begin, end in zip(("zsd", "zsctl"), before, after):
        report.add(metric, "% core", name, (end - begin) / samples * 100)


#
# latency of calls
#


def _percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


@contextlib.contextmanager
def _first_in_line():
    """This thread gets a CPU as soon as it has something to do: what is waited for is the daemon only."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _call_times(path, until):
    times = []
    with _first_in_line(), Client(path) as client:
        while not until():
            for method in CALLS:
                named = method.endswith(("List", "Stats"))
                before = time.monotonic()
                client.call(method, {"name": "bench"} if named else {})
                times.append(time.monotonic() - before)
                time.sleep(CALL_PAUSE_SECONDS)
    return times


def _report_calls(name, times, report):
    for percent in (50, 99):
        report.add(f"call_p{percent}_{name}", "ms", "zsd", _percentile(times, percent) * 1e3)
    report.add(f"call_max_{name}", "ms", "zsd", max(times) * 1e3)


class Background(threading.Thread):
    """Runs a function, and raises in join() what that raised."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.function = function
        self.arguments = arguments
        self.result = None
        self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.function(*self.arguments)
        except Exception as error:  # it is raised again
            self.error = error

    def finish(self):
        self.join()
        if self.error:
            raise self.error
        return self.result


def _scrape(subject, until):
    """In a process of its own: threads of this one would wait for each other."""
    while not until():
        subject.zsctl("metrics")
        time.sleep(0.1)


def _calls(subject, load, seconds, seed, report, is_scraped):
    until = time.monotonic() + seconds
    _report_calls("idle", _call_times(subject.socket, lambda: time.monotonic() > until), report)
    for name in ("busy", "scraped") if is_scraped else ("busy",):
        worker = Background(load.measure, [subject.path], SATURATED, seconds, 0.1, seed)
        scraper = Background(_scrape, subject, lambda: not worker.is_alive()) if name == "scraped" else None
        times = _call_times(subject.socket, lambda: not worker.is_alive())
        result = worker.finish()
        if scraper:
            scraper.finish()
        _report_calls(name, times, report)
        report.add(f"rate_{name}", "IOPS", "zsd", result["ops_per_second"])


#
# hostile clients
#


def _control_seconds(subject):
    """Processor time of the first thread, which does nothing else once the daemon has started."""
    with open(f"/proc/{subject.pids[0]}/schedstat", "rb") as file:
        return int(file.read().split()[0]) / 1e9


def _hostile(subject, other, load, kind, seconds, report):
    targets = {"zsd": subject.socket, "other": other.socket, "none": None}
    before = _control_seconds(subject), _control_seconds(other)

    def run_load(*more):
        return load.measure([subject.path], UNQUEUED, seconds, 0.2, 1, *more)

    windows, axis = nuisances.measure(load.nuisance, targets, kind, run_load)
    after = _control_seconds(subject), _control_seconds(other)
    for name, distributions in windows.items():
        report.add(f"p99_{kind}", "us", name, nuisances.p99(distributions, axis) / 1e3)
    for name, begin, end in zip(("zsd", "other"), before, after):
        report.add(f"hostile_{kind}_cpu", "% core", name, (end - begin) / (seconds / len(targets)) * 100)
    for name in ("other", "none"):
        # Median, least and most of a row are the ratio and the ends of its interval.
        for value in nuisances.ratio_interval(windows["zsd"], windows[name], axis):
            report.add(f"hostile_{kind}", "ratio", f"zsd/{name}", value)


#
# start
#


def _start(build, scope, report):
    directory = scope.directory()
    config = os.path.join(directory, "zsd.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write("".join(f"[Device device{index}]\nSize=1G\n" for index in range(100)))
    runtime = os.path.join(directory, "run")
    log = os.path.join(directory, "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(os.path.join(directory, "notify"))
        notify.settimeout(20)
        command = ["env", f"NOTIFY_SOCKET={directory}/notify", os.path.join(build, "daemon", "zsd"), "--runtime-dir",
                   runtime, "--config", config]
        with Scope() as inner:
            before = time.monotonic()
            inner.spawn(command, log)
            while b"READY=1" not in notify.recv(4096).split(b"\n"):
                pass
            report.add("start_100", "ms", "zsd", (time.monotonic() - before) * 1e3)


#
# network
#


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_served(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _network(name, path, source, size_bytes, report):
    with Scope() as scope:
        port = _free_port()
        log = os.path.join(scope.directory(), "log")
        command = ["nbdkit", "--foreground", "--ipaddr", "127.0.0.1", "--port", str(port), "file", path]
        server = scope.spawn(command, log)
        wait_for(lambda: _is_served(port), "nbdkit", server, log)
        for direction, copy in (("write", (source, f"nbd://127.0.0.1:{port}")),
                                ("read", (f"nbd://127.0.0.1:{port}", "null:"))):
            before = time.monotonic()
            programs.run(["nbdcopy", "--requests", "16", *copy])
            report.add(f"network_{direction}", "GB/s", name, size_bytes / (time.monotonic() - before) / 1e9)


def _network_both(subject, path, source_path, size_bytes, rounds, report):
    with Scope() as scope:
        directory = scope.directory()
        programs.run(["mount", "-t", "tmpfs", "-o", f"size={3 * size_bytes}", "zsd-bench", directory])
        scope.callback(programs.run, ["umount", "--lazy", directory])
        source, file = os.path.join(directory, "source"), os.path.join(directory, "file")
        with open(source, "wb") as output:
            subprocess.run(["head", "--bytes", str(size_bytes), source_path], stdout=output, check=True)
        with open(file, "wb") as output:
            output.truncate(size_bytes)
        subject.zsctl("add", "network", "--size", f"{size_bytes}B")
        for _ in range(rounds):
            _network("zsd", os.path.join(os.path.dirname(path), "network"), source, size_bytes, report)
            _network("tmpfs", file, source, size_bytes, report)
        subject.zsctl("remove", "network")


#
# all of it
#


def _print(report, say):
    metrics = report.metrics()
    network = [metric for metric in metrics if metric.startswith("network_")]
    hostile = [metric for metric in metrics if metric.startswith("hostile_") and not metric.endswith("_cpu")]
    clients = [metric for metric in metrics if metric.startswith("p99_") or metric.endswith("_cpu")]
    others = [metric for metric in metrics if metric not in network + hostile + clients]
    if others:
        say("\nmedian [min-max]")
        say(report.table(others, ("zsd", "zsctl")))
    if network:
        say("\nover the network, median [min-max], and zsd divided by tmpfs")
        say(report.table(network, ("zsd", "tmpfs")))
        say(report.ratio_table(network, ("tmpfs",)))
    if hostile:
        say("\nwhile a client is hostile to the daemon, to another one, to nobody")
        say(report.table(clients, ("zsd", "other", "none"), spread=False))
        say("\nthe ratios of p99 [95 % interval]")
        say(report.table(hostile, ("zsd/other", "zsd/none")))


class Control:
    """What the parts have in common."""

    def __init__(self, options, report, say):
        self.options = options
        self.report = report
        self.say = say
        self.rounds = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
        self.seconds = SECONDS_QUICK if options.quick else SECONDS
        self.load = Load(os.path.join(options.build, "tests", "bench", "load"), corpus.usr(options.output, say),
                         256 << 20)
        self.load.nuisance = os.path.join(options.build, "tests", "bench", "nuisance")
        self.subject, self.other = Zsd(options.build), Zsd(options.build)

    def start(self, scope):
        # In one group of the scheduler, which shares the CPUs out by sessions first (sched(7), "autogroup").
        self.subject.start(scope)
        self.other.start(scope)
        self.load.fill(self.subject.path, self.subject.fill_depth, 256 << 20)


def _part_start(control):
    for _ in range(control.rounds):
        with Scope() as scope:
            _start(control.options.build, scope, control.report)


def _part_watch(control):
    samples = WATCH_SAMPLES_QUICK if control.options.quick else WATCH_SAMPLES
    subject, report = control.subject, control.report
    _watch(subject, "iostat_1", samples, report, "iostat")
    with Client(subject.socket) as client:
        _add_devices(client, MANY)
        _watch(subject, f"iostat_{1 + MANY}", samples, report, "iostat")
        _watch(subject, f"iostat_{1 + MANY}_active", samples, report, "iostat", "-z")
        _watch(subject, f"monitor_{1 + MANY}", samples, report, "monitor")
        _list(subject, control.rounds, report)
        _remove_devices(client, MANY)


def _part_calls(control):
    with Client(control.subject.socket) as client:
        _add_devices(client, MANY)
        for number in range(control.rounds):
            _calls(control.subject, control.load, control.seconds, number, control.report, True)
        _remove_devices(client, MANY)


def _part_hostile(control):
    seconds = HOSTILE_SECONDS_QUICK if control.options.quick else HOSTILE_SECONDS
    for kind in nuisances.KINDS:
        control.say(f"  {kind}")
        _hostile(control.subject, control.other, control.load, kind, seconds, control.report)


def _part_network(control):
    size = NETWORK_BYTES_QUICK if control.options.quick else NETWORK_BYTES
    _network_both(control.subject, control.subject.path, control.load.corpus, size, control.rounds, control.report)


PARTS = {"start": _part_start, "watch": _part_watch, "calls": _part_calls, "hostile": _part_hostile,
         "network": _part_network}


def run(options, report, say):
    unknown = set(options.subject or ()) - set(PARTS)
    if unknown:
        raise BenchError(f"control: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    control = Control(options, report, say)
    if not available([control.subject], say):
        return
    with Scope() as scope:
        control.start(scope)
        for name, part in PARTS.items():
            if not options.subject or name in options.subject:
                say(name)
                part(control)
    _print(report, say)
