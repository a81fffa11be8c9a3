#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Golden outputs: the text of tables about known data, and the type of every member of every JSON that zsctl prints.
# Types never change; a member that is new is added to golden/types.txt, and none goes away.
#
# ZSD_GOLDEN=write: writes them anew.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

golden=$SOURCE/tests/system/golden

# same FILE: what is on stdin must be what is in the golden file.
same()
{
	cat >"$test_dir/$1"
	if [[ ${ZSD_GOLDEN:-} == write ]]; then
		{
			echo "# SPDX-License-Identifier: LGPL-2.1-or-later"
			cat "$test_dir/$1"
		} >"$golden/$1"
	fi
	diff -u <(grep -v '^#' "$golden/$1") "$test_dir/$1" >&2 || fail "golden/$1 differs, see above"
}

printf '[Pool]\nAccounting=yes\nMemoryLimit=512M\n' >zsd.conf
start_daemon --config "$test_dir/zsd.conf"
"$ZSCTL" add vm0 --size 64M --mem-limit 32M --group guests >/dev/null
"$ZSCTL" add vm1 --size 1G --algorithm zstd:9 --block-size 16K --cache kernel --mode 0640 >/dev/null
python3 - "$mnt/vm0" "$mnt/vm1" <<'END'
import hashlib, os, sys
# Noise that is the same each time, on a boundary of 4 KiB and of 16 KiB.
noise = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(1 << 15))
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"abcd" * (1 << 18), 0)
    os.pwrite(fd, noise, 1 << 20)
    os.fsync(fd)
    os.close(fd)
END

step "tables"
{
	"$ZSCTL" list -o NAME,STATE,ALGORITHM,SIZE,DATA,COMPR,SAME,COMPRESSED,INCOMPRESSIBLE,WRITTEN-BACK
	echo
	"$ZSCTL" list -o NAME,BLOCK-SIZE,LIMIT,GROUP,CACHE,MODE
	echo
	"$ZSCTL" list -b -r -o NAME,SIZE,DATA,COMPR,LIMIT
	echo
	"$ZSCTL" list -P -o NAME,SIZE,LIMIT
	echo
	"$ZSCTL" usage -o TYPE,DATA,STORED,RATIO,SHARE
	echo
	"$ZSCTL" groups -o NAME,DEVICES,DATA,COMPR,LIMIT
	echo
	# Without headings libsmartcols makes the columns as wide as them (2.38), or does not (2.41).
	"$ZSCTL" stats -n -o NAME,WRITTEN,DISCARDED,NO-SPACE,ERRORS,SAME-BLOCKS,OBJECTS,INCOMPRESSIBLE | tr -s ' '
} | sed 's/ *$//' | same tables.txt

step "types of JSON"
dd if="$mnt/vm0" of=/dev/null bs=4K count=8 iflag=direct status=none
fallocate -p -o 0 -l 4096 "$mnt/vm0"
cat >members.py <<'END'
import json, subprocess, sys
seen = {}

def walk(where, value):
    kind = {dict: "object", list: "array", str: "string", bool: "bool", int: "int", float: "float"}[type(value)]
    if seen.setdefault(where, kind) != kind:
        sys.exit("%s is %s and %s" % (where, seen[where], kind))
    if kind == "object":
        for name, member in value.items():
            walk("%s.%s" % (where, name), member)
    if kind == "array":
        for member in value:
            walk(where + "[]", member)

for command in ("list", "status", "usage", "stats", "stats --owners", "groups", "classes", "caches", "compact",
                "iostat -l", "iostat -w", "doctor", "dump-config", "reload"):
    done = subprocess.run([sys.argv[1], "-J"] + command.split(), stdout=subprocess.PIPE)
    walk(command, json.loads(done.stdout))
for where in sorted(seen):
    print(where, seen[where])
END
python3 members.py "$ZSCTL" | grep -v '^doctor.*remedy\|compaction_end\|^dump-config\.' | same types.txt
stop_daemon
