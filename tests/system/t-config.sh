#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The configuration: drop-ins, check, show, reload; what is set while the daemon runs; devices that persist.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# changes: what zsctl reload says, sorted.
changes()
{
	"$ZSCTL" reload | sort
}

config=$test_dir/zsd.conf
mkdir "$config.d"
cat >"$config" <<'END'
[Daemon]
LogLevel=info
[Pool]
MemoryLimit=1G
[Device vm0]
Size=64M
MemoryLimit=32M
Mode=0640
END
printf '[Pool]\nMemoryLimit=512M\n[Device vm1]\nSize=16M\n' >"$config.d/60-site.conf"
printf '[Device vm0]\nMode=0600\n' >"$config.d/70-last.conf"
printf '[Pool]\nMemoryLimit=1K\n' >"$config.d/99-not-read.txt"
ln -s /dev/null "$config.d/80-masked.conf"

step "check and show need no daemon"
export ZSD_SOCKET=$test_dir/none
"$ZSCTL" config check "$config" || fail "the configuration is refused"
equal "the values" "$("$ZSCTL" config show "$config")" "Daemon.LogLevel=info
Pool.MemoryLimit=512M
Device vm0.Size=64M
Device vm0.MemoryLimit=32M
Device vm0.Mode=0600
Device vm1.Size=16M"
"$ZSCTL" config show --origin "$config" >origins
grep -qxF "Pool.MemoryLimit=512M  # $config.d/60-site.conf:2" origins || fail "the origin is wrong: $(cat origins)"
grep -qxF "Device vm0.Size=64M  # $config:6" origins || fail "the origin is wrong: $(cat origins)"
refused "did you mean check?" "$ZSCTL" config chek
# bad TEXT MESSAGE: what check says of a drop-in with this text.
bad()
{
	printf '%b' "$1" >"$config.d/75-bad.conf"
	refused "75-bad.conf:$2" "$ZSCTL" config check "$config"
	rm "$config.d/75-bad.conf"
}
bad '[Pool]\nMemoryLimit=8\n' "2: [Pool] MemoryLimit=8: a size without a unit; did you mean 8G?"
bad '[Device vm2]\nSize=big\n' "2: [Device vm2] Size=big: not a size"
bad '[Device vm2]\n' "1: [Device vm2]: no size"
bad '[Pool]\nMemoryLimit=1G # half\n' "2: [Pool] MemoryLimit=1G # half: a comment behind the value"
bad '[Pool\n' "1: a heading without its end"
bad '[Pool]\nCompact=no\nCompact=no\n' "3: [Pool] Compact=no: the section has this key already"
printf '[Pool]\nFuture=1\n' >"$config.d/75-warning.conf"
"$ZSCTL" config check "$config" 2>warning || fail "an unknown key is an error"
grep -qF "75-warning.conf:2: [Pool] Future: unknown key, ignored" warning || fail "no warning: $(cat warning)"
rm "$config.d/75-warning.conf"
chmod 000 "$config.d/60-site.conf"
[[ $EUID -eq 0 ]] || refused "60-site.conf: can't be read" "$ZSCTL" config check "$config"
chmod 644 "$config.d/60-site.conf"
refused "can't be read: No such file" "$ZSCTL" config check "$config.nothing"

step "the daemon reads the same"
start_daemon --config "$config"
equal "the limit" "$(pool_stat memory_limit_bytes)" $((512 << 20))
equal "devices" "$("$ZSCTL" list -n -r -o NAME,SIZE,MODE | xargs)" "vm0 64M 0600 vm1 16M 0600"

step "reload: nothing has changed"
equal "the changes" "$(changes)" ""

step "reload: each key says what became of it"
sed -i 's/LogLevel=info/LogLevel=debug\nThreads=3/' "$config"
printf '[Pool]\nMemoryLimit=256M\nCompactThreshold=20%%\n[Device vm1]\nSize=32M\n[Device vm2]\nSize=8M\n' \
	>"$config.d/60-site.conf"
rm "$config.d/70-last.conf"
changes >said
for line in "Daemon.LogLevel=debug: applied" "Pool.MemoryLimit=256M: applied" "Pool.CompactThreshold=20%: applied" \
	"Device vm0.Mode=0640: applied" "Device vm2: added"; do
	grep -qxF "$line" said || fail "reload did not say '$line': $(cat said)"
