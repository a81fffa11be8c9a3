#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the pages list is what there is, no more and no less: commands, options with their letters, the columns of each
# table with their keys, keys of the configuration, values of the pool, metrics, variables, methods, errors, messages of
# the journal, counters.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

checked=0
help=$("$BUILD/tools/zsctl" --help)
interface=$BUILD/daemon/io.zsd.control.varlink

# same WHAT ACTUAL DOCUMENTED: the lines are the same, in any order; there are some.
same()
{
	local actual documented
	actual=$(sort -u <<<"$2")
	documented=$(sort -u <<<"$3")
	[[ $actual ]] || finding "$1: nothing was found"
	while read -r side line; do
		finding "$1: $([[ $side == '<' ]] && echo "not documented" || echo "documented, and not there"): $line"
	done < <(diff <(echo "$actual") <(echo "$documented") | grep '^[<>]')
	checked=$((checked + $(wc -l <<<"$actual")))
}

# items PAGE SECTION MACRO: what the heads of lists in a section begin with, as ".It Cm A , B Pq Li c": a line for A and
# one for B. SECTION: a regular expression; the section's title is without quotes.
items()
{
	awk -v section="^\\.Sh $2\$" -v macro="$3" '
		/^\.Sh / { inside = $0 ~ section }
		inside && $1 == ".It" && $2 == macro {
			for (i = 3; i <= NF && $i != "Pq"; i++)
				if ($i != "," && $i != macro)
					print $i
		}' "man/$1"
}

# Options as "letter long", a dash for none.
options_of_help()
{
	sed -nE 's/^ +-([A-Za-z]), --([a-z-]+).*/\1 \2/p; s/^ +--([a-z-]+).*/- \1/p'
}

options_of_page()
{
	sed -nE 's/^\.It Fl ([A-Za-z]) , Fl -([a-z-]+).*/\1 \2/p; s/^\.It Fl -([a-z-]+).*/- \1/p' "man/$1"
}

same "options of zsctl" "$(options_of_help <<<"$help")" "$(options_of_page zsctl.1)"
same "options of zsd" "$("$BUILD/daemon/zsd" --help | options_of_help)" "$(options_of_page zsd.8)"
commands=$(sed -nE '/^Commands:/,/^$/s/^  ([a-z][a-z-]*) .*/\1/p' <<<"$help")
same "commands of zsctl" "$commands" \
	"$(sed -nE '/^\.Sh COMMANDS/,/^\.Sh OPTIONS/s/^\.Ss (.*)/\1/p' man/zsctl.1)"

# What begins each line of the synopsis, as ".Cm attach | detach Ar NAME".
same "commands in the synopsis" "$commands" "$(awk '
	/^\.Sh / { inside = $0 == ".Sh SYNOPSIS" }
	inside && $1 == ".Nm" { first = 1 }
	inside && first && match($0, /^\.(Op )?Cm /) {
		for (i = $2 == "Cm" ? 3 : 2; i <= NF && $i !~ /^(Ar|Op|Fl)$/; i++) if ($i != "|") print $i
		first = 0
	}' man/zsctl.1)"

# Prints the pairs "COLUMN key" of a table of the source. $1: list, ...
source_columns()
{
	awk -v table="zsctl_$1_columns[]" '
		index($0, table) { inside = 1 }
		/^};/ { inside = 0 }
		inside && match($0, /^\t\{"[A-Z0-9-]+", "[a-z0-9_]+"/) {
			split($0, part, "\"")
			print part[2], part[4]
		}' tools/columns.c
}

# The same from the page; columns whose keys are not told again, as those are elsewhere, get the key that they have.
page_columns()
{
	awk -v section=".Sh COLUMNS OF $2" -v known="$(source_columns "$1")" '
		BEGIN {
			nr = split(known, line, "\n")
			for (i = 1; i <= nr; i++) {
				split(line[i], pair, " ")
				key[pair[1]] = pair[2]
			}
		}
		/^\.Sh / { inside = $0 == section }
		inside && /^\.It Cm/ {
			nr_names = nr_keys = 0
			for (i = 3; i <= NF && $i != "Pq"; i++) if ($i != ",") name[++nr_names] = $i
			for (i += 2; i <= NF && $i != "No"; i++) if ($i != ",") told[++nr_keys] = $i
			full = $NF == "..." || nr_keys == 0
			for (i = 1; i <= nr_names; i++)
				print name[i], i <= nr_keys ? told[i] : full ? key[name[i]] : "(no key)"
		}' man/zsctl.1
}

tables=$(sed -nE 's/^extern const struct zsctl_column zsctl_([a-z]+)_columns\[\];/\1/p' tools/columns.h)
for table in $tables; do
	title=${table^^}
	[[ $table != owners ]] || title="STATS --OWNERS"
	same "columns of $table" "$(source_columns "$table")" "$(page_columns "$table" "$title")"
done
same "tables" "$(sed -nE 's/^Columns of ([^,]*).*:$/\1/p' <<<"$help" | tr '[:lower:]' '[:upper:]')" \
	"$(sed -nE 's/^\.Sh COLUMNS OF (.*)/\1/p' man/zsctl.1)"

