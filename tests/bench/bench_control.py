# SPDX-License-Identifier: LGPL-2.1-or-later
"""control: what looking at the daemon costs, and whether it answers while it works and while it is attacked.

list_1000         zsctl list of 1,000 devices, from its start to its end
iostat_N          zsctl iostat 1 with N devices: its processor time and the daemon's, in percent of a core; most of
                  it is for printing N lines each second, which iostat_N_active (iostat -z) leaves out
call_p99_X        a call on a connection that is open, answered: idle, with the data path saturated (busy), and with
                  that and a client who asks for the metrics of 1,000 devices all the time (scraped);
                  the client has a CPU whenever it wants one
p99_X             the data path's p99 while it is saturated and a hostile client is at work: on its daemon (zsd), on
                  another one that has nothing else to do (other), on none. What the hostile client takes itself it
                  takes in both cases; zsd / other is what it gains by the daemon. Many short rounds, and the median
                  of their ratios: a single p99 varies by a fifth
start_100         from starting the daemon to READY=1, with 100 configured devices
network_X         nbdcopy over loopback TCP to and from nbdkit, which serves a device (zsd) or a file on tmpfs
"""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time

import corpus
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
# Of each attack, for each of the other rounds.
ATTACK_ROUNDS = 4
ATTACK_SECONDS = 0.5
IOSTAT_SAMPLES = 10
IOSTAT_SAMPLES_QUICK = 3
CALL_PAUSE_SECONDS = 0.003
NETWORK_BYTES = 1 << 30
NETWORK_BYTES_QUICK = 128 << 20
# One processor's time is not enough for it, nor are two.
SATURATED = Workload("saturated", "mixed", 4096, 32, 4, "IOPS")
ATTACKS = ("half-a-message", "slow-reader", "connections", "gibibyte")
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


def _iostat(subject, metric, samples, report, *flags):
    pid = subject.pids[0]
    before = _task_seconds(pid), resource.getrusage(resource.RUSAGE_CHILDREN)
    subject.zsctl("iostat", *flags, "1", str(samples))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = _task_seconds(pid) - before[0] + sum(after[:2]) - sum(before[1][:2])
    report.add(metric, "% core", "zsd", used / samples * 100)


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


class Attack:
    """Runs a mode of the hostile client on a daemon, again when it has ended."""

    def __init__(self, program, path, mode):
        self.command = [program, path, mode]
        self.stopped = False
        self.process = None
        self.thread = Background(self._run)

    def _run(self):
        while not self.stopped:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL)
            self.process.wait()

    def stop(self):
        self.stopped = True
        while self.thread.is_alive():
            if self.process and self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
            time.sleep(0.01)
        self.thread.finish()


def _under_attack(attack, targets, path, load, seconds, seed, report):
    names = list(targets)
    for name in names[seed % len(names):] + names[:seed % len(names)]:
        attacker = Attack(load.hostile, targets[name], attack) if targets[name] else None
        try:
            result = load.measure([path], SATURATED, seconds, 0.1, seed)
        finally:
            if attacker:
                attacker.stop()
        report.add(f"p99_{attack}", "us", name, result["latency_p99_ns"] / 1e3)
        report.add(f"rate_{attack}", "IOPS", name, result["ops_per_second"])


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
    attacks = [metric for metric in report.metrics() if metric.startswith(("p99_", "rate_")) and
               metric.split("_", 1)[1] in ATTACKS]
    network = [metric for metric in report.metrics() if metric.startswith("network_")]
    others = [metric for metric in report.metrics() if metric not in attacks and metric not in network]
    say("\nmedian [min-max]")
    say(report.table(others, ("zsd",)))
    say("\nover the network, median [min-max], and zsd divided by tmpfs")
    say(report.table(network, ("zsd", "tmpfs")))
    say(report.ratio_table(network, ("tmpfs",)))
    say("\nwhile a client is hostile to the daemon, to another one, to nobody; median, and zsd divided by each, median "
        "and quartiles of the rounds")
    say(report.table(attacks, ("zsd", "other", "none"), spread=False))
    say(report.paired_table(attacks, ("other", "none")))


def _run_all(options, subject, other, load, report, say):
    rounds = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    seconds = SECONDS_QUICK if options.quick else SECONDS
    targets = {"zsd": subject.socket, "other": other.socket, "none": None}
    load.fill(subject.path, subject.fill_depth, 256 << 20)
    with Client(subject.socket) as client:
        say("start, iostat")
        for _ in range(rounds):
            with Scope() as scope:
                _start(options.build, scope, report)
        samples = IOSTAT_SAMPLES_QUICK if options.quick else IOSTAT_SAMPLES
        _iostat(subject, "iostat_1", samples, report)
        _add_devices(client, MANY)
        _iostat(subject, f"iostat_{1 + MANY}", samples, report)
        _iostat(subject, f"iostat_{1 + MANY}_active", samples, report, "-z")
        say("list, calls")
        _list(subject, rounds, report)
        for number in range(rounds):
            _calls(subject, load, seconds, number, report, True)
        _remove_devices(client, MANY)
    for number in range(ATTACK_ROUNDS * rounds):
        say(f"hostile clients: round {number + 1} of {ATTACK_ROUNDS * rounds}")
        for attack in ATTACKS:
            _under_attack(attack, targets, subject.path, load, ATTACK_SECONDS, number, report)
    say("network")
    _network_both(subject, subject.path, load.corpus, NETWORK_BYTES_QUICK if options.quick else NETWORK_BYTES,
                  rounds, report)


def run(options, report, say):
    subject, other = Zsd(options.build), Zsd(options.build)
    if not available([subject], say):
        return
    load = Load(os.path.join(options.build, "tests", "bench", "load"), corpus.usr(options.output, say), 256 << 20)
    load.hostile = os.path.join(options.build, "tests", "system", "hostile")
    with Scope() as scope:
        subject.start(scope)
        other.start(scope)
        _run_all(options, subject, other, load, report, say)
    _print(report, say)
