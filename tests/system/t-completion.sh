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

# An interactive zsh on a terminal of its own, with the completion system of its users: TAB is pressed behind the line.
# What its builtin compadd would add, it prints.
cat >inner.zsh <<'END'
PS1= PS2= RPS1= PROMPT_SP=
unsetopt prompt_sp prompt_cr
# The system's zshenv may have set another PATH.
fpath=($PWD $fpath) path=($PWD/bin $path)
autoload -Uz compinit
compinit -u -d $PWD/zcompdump
compadd()
{
	local -a taken
	# Some calls only ask what would match.
	if (( $@[(I)-[OAD]] )); then
		builtin compadd "$@"
		return
	fi
	builtin compadd -A taken "$@"
	(( ! $#taken )) || print -rl -- $taken
}
offer()
{
	print -r -- "<<<"
	_main_complete
	print -r -- ">>>"
	compstate[insert]= compstate[list]=
}
zle -C offer complete-word offer
bindkey '^I' offer
print "<ready>"
END
cat >offers.zsh <<'END'
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'source ./inner.zsh'
while zpty -r shell line && [[ $line != *'<ready>'* ]]; do :; done
zpty -w -n shell "$1"$'\t'
while zpty -r shell line && [[ $line != *'<<<'* ]]; do :; done
while zpty -r shell line && [[ $line != *'>>>'* ]]; do print -r -- ${line%%[$'\r\n']*}; done
zpty -d shell
END

zsh_offers()
{
	timeout "$patience" zsh -f offers.zsh "$*" </dev/null >offered || fail "zsh does not answer for '$*'"
	{ grep . offered || true; } | LC_ALL=C sort | paste -sd ' '
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
	offers "$shell" "check show" zsctl config ''
	offers "$shell" "notice" zsctl log-level n
	offers "$shell" "idle incompressible" zsctl writeback vm0 --type i
	offers "$shell" "vm0 vm1" zsctl writeback --type idle v
	offers "$shell" "" zsctl status ''
	offers "$shell" "vm0 vm1" zsctl iostat -l v
	offers "$shell" "none" zsctl add new -l n
	# The socket on the line counts.
	offers "$shell" "" zsctl --socket /nonexistent remove ''
done

step "columns"
for shell in bash fish; do
	has "$shell" NAME,SIZE zsctl list -o NAME,S
	has "$shell" READ-P99 zsctl stats -o READ-
	offers "$shell" "+NAME" zsctl groups -o +N
done
for shell in "${shells[@]}"; do
	has "$shell" SIZE zsctl list -o S
done
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
