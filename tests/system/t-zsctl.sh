#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# zsctl: its exit statuses and messages by table, its tables and its JSON.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# fails STATUS TEXT ARGUMENT...: this exit status, this text in the only line on stderr, nothing on stdout.
fails()
{
	local expected=$1 text=$2 status=0 output errors
	shift 2
	output=$("$ZSCTL" "$@" 2>"$test_dir/errors") || status=$?
	errors=$(cat "$test_dir/errors")
	[[ $status -eq $expected ]] || fail "zsctl $*: exit status $status, not $expected: $errors"
	[[ $errors == "zsctl: "*"$text"* ]] || fail "zsctl $* said '$errors'; expected: $text"
	[[ $(wc -l <"$test_dir/errors") -eq 1 ]] || fail "zsctl $* said more than one line: $errors"
	[[ -z $output ]] || fail "zsctl $* printed '$output'"
}

# json EXPRESSION ARGUMENT...: python's value of the expression, in which j is what zsctl printed.
json()
{
	local expression=$1
	shift
	"$ZSCTL" -J "$@" |
		python3 -c 'import json, sys; j = json.load(sys.stdin); print(eval(sys.argv[1]))' "$expression"
}

step "usage errors need no daemon"
export ZSD_SOCKET=$test_dir/nothing
fails 2 "no such command; did you mean list?" lst
fails 2 "no such command; did you mean remove?" rem x
fails 2 "no such command; 'zsctl --help' lists them" frobnicate
fails 2 "no such option; did you mean --size?" add x --siez 8G
fails 2 "no such option; 'zsctl --help' lists them" --frobnicate
fails 2 "-x: no such option" -x
fails 2 "the argument is missing" add x --size
fails 2 "takes no argument" list --raw=yes
fails 2 "the name is missing" add
fails 2 "the name is missing" remove
fails 2 "too many names" add a b --size 8G
fails 2 "too many names" stats a b
fails 2 "the size is missing" add x
fails 2 "did you mean 8G?" add x --size 8
fails 2 "not a size" add x --size big
fails 2 "not a size" add x --size -8G
fails 2 "too large" add x --size 8192P
fails 2 "no room" add x --size 0B
fails 2 "did you mean 16G?" add x --size 8G --block-size 16
fails 2 "no room" add x --size 8G --mem-limit 0K
fails 2 "--force: not an option of list" list --force
fails 2 "--size: not an option of remove" remove x --size 8G
fails 2 "--noheadings: not an option of add" add x --size 8G -n
fails 2 "no such column; did you mean SIZE?" list -o NAME,SIEZ
fails 2 "no such column" list -o ''
fails 2 "no such column" list -o NAME,,SIZE
fails 2 "no such column; did you mean READS?" stats -o REEDS
fails 2 "no such style; use pretty or short" list --json=loud
fails 2 "--force: not an option of list" list -f
fails 2 "not UTF-8" add $'\xff' --size 8G

step "help and version"
help=$("$ZSCTL" remove --help)
[[ $help == "Usage: zsctl remove "* && $help == *--force* && $help != *--mem-limit* ]] || fail "help of remove: $help"
help=$("$ZSCTL" --help)
equal "commands listed twice" "$(sed -n '/^Commands:/,/^$/p' <<<"$help" | awk '{ print $1 }' | sort | uniq -d)" ""
for word in list add remove stats --size --algorithm --block-size --mem-limit --cache --mode --force --socket --json \
	--bytes --noheadings --output --output-all --raw --help --version NAME RATIO INCOMPRESSIBLE BLOCK-SIZE WRITTEN \
	classes caches --all ROOM FULL-100 MAGAZINES READ-P50 DISCARD-MAX; do
	[[ $help == *"$word"* ]] || fail "--help does not tell of $word"
