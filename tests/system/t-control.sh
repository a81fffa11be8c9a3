#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The control socket: every answer of its interfaces, who may do what, and clients that nobody wants. Data and other
# clients are served meanwhile.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/freeze.sh"
need_root

hostile=$BUILD/tests/system/hostile
service=org.varlink.service
control=io.zsd.control

# says EXPECTED MESSAGE: one raw message, one reply that contains this.
says()
{
	local reply
	reply=$("$hostile" "$ZSD_SOCKET" call "$2") || fail "'$2' was not answered"
	[[ $reply == *"$1"* ]] || fail "'$2' was answered '$reply'; expected: $1"
}

# answers EXPECTED METHOD [PARAMETERS]
answers()
{
	says "$1" "{\"method\":\"$2\",\"parameters\":${3:-null}}"
}

# invalid PARAMETER METHOD PARAMETERS: of a wrong type, unknown or missing.
invalid()
{
	answers "{\"error\":\"$service.InvalidParameter\",\"parameters\":{\"parameter\":\"$1\"}}" "$control.$2" "$3"
}

# bad_value PARAMETER WORDS METHOD PARAMETERS: of the right type, and impossible.
bad_value()
{
	answers "{\"error\":\"$control.InvalidValue\",\"parameters\":{\"parameter\":\"$1\",\"message\":\"" \
		"$control.$3" "$4"
	answers "$2" "$control.$3" "$4"
}

# cut_off MESSAGE: no call at all.
cut_off()
{
	refused closed "$hostile" "$ZSD_SOCKET" call "$1"
}

# As many as there is room for.
has_connections()
{
	[[ $(find "/proc/$daemon/fd" -lname 'socket:*' | wc -l) -ge 64 ]]
}

# as UID GROUPS COMMAND...: with these groups, the first one being primary.
as()
{
	local user=$1 groups=$2
	shift 2
	setpriv --reuid="$user" --regid="${groups%%,*}" --groups="$groups" "$@"
}

start_daemon

step "what every Varlink service answers"
answers "\"interfaces\":[\"$service\",\"$control\",\"io.zsd.metrics\",\"io.systemd.Metrics\"]" $service.GetInfo
answers '"vendor":"zsd"' $service.GetInfo '{}'
says '"version":"' "{\"method\":\"$service.GetInfo\"}"
for interface in $service $control; do
	answers "interface $interface\\n" $service.GetInterfaceDescription "{\"interface\":\"$interface\"}"
done
answers "{\"error\":\"$service.InterfaceNotFound\",\"parameters\":{\"interface\":\"no.such\"}}" \
	$service.GetInterfaceDescription '{"interface":"no.such"}'
answers "$service.InvalidParameter\",\"parameters\":{\"parameter\":\"interface\"}" $service.GetInterfaceDescription
answers "$service.MethodNotFound\",\"parameters\":{\"method\":\"$control.Nothing\"}" $control.Nothing
answers "$service.MethodNotFound\",\"parameters\":{\"method\":\"$control.\"}" $control.
answers "$service.InterfaceNotFound\",\"parameters\":{\"interface\":\"no.such\"}" no.such.Method
answers "$service.InterfaceNotFound\",\"parameters\":{\"interface\":\"nothing\"}" nothing
answers "$service.InterfaceNotFound\",\"parameters\":{\"interface\":\"\"}" ''
says "$service.MethodNotImplemented\",\"parameters\":{\"method\":\"$control.List\"}" \
	"{\"method\":\"$control.List\",\"upgrade\":true}"

step "every method, field and error is described"
description=$("$hostile" "$ZSD_SOCKET" call \
	"{\"method\":\"$service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"$control\"}}")
printf '%s' "$description" | python3 -c '
import json, re, sys
text = json.load(sys.stdin)["parameters"]["description"]
before = ""
for line in text.splitlines():
    if re.match(r"(interface|type|method|error)\b", line) and not before.startswith("#"):
        sys.exit("no comment above: " + line)
    before = line
