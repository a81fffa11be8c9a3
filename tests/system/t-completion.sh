#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What bash, zsh and fish offer behind zsctl: commands, options of the command, columns, and names that a running daemon
# has; and nothing, silently, where there is none.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

completions=$SOURCE/tools/completions
mkdir bin
ln -s "$ZSCTL" bin/zsctl
PATH=$test_dir/bin:$PATH
for file in zsctl.bash _zsctl zsctl.fish; do
	sed "s#@words@#$completions/zsctl-words#" "$completions/$file.in" >"$file"
done

start_daemon
add vm0 1M
add vm1 1M --group guests
add other 1M

# Each of these prints what its shell offers for a line, whose last word is being typed; in one line, sorted.
bash_offers()
{
	# shellcheck disable=SC2016
	bash --norc -c 'source ./zsctl.bash
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		"$(complete -p zsctl | sed -E "s/.*-F ([^ ]+) .*/\1/")" zsctl
		[[ ${#COMPREPLY[@]} -eq 0 ]] || printf "%s\n" "${COMPREPLY[@]}"' bash "$@" |
		LC_ALL=C sort | paste -sd ' '
}

# With what zsh's own functions would be given.
zsh_offers()
{
	# shellcheck disable=SC2016
	zsh -f -c 'compdef() { }
		compset() { [[ $1 != -P || $2 != "*=" ]] || PREFIX=${PREFIX#*=} }
		compadd() { print -l -- $@ }
		_describe() { print -l -- ${${(P)4}%%:*} }
		_values() { shift 3; print -l -- $@ }
		_files() { print -- FILES }
		words=("$@") CURRENT=$# PREFIX=${@[-1]}
		functions[_zsctl_main]="$(<_zsctl)"
		_zsctl_main' zsh "$@" >offered
	# What does not begin with what is typed is dropped by zsh itself.
	awk -v typed="${!#}" 'index($0, typed) == 1 || index(typed, "=")' offered | LC_ALL=C sort | paste -sd ' '
}

fish_offers()
{
	# shellcheck disable=SC2016
	HOME=$test_dir fish --no-config -c 'source zsctl.fish; complete -C "$argv"' -- "$*" | cut -f 1 >offered
	# fish also offers what has the letters in it somewhere.
	awk -v typed="${!#}" 'index($0, typed) == 1' offered | LC_ALL=C sort | paste -sd ' '
}

# offers SHELL EXPECTED WORD...
offers()
{
	local shell=$1 expected=$2 offered
	shift 2
	offered=$("${shell}_offers" "$@")
	[[ $offered == "$expected" ]] || fail "$shell offers for '$*': '$offered', not '$expected'"
}

# has SHELL EXPECTED WORD...: this one is among others.
has()
{
	local shell=$1 expected=$2 offered
	shift 2
	offered=$("${shell}_offers" "$@")
	[[ " $offered " == *" $expected "* ]] || fail "$shell offers for '$*': '$offered', without '$expected'"
}

shells=()
for shell in bash zsh fish; do
	command -v "$shell" >/dev/null || continue
	"$shell" -n "$([[ $shell == zsh ]] && echo _zsctl || echo "zsctl.$shell")" || fail "$shell can't read it"
	shells+=("$shell")
done
need "${shells[@]}" zsh fish

for shell in "${shells[@]}"; do
	step "$shell"
	has "$shell" remove zsctl ''
	offers "$shell" "caches cancel classes compact config" zsctl c
	offers "$shell" "vm0 vm1" zsctl remove v
	offers "$shell" "other vm0 vm1" zsctl list vm0 ''
	offers "$shell" "guests" zsctl groups ''
	offers "$shell" "guests" zsctl add new --group ''
	has "$shell" --force zsctl remove --f
	has "$shell" --owners zsctl stats --o
	offers "$shell" "" zsctl list --own
	offers "$shell" "kernel none" zsctl add new --cache ''
	offers "$shell" "" zsctl add ''
	# The socket on the line counts.
	offers "$shell" "" zsctl --socket /nonexistent remove ''
done

step "columns"
for shell in bash fish; do
	has "$shell" SIZE zsctl list -o S
	has "$shell" NAME,SIZE zsctl list -o NAME,S
	has "$shell" READ-P99 zsctl stats -o READ-
	offers "$shell" "+NAME" zsctl groups -o +N
done
has zsh SIZE zsctl list -o ''
has bash NAME zsctl list --output = N

step "every command and option of the help is known"
commands=$("$completions/zsctl-words" zsctl commands | cut -f 1)
[[ $(wc -l <<<"$commands") -ge 9 ]] || fail "only these commands: $commands"
known=$(for command in $commands; do "$completions/zsctl-words" zsctl options "$command"; done | cut -f 1 | sort -u)
# Options in the text of others, such as "with --owners:", are no options of their own.
listed=$(zsctl --help | sed -nE 's/^  (.[A-Za-z],|   ) (--[a-z-]+).*/\2/p' | sort -u)
diff <(echo "$known") <(echo "$listed") || fail "the options differ"

step "without a daemon there are no names, and no errors"
stop_daemon
for shell in "${shells[@]}"; do
	offers "$shell" "" zsctl remove '' 2>errors
	[[ ! -s errors ]] || fail "$shell: $(cat errors)"
	has "$shell" remove zsctl ''
done
