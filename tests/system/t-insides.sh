#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `zsctl classes` and `zsctl caches`: what they say agrees with itself, with `zsctl stats`, and with what was written.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# json EXPRESSION COMMAND [OPTION]...: python's value of the expression, in which rows is what the command printed.
json()
{
	local expression=$1
	shift
	"$ZSCTL" -J "$@" | python3 -c '
import json, sys
rows = json.load(sys.stdin)[sys.argv[2]]
print(eval("(" + sys.argv[1] + ")"))' "$expression" "$1"
}

# Every equation of the manual pages. Nothing else may use the daemon meanwhile.
check_sums()
{
	"$ZSCTL" classes -J >classes.json
	"$ZSCTL" caches -J >caches.json
	"$ZSCTL" stats -J >stats.json
	python3 - <<-'END' || fail "the counters contradict each other"
		import json, sys
		classes = json.load(open("classes.json"))["classes"]
		caches = {cache["name"]: cache for cache in json.load(open("caches.json"))["caches"]}
		pool = json.load(open("stats.json"))["pool"]
		def claim(text, **names):
		    if not eval(text, {**globals(), **names}):
		        sys.exit("not true: %s of %s" % (text, names or (classes, caches, pool)))
		for row in classes:
		    full = [value for key, value in row.items() if key.startswith("full_")]
		    claim("len(full) == 12 and sum(full) == row['zspages'] > 0 == row['full_0']", row=row, full=full)
		    claim("row['zspage_bytes'] == row['zspages'] * row['pages_per_zspage'] * 4096", row=row)
		    claim("row['objects_total'] == row['zspages'] * row['objects_per_zspage']", row=row)
		    claim("row['objects_per_zspage'] == row['pages_per_zspage'] * 4096 // row['object_bytes']", row=row)
		    claim("0 < row['objects_active'] <= row['objects_total']", row=row)
		    claim("row['full_100'] * row['objects_per_zspage'] <= row['objects_active']", row=row)
		    needed = -(-row["objects_active"] // row["objects_per_zspage"])
		    claim("row['freeable_bytes'] == (row['zspages'] - needed) * row['pages_per_zspage'] * 4096",
		          row=row, needed=needed)
		    claim("row['lock_waits'] or not row['lock_wait_ns']", row=row)
		for key in "objects_active", "objects_total", "zspage_bytes", "freeable_bytes":
		    claim("sum(row[key] for row in classes) == pool[key]", key=key)
		for key in "lock_waits", "lent_objects":
		    claim("sum(row[key] for row in classes) <= pool[key]", key=key)
		claim("sorted(caches) == ['handle', 'zspage']")
		for cache in caches.values():
		    claim("cache['objects_total'] == cache['pages'] * (4096 // cache['object_bytes'])", cache=cache)
		    claim("cache['objects_active'] + cache['magazine_objects'] < cache['objects_total']", cache=cache)
		claim("caches['handle']['objects_active'] == pool['handles_active'] == pool['objects_active']")
		claim("caches['handle']['objects_total'] == pool['handles_total']")
		claim("caches['handle']['pages'] * 4096 == pool['handle_bytes']")
		claim("sum(row['zspages'] for row in classes) == pool['zspages_active']")
		claim("caches['zspage']['objects_active'] == pool['zspages_active']")
		claim("caches['zspage']['objects_total'] == pool['zspages_total']")
		claim("caches['zspage']['object_bytes'] == pool['zspage_descriptor_bytes']")
	END
}

# Not by itself.
printf '[Pool]\nCompact=no\n' >zsd.conf
start_daemon --config zsd.conf

step "nothing is stored"
equal "the table" "$("$ZSCTL" classes)" ""
equal "the JSON" "$("$ZSCTL" classes -Jo CLASS | tr -d ' \n')" '{"classes":[]}'
nr=$(json 'len(rows)' classes --all)
[[ $nr -gt 50 && $nr -le 256 ]] || fail "there are $nr classes"
equal "the numbers of all" "$(json 'rows == sorted(rows, key=lambda row: row["object_bytes"]) and
	[row["class"] for row in rows] == list(range(len(rows)))' classes --all)" True
equal "what all have" "$(json '{row[key] for row in rows for key in row
	if key not in ["class", "object_bytes", "pages_per_zspage", "objects_per_zspage"]}' classes --all)" "{0}"