for word in ["method Add", "method Remove", "method List", "method Stats", "method Classes",
	"method Caches", "type Device ", "type Pool ", "type Class ", "type Cache "]:
    if word not in text:
        sys.exit("not described: " + word)
' || fail "the description is incomplete"

step "cold data: what is unknown or impossible is refused by name, not ignored"
add cold 1M
invalid algorithm Recompress '{"name":"cold","algorithm":"zstd"}'
invalid page_index Writeback '{"name":"cold","page_index":1}'
invalid idle MarkIdle '{"name":"cold","idle":true}'
bad_value types 'no such type' Recompress '{"name":"cold","recompress":"zstd","types":"idle warm"}'
bad_value type 'no such type' Writeback '{"name":"cold","type":"idle huge"}'
bad_value last_block 'ends with 255; stay between' MarkIdle '{"name":"cold","last_block":256}'
bad_value last_block 'first_block is 9' MarkIdle '{"name":"cold","first_block":9,"last_block":8}'
bad_value last_block 'stay between' Recompress '{"name":"cold","recompress":"zstd","first_block":256}'
bad_value threshold_bytes 'no object takes that much' \
	Recompress '{"name":"cold","recompress":"zstd","threshold_bytes":5000}'
bad_value age_sec 'less than nothing' Writeback '{"name":"cold","age_sec":-1}'
equal "tasks that were started all the same" "$("$ZSCTL" tasks -n -r | wc -l)" 0
"$ZSCTL" remove cold

step "parameters of a wrong type, unknown or missing"
invalid name Add '{}'
invalid name Add '{"size_bytes":4096}'
invalid name Add '{"name":null,"size_bytes":4096}'
invalid size_bytes Add '{"name":"a"}'
invalid size_bytes Add '{"name":"a","size_bytes":"4096"}'
invalid size_bytes Add '{"name":"a","size_bytes":4096.0}'
invalid size_bytes Add '{"name":"a","size_bytes":true}'
invalid name Add '{"name":1,"size_bytes":4096}'
invalid mode Add '{"name":"a","size_bytes":4096,"mode":384}'
invalid colour Add '{"name":"a","size_bytes":4096,"colour":"red"}'
invalid colour Add '{"name":"a","size_bytes":4096,"colour":null}'
invalid name Remove '{}'
invalid force Remove '{"name":"a","force":1}'
invalid name List '{"name":1}'
invalid x List '{"x":1}'
invalid name Stats '{"name":[]}'
invalid changed_since Stats '{"changed_since":"0"}'
invalid changed_since Latencies '{"changed_since":0.5}'
invalid changed_since List '{"changed_since":0}'
invalid name SetGroupLimit '{"memory_limit_bytes":0}'
invalid memory_limit_bytes SetGroupLimit '{"name":"a"}'
invalid node Owners '{"node":"0"}'
invalid all Classes '{"all":1}'
invalid all Caches '{"all":true}'

step "values that can't be"
bad_value name "use 1 to 64 bytes" Add '{"name":"","size_bytes":4096}'
bad_value name "use 1 to 64 bytes" Add "{\"name\":\"$(printf 'x%.0s' {1..65})\",\"size_bytes\":4096}"
for name in a/b . .. a.b / 'a\n' 'a\u007f' 'a\u0085'; do
	bad_value name "without '/', '.' and control characters" Add "{\"name\":\"$name\",\"size_bytes\":4096}"
done
bad_value size_bytes "less than nothing" Add '{"name":"a","size_bytes":-1}'
bad_value size_bytes "at least one block; use 4096 bytes or more" Add '{"name":"a","size_bytes":0}'
bad_value size_bytes "the next one is 8192" Add '{"name":"a","size_bytes":4097}'
bad_value size_bytes "16384 bytes; the next one is 16384" Add '{"name":"a","size_bytes":4096,"block_size_bytes":16384}'
for block_size in 0 1 4095 5000 131072 4294971392; do
	bad_value block_size_bytes "'$block_size': not a block size" Add \
		"{\"name\":\"a\",\"size_bytes\":1048576,\"block_size_bytes\":$block_size}"
