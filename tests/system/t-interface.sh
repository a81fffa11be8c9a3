#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The interfaces' text is what is answered: each method's reply, and each error's fields, are of the types that it says,
# with nothing left out and nothing besides. And each method that changes something says in the log who has called it.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need python3

cat >zsd.conf <<END
[Pool]
Accounting=yes
MemoryLimit=64M
[Writeback]
Backing=$test_dir/backing
Size=64M
DailyLimit=1G
TotalLimit=1G
IdleAfter=never
[Device vm0]
Size=64M
Recompress=zstd:1
Group=guests
END
start_daemon --config "$test_dir/zsd.conf"
# Blocks that zstd finds something in, and lz4 not much.
python3 - "$mnt/vm0" <<'END'
import os, random, sys
rng = random.Random(1)
fd = os.open(sys.argv[1], os.O_RDWR)
for block in range(256):
    os.pwrite(fd, bytes(rng.choices(range(32), k=4096)), block * 4096)
os.close(fd)
END

cat >interface.py <<'END'
import json, os, re, socket, sys, time

class Text:
    """An interface as its text declares it."""
    def __init__(self, text):
        self.tokens = re.findall(r"->|\[string\]|\[\]|[A-Za-z][A-Za-z0-9_.]*|[():,?]", re.sub(r"#.*", "", text))
        self.types, self.methods, self.errors = {}, {}, {}
        self.take("interface")
        self.name = self.tokens.pop(0)
        while self.tokens:
            keyword, name = self.tokens.pop(0), self.tokens.pop(0)
            value = self.members()
            if keyword == "method":
                self.take("->")
                value = (value, self.members())
            {"type": self.types, "method": self.methods, "error": self.errors}[keyword][name] = value

    def take(self, token):
        found = self.tokens.pop(0)
        if found != token:
            sys.exit("the text has '%s' where '%s' belongs" % (found, token))

    def members(self):
        """(a: int, b: ?string) as a dictionary, (one, other) as a list."""
        self.take("(")
        fields, words = {}, []
        while self.tokens[0] != ")":
            name = self.tokens.pop(0)
            if self.tokens[0] == ":":
                self.take(":")
                fields[name] = self.type()
            else:
                words.append(name)
            if self.tokens[0] == ",":
                self.take(",")
        self.take(")")
        return words or fields

    def type(self):
        if self.tokens[0] == "(":
            return self.members()
        token = self.tokens.pop(0)
        return (token, self.type()) if token in ("?", "[]", "[string]") else token

    def check(self, where, value, kind):
        simple = {"bool": bool, "int": int, "float": float, "string": str, "object": object}
        if isinstance(kind, dict):
            self.check_members(where, value, kind)
        elif isinstance(kind, list):
            value in kind or sys.exit("%s is %r, not one of %s" % (where, value, kind))
        elif isinstance(kind, tuple):
            for part in {"?": lambda: [value], "[]": lambda: value, "[string]": lambda: value.values()}[kind[0]]():
                self.check(where, part, kind[1])
        elif kind in simple:
            # In JSON a float without a fraction may be an int.
            fits = type(value) in (int, float) if kind == "float" else type(value) is simple[kind] or kind == "object"
            fits or sys.exit("%s is %r, not %s" % (where, value, kind))
        else:
            self.check(where, value, self.types[kind])

    def check_members(self, where, value, fields):
        for name in value:
            name in fields or sys.exit("%s has %s, which the text has not" % (where, name))
        for name, kind in fields.items():
            if name in value:
                self.check(where + "." + name, value[name], kind)
            elif kind[0] != "?":
                sys.exit("%s has no %s" % (where, name))

class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.left = b""

    def receive(self):
        while b"\0" not in self.left:
            self.left += self.socket.recv(65536) or sys.exit("the daemon closes the connection")
        message, self.left = self.left.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, parameters, more=False):
        message = {"method": method, "parameters": parameters, "more": more}
        self.socket.sendall(json.dumps(message).encode() + b"\0")
        return self.receive()