# Prints the fields of a type. $1: the type.
fields()
{
	sed -n "/^type $1 (\$/,/^)/p" "$interface" | sed -nE 's/^  ([a-z0-9_]+): .*/\1/p'
}
same "values of the pool" "$(fields Pool)" "$(items zsctl.1 "VALUES OF THE POOL" Li)"

# What is counted is explained where the insides are; these are no counts.
no_counts=(class compaction compaction_end created_usec devices direct encrypted error group kind modified_usec name
	path paused pool_mode ratio reason state task)
internals=$(sed -n '/^\.Sh COUNTERS/,/^\.Sh ACCOUNTING/p' man/zsd-internals.7 | grep '^\.\(It Li\|Li\)')
counted=(Pool DeviceStats Class Cache Task ReasonSums BackingFile)
for field in $(for type in "${counted[@]}"; do fields "$type"; done | sort -u); do
	[[ " ${no_counts[*]} " != *" $field "* ]] || continue
	checked=$((checked + 1))
	grep -qw -- "$field" <<<"$internals" || finding "man/zsd-internals.7, COUNTERS: $field is not there"
done
while read -r field; do
	grep -qE "^  $field: " "$interface" || finding "man/zsd-internals.7, COUNTERS: there is no $field"
done < <(grep -ow '[a-z][a-z0-9]*_[a-z0-9_]*' <<<"$internals" | sort -u)

same "methods" "$(sed -nE 's/.*\.name = "([A-Z][A-Za-z]+)".*/\1/p' daemon/command*.c daemon/varlink.c)" \
	"$(sed -nE 's/^method ([A-Za-z]+)\(.*/\1/p' "$BUILD"/daemon/*.varlink)"
error_names='ERROR\("[A-Z][A-Za-z]+"\)'
error_names+='|ZSD_INTERFACE_[A-Z]+ "\.[A-Z][A-Za-z]+"|"(io\.zsd|org\.varlink)\.[a-z]+\.[A-Z][A-Za-z]+"'
same "errors" "$(grep -ohE "$error_names" daemon/*.c | sed -E 's/.*[".]([A-Z][A-Za-z]+)".*/\1/')" \
	"$(sed -nE 's/^error ([A-Za-z]+) .*/\1/p' "$BUILD"/daemon/*.varlink)"

# Types, methods and errors share their names; varlinkctl, and what makes clients, refuse one that is there twice.
for file in "$BUILD"/daemon/*.varlink; do
	while read -r name; do
		finding "$(basename "$file"): $name is there twice"
	done < <(sed -nE 's/^(type|method|error) ([A-Za-z]+).*/\2/p' "$file" | sort | uniq -d)
	checked=$((checked + 1))
done

metrics()
{
	sed -nE -e 's/.*"(zsd_[a-z_]+)", "counter".*/\1_total/p' -e 's/.*"(zsd_[a-z_]+)", "(gauge|histogram)".*/\1/p' \
		-e 's/.*zsd_text_gauge\([^"]*"(zsd_[a-z_]+)".*/\1/p' \
		-e 's/.*zsd_text_counter\([^"]*"(zsd_[a-z_]+)".*/\1_total/p' \
		-e 's/.*"(zsd_[a-z_]+)", SUM\(.*/\1_total/p' daemon/metrics*.c
}
same "metrics" "$(metrics)" "$(items zsctl.1 METRICS Li)"

keys=$(items zsd.conf.5 '\\[.*\\]' Cm | tr -d =)
sections=$(sed -nE 's/^\.Sh \[([A-Z][a-z]+).*/\1/p' man/zsd.conf.5)
same "keys of zsd.conf" "$(grep -ohE '"[A-Z][a-z]+([A-Z][a-z]+)*"' daemon/config*.c | tr -d '"' |
	grep -vxF "$sections")" "$(grep -vxF "$sections" <<<"$keys")"
same "systemd/zsd.conf" "$keys" "$(sed -nE 's/^#?([A-Z][A-Za-z]+)=.*/\1/p' systemd/zsd.conf)"

same "variables of zsctl" "$(grep -ohE 'getenv\("[A-Z_]+"\)' tools/*.c lib/ctl/*.c | cut -d'"' -f2)" \
	"$(items zsctl.1 ENVIRONMENT Ev)"
while read -r variable; do
	checked=$((checked + 1))
	items zsd.8 ENVIRONMENT Ev | grep -x "$variable" >/dev/null ||
		finding "man/zsd.8, ENVIRONMENT: $variable is not there"
done < <(grep -ohE '(getenv|directory_from)\("[A-Z_]+"\)' daemon/*.c | cut -d'"' -f2 | sort -u)
same "messages of the journal" "$(sed -nE 's/.*= "([0-9a-f]{32})",$/\1/p' daemon/journal.c)" \
	"$(sed -nE 's/^\.It Li ([0-9a-f]{32}) .*/\1/p' man/zsd.8)"
conclude "$checked"