done
bad_value block_size_bytes "less than nothing" Add '{"name":"a","size_bytes":4096,"block_size_bytes":-4096}'
bad_value memory_limit_bytes "less than nothing" Add '{"name":"a","size_bytes":4096,"memory_limit_bytes":-1}'
bad_value algorithm "no such algorithm; use lz4" Add '{"name":"a","size_bytes":4096,"algorithm":"lzo"}'
bad_value algorithm "no number" Add '{"name":"a","size_bytes":4096,"algorithm":"lz4:fast"}'
bad_value algorithm "out of range; use zstd:" Add '{"name":"a","size_bytes":4096,"algorithm":"zstd:99"}'
bad_value group "'a/b': not a group name; use 1 to 64 bytes" Add '{"name":"a","size_bytes":4096,"group":"a/b"}'
bad_value mode "octal" Add '{"name":"a","size_bytes":4096,"mode":"rw"}'
answers "$control.DeviceTooLarge\",\"parameters\":{\"size_bytes\":9223372036854771712,\"limit_bytes\":" $control.Add \
	'{"name":"a","size_bytes":9223372036854771712}'
answers '{"parameters":{"devices":[]}}' $control.List

step "devices come and go"
answers "{\"parameters\":{\"file\":\"$mnt/a\",\"created\":true}}" $control.Add \
	'{"name":"a","size_bytes":1048576,"mode":"0640"}'
equal "mode" "$(stat -c %a "$mnt/a")" 640
answers "{\"parameters\":{\"file\":\"$mnt/a\",\"created\":false}}" $control.Add \
	'{"name":"a","size_bytes":1048576,"mode":"0640","algorithm":"lz4:1","block_size_bytes":4096,"cache":"none"}'
# differs FIELD PARAMETERS: what of the device that there is isn't as asked for.
differs()
{
	answers "$control.DeviceExists\",\"parameters\":{\"name\":\"a\",\"differs\":\"$1\",\"message\":\"a: there is" \
		$control.Add "{\"name\":\"a\",$2}"
}
same='"size_bytes":1048576,"mode":"0640"'
differs size_bytes '"size_bytes":4096,"mode":"0640"'
differs block_size_bytes "$same,\"block_size_bytes\":8192"
differs algorithm "$same,\"algorithm\":\"lz4:2\""
differs recompress "$same,\"recompress\":\"zstd:3\""
differs memory_limit_bytes "$same,\"memory_limit_bytes\":1048576"
differs group "$same,\"group\":\"g\""
differs cache "$same,\"cache\":\"kernel\""
differs read_only "$same,\"read_only\":true"
differs mode '"size_bytes":1048576'
answers '{"parameters":{"groups":[]}}' $control.Groups
answers '"size_bytes":1048576' $control.List '{"name":"a"}'
answers "$control.NoSuchDevice\",\"parameters\":{\"name\":\"b\"" $control.List '{"name":"b"}'
answers "$control.NoSuchDevice\",\"parameters\":{\"name\":\"b\"" $control.Stats '{"name":"b"}'
answers "$control.NoSuchDevice\",\"parameters\":{\"name\":\"b\"" $control.Remove '{"name":"b"}'
exec {held}<"$mnt/a"
answers '"open_count":1' $control.List '{"name":"a"}'
answers "$control.DeviceBusy\",\"parameters\":{\"name\":\"a\",\"open_count\":1,\"message\":\"" \
	$control.Remove '{"name":"a"}'
exec {held}<&-
eventually "closing it" stat_is a open_count 0
answers '{"parameters":{}}' $control.Remove '{"name":"a","force":false}'
[[ ! -e $mnt/a ]] || fail "the file is left"