done
grep -q "^Daemon.Threads=3: needs-restart: " said || fail "reload did not say so of Threads: $(cat said)"
grep -q "^Device vm1.Size=32M: needs-new-device: " said || fail "reload did not say so of Size: $(cat said)"
equal "the limit" "$(pool_stat memory_limit_bytes)" $((256 << 20))
equal "devices" "$("$ZSCTL" list -n -r -o NAME,SIZE,MODE | xargs)" "vm0 64M 0640 vm1 16M 0600 vm2 8M 0600"

step "reload: a refused configuration changes nothing"
printf '[Pool]\nMemoryLimit=128M\nAccounting=perhaps\n' >"$config.d/60-site.conf"
refused "60-site.conf:3: [Pool] Accounting=perhaps: neither yes nor no" "$ZSCTL" reload
equal "the limit" "$(pool_stat memory_limit_bytes)" $((256 << 20))
"$ZSCTL" metrics | grep -xF 'zsd_config_last_reload_success 0' >/dev/null || fail "metrics don't tell of the failure"
printf '[Pool]\nMemoryLimit=128M\n[Device bad]\nSize=1\n' >"$config.d/60-site.conf"
"$ZSCTL" reload >said 2>warning
grep -qF "[Device bad] Size=1: a size without a unit" warning || fail "no warning of the bad device: $(cat warning)"
grep -qxF "Pool.MemoryLimit=128M: applied" said || fail "a bad device keeps the others from being applied"
grep -q "^Device vm2: kept: " said || fail "reload did not say so of a device that is gone: $(cat said)"
"$ZSCTL" metrics | grep -xF 'zsd_config_last_reload_success 1' >/dev/null || fail "metrics don't tell of the success"
rm "$config.d/60-site.conf"
kill -HUP "$daemon"
is_reloaded() { [[ $(pool_stat memory_limit_bytes) -eq $((1 << 30)) ]]; }
eventually "the limit after SIGHUP" is_reloaded

step "set: all or nothing"
"$ZSCTL" set vm0 MemoryLimit=16M Mode=0666
equal "what was set" "$("$ZSCTL" list -n -r -o LIMIT,MODE vm0)" "16M 0666"
equal "the file's mode" "$(stat -c %a "$mnt/vm0")" 666
refused "Mode '9': " "$ZSCTL" set vm0 MemoryLimit=8M Mode=9
equal "the limit after a refusal" "$("$ZSCTL" list -n -r -o LIMIT vm0)" 16M
refused "it is fixed when a device is made" "$ZSCTL" set vm0 BlockSize=8K
refused "there is no such key" "$ZSCTL" set vm0 Color=red
refused "did you mean 8G?" "$ZSCTL" set vm0 MemoryLimit=8
refused "the device was made without a limit" "$ZSCTL" set vm1 MemoryLimit=8M
refused "not KEY=VALUE" "$ZSCTL" set vm0 MemoryLimit
refused "nothing to change" "$ZSCTL" set vm0
refused "given twice" "$ZSCTL" set vm0 Mode=0600 Mode=0640
refused "no device with this name" "$ZSCTL" set nothing Mode=0600
"$ZSCTL" set Pool.MemoryLimit=64M Pool.CompactQuota=5%
equal "the limit" "$(pool_stat memory_limit_bytes)" $((64 << 20))
refused "it is read at start only" "$ZSCTL" set Daemon.Threads=4
refused "there is no such key" "$ZSCTL" set Pool.Color=red
refused "there is no such key" "$ZSCTL" set MemoryLimit=1G
"$ZSCTL" log-level warning
refused "no such level" "$ZSCTL" log-level loud
equal "a reload undoes what was set" "$(changes)" "Daemon.LogLevel=debug: applied
Device vm0.MemoryLimit=32M: applied
Device vm0.Mode=0640: applied
Pool.CompactQuota: applied
Pool.MemoryLimit=1G: applied"

step "set and reload: the backing file"
refused "StopAt is to be below StartAt" "$ZSCTL" set Writeback.StopAt=95%
refused "it is read at start only" "$ZSCTL" set Writeback.Encrypt=yes
refused "not a number of reads" "$ZSCTL" set Writeback.PromoteAfter=0
"$ZSCTL" set Writeback.StartAt=97% Writeback.StopAt=95% Writeback.IdleAfter=1h Pool.RecompressAfter=never
"$ZSCTL" set Writeback.Size=1M
equal "a reload undoes what was set" "$(changes | cut -d= -f1)" "Pool.RecompressAfter: applied
Writeback.IdleAfter: applied
Writeback.Size: applied
Writeback.StartAt: applied
Writeback.StopAt: applied"

