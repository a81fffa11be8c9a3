#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Devices over the network, as zsd(8) tells: nbdkit serves their files over TCP, and NBD clients write, read and trim.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need nbdkit nbdcopy nbdinfo

# The recipe has nbdkit's own port; here others may run at the same time.
free_port()
{
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# It serves, or has given up.
has_started()
{
	[[ -s nbdkit.pid ]] || ! is_running "$server"
}

# serve OPTION...: sets uri and server. Somebody else may have taken the port meanwhile.
serve()
{
	local port try
	for try in 1 2 3 4 5; do
		port=$(free_port)
		uri=nbd://127.0.0.1:$port
		rm -f nbdkit.pid
		start nbdkit --foreground --pidfile nbdkit.pid --ipaddr 127.0.0.1 --port "$port" "$@"
		server=$!
		eventually "starting nbdkit" has_started
		[[ ! -s nbdkit.pid ]] || return 0
		step "port $port was taken, try $try"
	done
	fail "nbdkit does not start"
}

start_daemon
add vm0 64M
add vm1 64M
{
	head -c 8M /dev/urandom
	head -c 8M /dev/zero
	yes "the same line again and again" | head -c 16M || true
} >data
truncate -s 64M data

step "a client writes, others read the same"
serve file "$mnt/vm0"
equal "the size" "$(nbdinfo --size "$uri")" $((64 << 20))
nbdcopy data "$uri"
cmp data "$mnt/vm0" || fail "the device does not have what was written"
nbdcopy "$uri" copy
cmp data copy || fail "the client does not get what was written"
equal "bytes of noise" "$(stat_of vm0 incompressible_bytes)" $((8 << 20))
[[ $(stat_of vm0 memory_bytes) -lt $((12 << 20)) ]] || fail "it is not compressed"

step "what was never written is a hole for the client, too"
nbdinfo --map --totals "$uri" >map
grep -q "hole" map || fail "the client sees no hole: $(cat map)"

step "several connections at the same time"
nbdcopy --connections=4 --requests=16 data "$uri"
nbdcopy --connections=4 --requests=16 "$uri" copy
cmp data copy || fail "four connections don't get what they wrote"

step "zeroes over the network take no memory"
truncate -s 64M empty
nbdcopy empty "$uri"
wait_for_free
equal "the data" "$(stat_of vm0 data_bytes)" 0
cmp -n $((64 << 20)) /dev/zero "$mnt/vm0" || fail "the device is not empty"
end_process "$server"

step "all devices of a directory by their names"
serve file dir="$mnt"
nbdcopy data "$uri/vm1"
cmp data "$mnt/vm1" || fail "vm1 does not have what was written"
equal "vm0" "$(stat_of vm0 data_bytes)" 0
nbdinfo --list "$uri" >exports
for name in vm0 vm1; do
	grep -q "export=\"$name\"" exports || fail "$name is not offered: $(cat exports)"
done
end_process "$server"
"$ZSCTL" remove --force vm0 vm1
stop_daemon