done
[[ $("$ZSCTL" --version) =~ ^zsctl\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "--version says '$("$ZSCTL" --version)'"

step "no daemon"
fails 3 "there is no such socket; start the daemon" list
fails 3 "there is no such socket" --socket "$test_dir/none" add x --size 8G
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$test_dir/stale"
fails 3 "nobody listens; start the daemon" --socket "$test_dir/stale"
fails 3 "too long" --socket "/$(printf 'x%.0s' {1..200})" remove x

start_daemon

step "an empty list is a list"
equal "the table" "$("$ZSCTL" list)" ""
equal "the JSON" "$(json 'j' list)" "{'devices': []}"

step "JSON on one line, or as people like it"
equal "short" "$("$ZSCTL" --json=short list)" '{"devices":[]}'
equal "pretty" "$("$ZSCTL" --json=pretty list)" "$("$ZSCTL" -J list)"
equal "the other letter" "$("$ZSCTL" -j list)" "$("$ZSCTL" list -J)"
equal "without a pager" "$("$ZSCTL" --no-pager list -q)" "$("$ZSCTL" list)"

step "devices"
equal "the path" "$("$ZSCTL" add vm0 --size 64M)" "$mnt/vm0"
equal "the path in JSON" "$(json 'j["file"]' add vm1 --size 1.5G -a zstd:9 -B 16K -l 1G -m 0640)" "$mnt/vm1"
equal "the second device" "$(json '[(d["name"], d["algorithm"], d["size_bytes"], d["block_size_bytes"],
	d["memory_limit_bytes"], d["mode"], d["state"], "ratio" in d) for d in j["devices"]]' list vm1)" \
	"[('vm1', 'zstd:9', 1610612736, 16384, 1073741824, '0640', 'active', False)]"
fails 1 "there is a device with this name already" add vm0 --size 8G
fails 1 "use 1 to 64 bytes" add a/b --size 8G
fails 1 "use 1 to 64 bytes" add '' --size 8G
fails 1 "the next one is 8192" add x --size 5000B
fails 1 "no such algorithm" add x --size 8G -a lzo
fails 1 "not a block size" add x --size 8G -B 5K
fails 32 "no device with this name; 'zsctl list' shows those there are" list nothing
fails 32 "no device with this name" stats nothing
fails 32 "no device with this name" remove nothing
errors=$("$ZSCTL" add $'a\e[31m\x9b' --size 8G 2>&1 || true)
[[ $errors != *$'\e'* ]] || fail "a control character reaches the terminal"

step "numbers that can be checked"
head -c 8M /dev/zero | tr '\0' 'x' >"$test_dir/data"
head -c 8M /dev/urandom >>"$test_dir/data"
{ find /usr/include -name '*.h' -exec cat {} + 2>/dev/null || true; } | head -c 16M >>"$test_dir/data"
dd if="$test_dir/data" of="$mnt/vm0" bs=1M conv=notrunc oflag=direct status=none
eventually "closing it" stat_is vm0 open_count 0
json 'j["devices"][0]' list vm0 >"$test_dir/list"
python3 - "$test_dir/list" <<'END'
import ast, sys
d = ast.literal_eval(open(sys.argv[1]).read())
def claim(text):
    if not eval(text, {}, d):
        sys.exit("not true: " + text + " of " + str(d))
claim("8 << 20 <= same_bytes < 9 << 20")
claim("8 << 20 <= incompressible_bytes < 9 << 20")
claim("same_bytes + incompressible_bytes <= data_bytes <= 32 << 20")
claim("incompressible_bytes < stored_bytes < data_bytes")
claim("stored_bytes < memory_bytes < data_bytes")
claim("abs(ratio - data_bytes / memory_bytes) < 0.001")
claim("open_count == 0 and errors == 0 and uid >= 0 and gid >= 0")
claim("created_usec > 1700000000 * 1000000")
claim("file.endswith('/vm0')")
END
equal "written bytes" "$(json 'j["devices"][0]["written_bytes"]' stats vm0)" "$(stat -c %s "$test_dir/data")"
parts='["zspage_bytes", "slot_table_bytes", "dictionary_bytes", "handle_bytes"]'
[[ $(json "j['pool']['used_bytes'] == sum(j['pool'][k] for k in $parts)" stats) == True ]] ||
	fail "the parts of used_bytes do not sum up: $("$ZSCTL" stats -b)"