step "1,000 blocks that do not compress are 1,000 objects of one class"
add noise 8M
head -c $((1000 * 4096)) /dev/urandom | dd of="$mnt/noise" bs=1M conv=notrunc iflag=fullblock status=none
equal "the class" "$(json '[(row["objects_active"], row["object_bytes"] in range(4096 + 12, 4200)) for row in rows]' \
	classes)" "[(1000, True)]"
# Only the last zspage has room left.
equal "zspages with room" "$(json 'rows[0]["zspages"] - rows[0]["full_100"]' classes)" \
	"$(json 'int(1000 % rows[0]["objects_per_zspage"] > 0)' classes)"
check_sums

step "real data, of which two thirds are discarded"
add disk 64M
cat "$ZSD" "$ZSCTL" "$(command -v bash)" "$(command -v python3)" | head -c 32M >model || true
dd if=model of="$mnt/disk" bs=1M conv=notrunc status=none
check_sums
for ((block = 0; block < $(stat -c %s model) / 4096; block += 3)); do
	echo "fpunch $((block * 4096)) 8192"
done | xfs_io "$mnt/disk" >/dev/null
wait_for_free
check_sums
[[ $(json 'sum(row["freeable_bytes"] for row in rows)' classes) -gt 0 ]] || fail "nothing is freeable"
"$ZSCTL" compact >/dev/null
check_sums
equal "what is freeable after compaction" "$(json 'sum(row["freeable_bytes"] for row in rows)' classes)" 0

step "tables"
[[ $("$ZSCTL" classes | sed -n 1p) =~ ^CLASS\ +SIZE\ +ZSPAGES\ +MEMORY\ +OBJECTS\ +ROOM\ +FREEABLE\ +LOCK-WAITS$ ]] ||
	fail "the headings are: $("$ZSCTL" classes | sed -n 1p)"
[[ $("$ZSCTL" classes --output-all | sed -n 1p) == *FULL-0*FULL-99*FULL-100 ]] || fail "--output-all leaves columns out"
equal "number of rows" "$("$ZSCTL" classes -n | wc -l)" "$(json 'len(rows)' classes)"
equal "number of all rows" "$("$ZSCTL" classes --all -n | wc -l)" "$nr"
equal "a column" "$("$ZSCTL" classes -brno memory | awk "{ sum += \$1 } END { print sum }")" "$(pool_stat zspage_bytes)"
equal "caches" "$("$ZSCTL" caches -rno NAME,SIZE)" $'handle 8\nzspage 32'
equal "a field" "$("$ZSCTL" caches -Jo NAME | tr -d ' \n')" '{"caches":[{"name":"handle"},{"name":"zspage"}]}'

step "when all is gone, so are the rows"
remove disk noise
wait_for_free
equal "classes" "$("$ZSCTL" classes)" ""
equal "objects in the caches" "$(json '[row["objects_active"] for row in rows]' caches)" "[0, 0]"

step "bad input"
refused "too many names" "$ZSCTL" classes disk
refused "too many names" "$ZSCTL" caches disk
refused "--all: not an option of caches" "$ZSCTL" caches --all
refused "--force: not an option of classes" "$ZSCTL" classes --force
refused "no such column; did you mean FREEABLE?" "$ZSCTL" classes -o FREABLE
refused "no such column; did you mean PAGES?" "$ZSCTL" caches -o PAEGS
refused "did you mean classes?" "$ZSCTL" clases
stop_daemon
refused "no such socket" "$ZSCTL" classes