step "who adds a device in place of one that is being removed frees what that holds, if nobody else does"
too_large="{\"name\":\"a\",\"size_bytes\":$((1 << 62))}"
largest=$("$hostile" "$ZSD_SOCKET" call "{\"method\":\"$control.Add\",\"parameters\":$too_large}" |
	grep -o '"limit_bytes":[0-9]*')
largest="{\"name\":\"a\",\"size_bytes\":${largest#*:}}"
answers '"created":true' $control.Add "$largest"
dd if=/dev/urandom of="$mnt/a" bs=1M count=16 conv=notrunc status=none
eventually "closing it" stat_is a open_count 0
# Who frees what is removed.
freeze_thread zsd-maintain
answers '{"parameters":{}}' $control.Remove '{"name":"a"}'
equal "devices of which something is left" "$(pool_stat deferred_devices)" 1
answers '"created":true' $control.Add "$largest"
equal "objects of the one before" "$(pool_stat objects_active)" 0
end_process "${started[-1]}"
answers '{"parameters":{}}' $control.Remove '{"name":"a"}'

step "one reply per device with 'more', all in one without"
for name in a b c; do
	answers file $control.Add "{\"name\":\"$name\",\"size_bytes\":4096}"
done
replies=$("$hostile" "$ZSD_SOCKET" call "{\"method\":\"$control.List\",\"more\":true}")
equal "number of replies" "$(wc -l <<<"$replies")" 3
equal "replies that continue" "$(grep -c '"continues":true}$' <<<"$replies")" 2
answers '"name":"c"' $control.List
answers '"devices":3' $control.Stats