[[ $(json 'sorted(k for k, v in j["pool"].items() if type(v) not in (int, float))' stats) == \
	"['compaction', 'pool_mode']" ]] || fail "not all others are numbers"

step "latencies"
equal "those of an idle device" "$(json 'sorted(k for k in j["devices"][0] if k.endswith("_ns"))' stats vm1)" "[]"
equal "the same as table" "$("$ZSCTL" stats -no READ-P50,WRITE-P99 vm1 | awk '{ print $1, $2, NF }')" "- - 2"
dd if="$mnt/vm0" of=/dev/null bs=4k count=100 iflag=direct status=none
fallocate -p -o 0 -l 4096 "$mnt/vm0"
fallocate -p -o 0 -l 4096 "$mnt/vm0"
equal "the longest is seen" "$(json '[0 < d[o + "_p50_ns"] <= d[o + "_p99_ns"] <= d[o + "_max_ns"] < 30e9
	for d in j["devices"] for o in ("read", "write", "discard")]' stats vm0)" "[True, True, True]"
# A write of 1 MiB takes longer than a read of 4 KiB in 99 cases of 100.
[[ $(json 'j["devices"][0]["write_p50_ns"] > j["devices"][0]["read_p50_ns"]' stats vm0) == True ]] ||
	fail "latencies of vm0: $("$ZSCTL" stats vm0)"
[[ $("$ZSCTL" stats -rn -o READ-P50,WRITE-P99,DISCARD-MAX vm0) =~ ^([0-9.]+(ns|us|ms|s)\ ?){3}$ ]] ||
	fail "as text: $("$ZSCTL" stats -rn -o READ-P50,WRITE-P99,DISCARD-MAX vm0)"
equal "in nanoseconds" "$("$ZSCTL" stats -brn -o WRITE-MAX vm0)" "$(stat_of vm0 write_max_ns)"
equal "the view of one device" "$("$ZSCTL" stats vm0 | tail -n 4 | awk '{ print $1, $2, NF }')" \
	"OPERATION COUNT 5
read 100 5
write 32 5
discard 2 5"
equal "the view of an idle one" "$("$ZSCTL" stats vm1 | tail -n 1 | tr -s ' ')" "discard 0 - - -"
[[ $("$ZSCTL" stats) != *OPERATION* ]] || fail "the view of all devices has that of one"

step "the table and its options"
[[ $("$ZSCTL" | head -n 1) =~ ^NAME\ +STATE\ +ALGORITHM\ +SIZE\ +DATA\ +COMPR\ +TOTAL\ +RATIO\ +FILE ]] ||
	fail "the headings are: $("$ZSCTL" | head -n 1)"
equal "raw names" "$("$ZSCTL" list -rno NAME)" $'vm0\nvm1'
equal "sizes" "$("$ZSCTL" list -rno SIZE)" $'64M\n1.5G'
equal "sizes in bytes" "$("$ZSCTL" list -brno size)" $'67108864\n1610612736'
equal "columns in the order asked for" "$("$ZSCTL" list -rn -o block_size,NAME vm1 vm0)" $'16K vm1\n4K vm0'
equal "one column more" "$("$ZSCTL" -n -o +OPEN vm1 2>&1 | wc -l)" 1
[[ $("$ZSCTL" list -o +OPEN | head -n 1) == *FILE*OPEN ]] || fail "-o + does not add a column"
[[ $("$ZSCTL" list --output-all | head -n 1) == *CREATED* ]] || fail "--output-all leaves columns out"
equal "an absent value" "$("$ZSCTL" list -no NAME,LIMIT,RATIO vm1 | tr -s ' ')" "vm1 1G -"
equal "selected fields" "$(json 'j' list -o NAME,SIZE vm1)" "{'devices': [{'name': 'vm1', 'size_bytes': 1610612736}]}"
[[ $("$ZSCTL" stats) == *used_bytes*NAME*READS*vm0* ]] || fail "stats prints: $("$ZSCTL" stats)"
equal "a column of stats" "$("$ZSCTL" stats -rno WRITTEN vm0)" 32M
equal "options behind and before" "$("$ZSCTL" vm0 2>&1 || true)" \
	"zsctl: vm0: no such command; 'zsctl --help' lists them"