step "reload: what was changed beside a mistake counts when that is corrected"
printf '[Device vm0]\nMode=0604\nOwner=\n' >"$config.d/60-site.conf"
"$ZSCTL" reload >said 2>&1
grep -q "its section has a mistake; it is left as it was" said || fail "a mistake: $(<said)"
equal "the mode" "$("$ZSCTL" list -n -r -o MODE vm0)" 0640
printf '[Device vm0]\nMode=0604\n' >"$config.d/60-site.conf"
equal "the changes" "$(changes)" "Device vm0.Mode=0604: applied"
equal "the mode" "$("$ZSCTL" list -n -r -o MODE vm0)" 0604
rm "$config.d/60-site.conf"
equal "the changes" "$(changes)" "Device vm0.Mode=0640: applied"

step "reload: what is not UTF-8 is refused, with all that is beside it"
printf '[Daemon]\nMountPoint=/tmp/\xff\nLogLevel=debug\n[Pool]\nMemoryLimit=300M\n' >"$config.d/60-site.conf"
refused "60-site.conf:2: not UTF-8" "$ZSCTL" reload
equal "the limit" "$(pool_stat memory_limit_bytes)" $((1 << 30))
rm "$config.d/60-site.conf"
equal "the changes" "$(changes)" ""

step "a limit that was set holds"
"$ZSCTL" set vm0 MemoryLimit=1M
head -c 4M /dev/urandom >data
! dd if=data of="$mnt/vm0" bs=64K conv=notrunc oflag=direct 2>/dev/null || fail "4M fit into 1M"
"$ZSCTL" set vm0 MemoryLimit=none
dd if=data of="$mnt/vm0" bs=64K conv=notrunc oflag=direct status=none
"$ZSCTL" set vm0 MemoryLimit=2M
dd if=/dev/zero of="$mnt/vm0" bs=64K count=32 conv=notrunc oflag=direct status=none
stop_daemon

step "devices that persist"
export XDG_CONFIG_HOME=$test_dir/home
[[ $EUID -eq 0 ]] || start_daemon --config "$XDG_CONFIG_HOME/zsd/zsd.conf"
if [[ $EUID -eq 0 ]]; then
	# As an ordinary user, whose configuration is its own; files are all that this is about.
	mkdir -m 777 home
	sed 's/^	*//' >ask.py <<-'END'
		import json, os, socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		os.chmod(sys.argv[1], 0o777)
		s.listen()
		while True:
		 c = s.accept()[0]
		 while c.recv(65536):
		  c.sendall(b'{"parameters":{"file":"/somewhere/p0","config":"%s"}}\0' % sys.argv[2].encode())
		 c.close()
	END
	start python3 ask.py "$test_dir/fake" "$test_dir/home/zsd/zsd.conf"
	eventually "listening" test -S fake
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups "$ZSCTL" --socket "$test_dir/fake")
	"${as_user[@]}" add p0 --size 1.5G --algorithm zstd:5 --block-size 16K --mode 0640 --persist >/dev/null
	equal "the drop-in" "$(grep -v '^#' home/zsd/zsd.conf.d/80-p0.conf | xargs)" \
		"[Device p0] Size=1610612736B Algorithm=zstd:5 BlockSize=16384B Mode=0640 Owner=65534:65534"
	"$ZSCTL" config check home/zsd/zsd.conf.d/80-p0.conf || fail "the drop-in is not a configuration"
	"${as_user[@]}" remove p0 --persist
	[[ ! -e home/zsd/zsd.conf.d/80-p0.conf ]] || fail "the drop-in is left"
	"${as_user[@]}" remove p0 --persist || fail "a device without a drop-in can't be removed"
fi

step "persisting: where the daemon reads it, or not at all"
start_daemon
refused "the daemon reads no zsd.conf" "$ZSCTL" add p1 --size 1M --persist
refused "no device with this name" "$ZSCTL" list p1
stop_daemon
mkdir elsewhere
: >elsewhere/zsd.conf
start_daemon --config elsewhere/zsd.conf
"$ZSCTL" add p1 --size 1M --persist >/dev/null
grep -q '^\[Device p1\]' elsewhere/zsd.conf.d/80-p1.conf || fail "the drop-in is not where the daemon reads it"
"$ZSCTL" remove p1 --persist
[[ ! -e elsewhere/zsd.conf.d/80-p1.conf ]] || fail "the drop-in is left"
rmdir elsewhere/zsd.conf.d
: >elsewhere/zsd.conf.d
refused "elsewhere/zsd.conf.d, where the daemon reads it: " "$ZSCTL" add p1 --size 1M --persist
refused "no device with this name" "$ZSCTL" list p1
stop_daemon