step "with 'changed_since', what has changed"
# tell: what Stats tells since the generation; the next one.
generation=0
tell()
{
	told=$("$hostile" "$ZSD_SOCKET" call \
		"{\"method\":\"$control.Stats\",\"parameters\":{\"changed_since\":$generation}}")
	[[ $told =~ \"generation\":([0-9]+) ]] || fail "Stats answered $told"
	generation=${BASH_REMATCH[1]}
}

tells_nothing()
{
	tell
	[[ $told == *'"devices":[]'* ]]
}

# names: of the devices that were told of.
names()
{
	grep -o '"name":"[^"]*"' <<<"$told" | cut -d '"' -f 4
}

# A device that is in use just now, be it by the daemon, is told of once more.
eventually "nothing new" tells_nothing
answers '"devices":[]' $control.Stats "{\"changed_since\":$generation,\"name\":\"b\"}"
answers '"devices":[]' $control.Latencies "{\"changed_since\":$generation}"
head -c 4096 /dev/urandom | dd of="$mnt/b" bs=4096 oflag=direct conv=notrunc status=none
answers '"devices":[{"name":"b"' $control.Stats "{\"changed_since\":$generation}"
answers '"devices":[{"name":"b","read":[],"write":[{' $control.Latencies "{\"changed_since\":$generation}"
answers '"devices":[{"name":"a"' $control.Stats '{"changed_since":-1}'
answers '"devices":[{"name":"a"' $control.Stats '{"changed_since":9007199254740992}'
eventually "closing it" stat_is b open_count 0
for name in a b c; do
	answers '{}' $control.Remove "{\"name\":\"$name\"}"
done

step "with 'changed_since', of more devices than one step of a call looks at"
for ((i = 0; i < 60; i++)); do
	answers '"created":true' $control.Add "{\"name\":\"d$i\",\"size_bytes\":4096}"
done
generation=0
tell
equal "devices at first" "$(names | wc -l)" 60
eventually "nothing new" tells_nothing
for name in d0 d59; do
	head -c 4096 /dev/urandom | dd of="$mnt/$name" bs=4096 oflag=direct conv=notrunc status=none
done
tell
equal "devices that were written to" "$(names | sort | xargs)" "d0 d59"
eventually "nothing new" tells_nothing
for name in d0 d59; do
	eventually "closing it" stat_is $name open_count 0
done
for ((i = 0; i < 60; i++)); do
	answers '{}' $control.Remove "{\"name\":\"d$i\"}"
done

step "messages that are no calls"
for message in '' x '{' '[]' '{}' '"x"' '{"method":1}' '{"method":"a.B","method":"a.B"}' '{"method":"a.B","extra":1}' \
	'{"method":"a.B","parameters":[]}' "{\"method\":\"a.B\",\"parameters\":$(printf '[%.0s' {1..1000})" \
	$'{"method":"\xff"}'; do
	cut_off "$message"
done
check "calls in a row" "$hostile" "$ZSD_SOCKET" pipelined
check "a call byte by byte" "$hostile" "$ZSD_SOCKET" slow-call
check "a call behind one that came byte by byte" "$hostile" "$ZSD_SOCKET" slow-calls
check "a client that ends its side" "$hostile" "$ZSD_SOCKET" half-closed
check "the longest message" "$hostile" "$ZSD_SOCKET" longest-message
check "a longer message" "$hostile" "$ZSD_SOCKET" too-long-message
check "a call without a reply" "$hostile" "$ZSD_SOCKET" oneway \
	"{\"method\":\"$control.Add\",\"parameters\":{\"name\":\"oneway\",\"size_bytes\":4096},\"oneway\":true}"
eventually "a call without a reply" test -e "$mnt/oneway"
answers '"name":"oneway"' $control.List '{"name":"oneway"}'

step "hostile clients are cut off, while data and other clients are served"
memory_before=$(memory_of "$daemon" RssAnon)
add data 64M
head -c 32M /dev/urandom >"$test_dir/data"
start "$hostile" "$ZSD_SOCKET" latency 6 >"$test_dir/latency.out"
latency=$!
attackers=()
for mode in half-a-message byte-by-byte deaf slow-reader garbage-endless garbage-messages; do
	start "$hostile" "$ZSD_SOCKET" $mode
	attackers+=("$!:$mode")
done
for ((round = 0; round < 3; round++)); do
	check "writing under attack" dd if="$test_dir/data" of="$mnt/data" bs=1M oflag=direct conv=notrunc status=none
	check "data under attack" cmp -n $((32 << 20)) "$test_dir/data" "$mnt/data"
done
for attacker in "${attackers[@]}"; do
	wait "${attacker%%:*}" || fail "${attacker#*:}: the daemon did not do its part"
done
wait "$latency" || fail "replies were late: $(cat "$test_dir/latency.out")"
cat "$test_dir/latency.out"

step "more connections than there is room for"
start "$hostile" "$ZSD_SOCKET" many-connections 30
hoarder=$!
eventually "taking many connections" has_connections
# The silent ones give way after a second.
sleep 1.5
for ((round = 0; round < 100; round++)); do
	answers '"vendor"' $service.GetInfo
done
[[ $(find "/proc/$daemon/fd" -lname 'socket:*' | wc -l) -le 80 ]] || fail "the daemon holds more than 64 connections"
end_process "$hoarder"
memory=$(($(memory_of "$daemon" RssAnon) - memory_before))
[[ $memory -lt 8192 ]] || fail "the daemon keeps $memory KiB after all of this"
eventually "closing it" stat_is data open_count 0
answers '{}' $control.Remove '{"name":"data"}'
answers '{}' $control.Remove '{"name":"oneway"}'

step "who connects in a loop is held up"
before=$(date +%s%N)
check "two thousand connections" "$hostile" "$ZSD_SOCKET" connections 2000
took=$((($(date +%s%N) - before) / 1000000))
# One a millisecond; but for those at the beginning, and those in the backlog at the end.
[[ $took -ge 1500 ]] || fail "2000 connections were taken in $took ms"
eventually "serving others" "$hostile" "$ZSD_SOCKET" call "{\"method\":\"$service.GetInfo\"}" >/dev/null
refusals=$(grep -c "control connections are refused" "$test_dir/run.log" || true)
[[ $refusals -le 5 ]] || fail "the log has $refusals lines about that"

step "who is nobody may read, if the socket lets it"
nobody=65534
[[ $(stat -c %a "$ZSD_SOCKET") == 660 ]] || fail "the socket has mode $(stat -c %a "$ZSD_SOCKET")"
install -m 755 "$hostile" "$test_dir/hostile"
get_info="{\"method\":\"$service.GetInfo\"}"
add_device="{\"method\":\"$control.Add\",\"parameters\":{\"name\":\"a\",\"size_bytes\":4096}}"
refused "Permission denied" as $nobody $nobody "$test_dir/hostile" "$ZSD_SOCKET" call "$get_info"
chmod 666 "$ZSD_SOCKET"
for method in $service.GetInfo $control.List $control.Stats $control.Classes $control.Caches; do
	reply=$(as $nobody $nobody "$test_dir/hostile" "$ZSD_SOCKET" call "{\"method\":\"$method\"}")
	[[ $reply != *error* ]] || fail "$method as nobody: $reply"
done
denied="{\"error\":\"$service.PermissionDenied\"}"
equal "Add as nobody" "$(as $nobody $nobody "$test_dir/hostile" "$ZSD_SOCKET" call "$add_device")" "$denied"
equal "Remove as nobody" "$(as $nobody $nobody "$test_dir/hostile" "$ZSD_SOCKET" call \
	"{\"method\":\"$control.Remove\",\"parameters\":{\"name\":\"a\"}}")" "$denied"
answers '{"parameters":{"devices":[]}}' $control.List
stop_daemon
[[ ! -e $ZSD_SOCKET ]] || fail "the socket file is left"

step "the group zsd may change things"
# In a mount namespace of its own the daemon sees a group that this machine may not have.
group=54321
{
	grep -v '^zsd:' /etc/group
	echo "zsd:x:$group:"
} >"$test_dir/group"
cat >"$test_dir/zsd" <<END
#!/bin/sh
exec unshare --mount sh -c 'mount --bind "$test_dir/group" /etc/group && exec "\$@"' sh "$ZSD" "\$@"
END
chmod 755 "$test_dir/zsd"
ZSD=$test_dir/zsd start_daemon
equal "owner and mode of the socket" "$(stat -c %u:%g:%a "$ZSD_SOCKET")" 0:$group:660
for groups in $group "$nobody,$group" "$nobody,1,2,3,4,5,6,7,8,9,$group"; do
	reply=$(as $nobody "$groups" "$test_dir/hostile" "$ZSD_SOCKET" call "$add_device")
	[[ $reply == *'"file"'* ]] || fail "Add with the groups $groups: $reply"
	answers "\"uid\":$nobody,\"gid\":${groups%%,*}" $control.List '{"name":"a"}'
	reply=$(as $nobody "$groups" "$test_dir/hostile" "$ZSD_SOCKET" call \
		"{\"method\":\"$control.Remove\",\"parameters\":{\"name\":\"a\"}}")
	equal "Remove with the groups $groups" "$reply" '{"parameters":{}}'
done
chmod 666 "$ZSD_SOCKET"
reply=$(as $nobody "$nobody,$((group + 1))" "$test_dir/hostile" "$ZSD_SOCKET" call "$add_device")
equal "Add with another group" "$reply" "$denied"
stop_daemon

step "a socket that somebody listens on is not taken, a stale one is"
start "$hostile" "$ZSD_SOCKET" listener
listener=$!
eventually "listening" test -S "$ZSD_SOCKET"
refused "another daemon listens there" "$ZSD" --runtime-dir "$runtime" --no-config
is_running "$listener" || fail "the other listener is gone"
[[ -S $ZSD_SOCKET ]] || fail "the other listener's socket is gone"
kill -KILL "$listener"
{ wait "$listener"; } 2>/dev/null || true
start_daemon
answers '"vendor"' $service.GetInfo
stop_daemon
echo precious >"$ZSD_SOCKET"
refused "not a socket" "$ZSD" --runtime-dir "$runtime" --no-config
equal "the file in the way" "$(cat "$ZSD_SOCKET")" precious