step "those that exist are listed, and the others told of"
status=0
"$ZSCTL" list -rno NAME vm1 nothing vm0 >"$test_dir/out" 2>"$test_dir/errors" || status=$?
equal "exit status" $status 64
equal "names" "$(cat "$test_dir/out")" $'vm1\nvm0'
grep -q '^zsctl: nothing: ' "$test_dir/errors" || fail "no word of the missing one"
[[ $("$ZSCTL" list >/dev/full 2>&1 || echo failed) == failed ]] || fail "a full disk is no error"

# status_of ARGUMENT...: how zsctl ends, whatever it says.
status_of()
{
	local status=0
	"$ZSCTL" "$@" >/dev/null 2>&1 || status=$?
	echo "$status"
}
equal "exit status of none" "$(status_of list nothing neither)" 32
equal "exit status of all" "$(status_of list vm1 vm0)" 0
add short 1M
equal "exit status of a removal of some" "$(status_of remove nothing short)" 64
[[ ! -e $mnt/short ]] || fail "short is still there"

step "a device that is open is removed by force only"
exec {held}<"$mnt/vm0"
equal "a failure is more than a name that is missing" "$(status_of remove nothing vm0 neither)" 1
fails 1 "its file is open 1 time; close it" remove vm0
fails 1 "(--force)" remove vm0
"$ZSCTL" remove vm0 vm1 --force || fail "remove --force failed"
exec {held}<&-
equal "what is left" "$("$ZSCTL" list -rno NAME)" ""

step "a device that is just being closed is waited for"
"$ZSCTL" add vm0 --size 8M >/dev/null
# On a busy machine closing it may take longer than that.
for ((try = 1; ; try++)); do
	exec {held}<"$mnt/vm0"
	(exec {held}<&- && exec "$ZSCTL" remove vm0) 2>"$test_dir/refused" &
	sleep 0.05
	exec {held}<&-
	wait $! && break
	[[ $try -lt 20 ]] || fail "it was never waited for"
done
equal "what is left" "$("$ZSCTL" list -rno NAME)" ""
"$ZSCTL" add a --size 8M >/dev/null
"$ZSCTL" add b --size 8M >/dev/null
fails 64 "nothing: there is no device" remove a nothing b
equal "what is left" "$("$ZSCTL" list -rno NAME)" ""

step "a thousand devices"
python3 - "$ZSD_SOCKET" <<'END'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
stream = s.makefile("rb")
def receive():
    message = b""
    while not message.endswith(b"\0"):
        message += stream.read(1) or sys.exit("closed")
    return json.loads(message[:-1])
for i in range(1000):
    s.sendall(json.dumps({"method": "io.zsd.control.Add",
                          "parameters": {"name": "d%d" % i, "size_bytes": 1 << 30}}).encode() + b"\0")
    reply = receive()
    if "error" in reply:
        sys.exit(str(reply))
END
equal "number of devices" "$(json 'len(j["devices"])' list)" 1000
equal "lines of the table" "$("$ZSCTL" list -n | wc -l)" 1000

step "quiet, but for errors"
equal "what is said" "$("$ZSCTL" add -q quiet --size 1M 2>&1 && "$ZSCTL" idle -q quiet 2>&1 &&
	"$ZSCTL" compact --quiet 2>&1 && "$ZSCTL" recompress -q quiet --recompress zstd 2>&1)" ""
fails 1 "another size_bytes" add -q quiet --size 2M
"$ZSCTL" remove -q quiet
stop_daemon