def may_call(path, methods):
    """What everybody may, of what was asked for; by a process of its own, which is nobody's."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        denied = "org.varlink.service.PermissionDenied"
        allowed = [m for m in methods if Client(path).ask(m, {}, True).get("error") != denied]
        os.write(writer, json.dumps(allowed).encode())
        os._exit(0)
    os.close(writer)
    allowed = json.loads(os.fdopen(reader).read())
    os.wait()
    return allowed

path, log, config = sys.argv[1:4]
os.chmod(path, 0o666)
client = Client(path)
texts = {}
for name in client.ask("org.varlink.service.GetInfo", {})["parameters"]["interfaces"]:
    reply = client.ask("org.varlink.service.GetInterfaceDescription", {"interface": name})
    texts[name] = Text(reply["parameters"]["description"])
    texts[name].name == name or sys.exit("%s describes %s" % (name, texts[name].name))

def call(method, parameters=None, error=None, more=False, interface="io.zsd.control"):
    """Answers what the reply says, which is as its text says."""
    reply = client.ask(interface + "." + method, parameters or {}, more)
    while reply.get("continues"):
        texts[interface].check(method, reply["parameters"], texts[interface].methods[method][1])
        if reply["parameters"].get("event") == "ready":
            # It goes on for as long as the client stays.
            client.__init__(path)
            break
        reply = client.receive()
    got = reply.get("error")
    if got != (error and interface + "." + error):
        sys.exit("%s %s was answered %s" % (method, parameters, reply))
    declared = texts[interface].errors[error] if error else texts[interface].methods[method][1]
    texts[interface].check(error or method, reply["parameters"], declared)
    tried.add(error or interface + "." + method)
    return reply["parameters"]

def change(method, parameters=None):
    """The same, of a method that changes something: the log says that it was we."""
    before = os.path.getsize(log)
    reply = call(method, parameters)
    with open(log) as lines:
        lines.seek(before)
        said = lines.read()
    if not re.search(r"uid=0 pid=%d$" % os.getpid(), said, re.MULTILINE):
        sys.exit("%s: the log does not say who; it says '%s'" % (method, said))
    logged.add("io.zsd.control." + method)
    return reply

def configure(text):
    with open(config, "a") as file:
        file.write(text)

tried, logged = set(), set()
ours = {"name": "vm0"}
change("Add", {"name": "other", "size_bytes": 1 << 20, "group": "guests", "memory_limit_bytes": 1 << 20})
change("Set", {"values": {"Pool.MemoryLimit": "65M"}})
change("SetGroupLimit", {"name": "guests", "memory_limit_bytes": 64 << 20})
change("MarkIdle", ours)
# A hundredth of a CPU: long enough for the second one to be cancelled, which waits for the first.
slow = dict(ours, share_percent=1, recompress="zstd:19", again=True)
first, second = [change("Recompress", slow)["task"] for _ in range(2)]
change("CancelTask", {"task": second})
client.ask("io.zsd.control.CancelTask", {"task": first})
for method, parameters in (("Train", ours), ("Recompress", ours), ("Writeback", dict(ours, max_blocks=100))):
    task = change(method, parameters)["task"]
    while call("Tasks", {"task": task})["tasks"][0]["state"] in ("waiting", "running"):
        time.sleep(0.01)
change("SetDailyLimit", {"daily_limit_bytes": 1 << 30})
change("SetTotalLimit", {"total_limit_bytes": 1 << 30})
change("Compact")
for method in ("List", "Stats", "Status", "Usage", "Latencies", "Groups", "Owners", "Classes", "Caches", "Backing"):
    call(method)
call("List", more=True)
for method in ("Ages", "Dictionaries"):
    call(method, ours)
call("Monitor", more=True)
configure("[Device third]\nSize=1M\n")
change("Reload")
change("Reset", {"name": "other"})
call("Render", interface="io.zsd.metrics")
for method in ("List", "Describe"):
    call(method, more=True, interface="io.systemd.Metrics")
call("GetInfo", interface="org.varlink.service")
call("GetInterfaceDescription", {"interface": "io.zsd.control"}, interface="org.varlink.service")

busy = os.open(call("List", ours)["devices"][0]["file"], os.O_RDONLY)
call("Remove", ours, error="DeviceBusy")
os.close(busy)
for error, method, parameters in (
        ("NoSuchDevice", "Remove", {"name": "nobody"}),
        ("NoSuchGroup", "Groups", {"name": "nobody"}),
        ("NoSuchTask", "CancelTask", {"task": 1 << 40}),
        ("DeviceExists", "Add", {"name": "vm0", "size_bytes": 1 << 20}),
        ("DeviceTooLarge", "Add", {"name": "large", "size_bytes": 1 << 62}),
        ("InvalidValue", "Compact", {"budget_bytes": 1})):
    call(method, parameters, error=error)
configure("[Pool]\nMemoryLimit=1\n")
call("Reload", error="ConfigRefused")
change("Remove", {"name": "other"})

methods = {i + "." + method for i in texts for method in texts[i].methods}
if methods - tried:
    sys.exit("not tried: %s" % sorted(methods - tried))
changing = methods - set(may_call(path, sorted(methods)))
if changing != logged:
    sys.exit("of those that change something, or are logged, only one: %s" % sorted(changing ^ logged))
END
python3 interface.py "$ZSD_SOCKET" "$test_dir/run.log" "$test_dir/zsd.conf" || fail "see above"
stop_daemon
