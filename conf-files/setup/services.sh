# The service directories of a house: what svscan starts, as which user.

# service HOUSE NAME: standard input becomes NAME/run; log/run goes with it.
service() {
	local house=$1 name=$2 dir=$1/service/$2 ids
	mkdir -p "$dir/log/main" "$dir/env"
	{
		printf '#!/bin/sh\nPATH=%s/bin:$PATH\nexport PATH\nexec 2>&1\n' "$house"
		cat
	} | put_file "$dir/run"
	{
		printf '#!/bin/sh\nPATH=%s/bin:$PATH\nexport PATH\n' "$house"
		ids=$(ids_of "$house" qmaill)
		printf 'exec %smultilog t s1000000 n10 ./main\n' \
			"$(is_single "$house" || echo "setuidgid :${ids/ /:} ")"
	} | put_file "$dir/log/run"
	chmod 0755 "$dir/run" "$dir/log/run"
	# Logs name every recipient, also those of a Bcc: nobody else reads them.
	own "$house" qmaill 0700 "service/$name/log/main"
}

# server HOUSE NAME PROGRAM ROLE IP PORT: made by PROGRAM, under a name that
# nobody looks at until server_done.
server() {
	local house=$1 program=$3 dir=$1/service/.$2 account logaccount
	account=:$(ids_of "$house" "$4" | tr ' ' :)
	logaccount=:$(ids_of "$house" qmaill | tr ' ' :)
	rm -rf "$dir" # of a run that was interrupted
	"$house/bin/$program" "$account" "$logaccount" "$dir" "$5"
	echo "$6" >"$dir/env/PORT"
}

server_done() {
	mv "$1/service/.$2" "$1/service/$2"
}

# server_rules HOUSE NAME: standard input says who may connect.
server_rules() {
	local house=$1 dir=$1/service/.$2
	cat >"$dir/tcp"
	"$house/bin/tcprules" "$dir/tcp.cdb" "$dir/tcp.tmp" <"$dir/tcp"
}

# rules_without_source DIR: tcp must not be compiled over them by mistake, and
# the line that does not compile says why.
rules_without_source() {
	local dir=$1
	echo "tcp.cdb was taken over without its source: write that here instead" \
		>"$dir/tcp"
	cat >"$dir/tcp.cdb"
	say "there is no control/tcp.smtp: ${dir##*/.}/tcp.cdb is control/tcp.smtp.cdb"
}

# What control/tcp.smtp said goes on to count.
service_smtpd() {
	local house=$1 smtp=$2 ip=$3
	server "$house" qmail-smtpd qmail-smtpd-conf qmaild "$ip" "$smtp"
	if [ -e "$house/control/tcp.smtp" ]; then
		server_rules "$house" qmail-smtpd <"$house/control/tcp.smtp"
	elif [ -e "$house/control/tcp.smtp.cdb" ]; then
		rules_without_source "$house/service/.qmail-smtpd" \
			<"$house/control/tcp.smtp.cdb"
	fi
	server_done "$house" qmail-smtpd
}

service_pop3d() {
	local house=$1 pop3=$2 ip=$3
	server "$house" qmail-pop3d qmail-pop3d-conf root "$ip" "$pop3"
	echo :allow | server_rules "$house" qmail-pop3d
	server_done "$house" qmail-pop3d
}

# services_make HOUSE SMTP-PORT POP3-PORT [IP]: those that are missing.
services_make() {
	local house=$1 smtp=$2 pop3=$3 ip=${4-127.0.0.1}

	service "$house" qmail-queued <<-E
		exec qmail-queued
	E
	service "$house" qmail-send <<-E
		exec env - PATH="\$PATH" \${DNSCACHEIP+"DNSCACHEIP=\$DNSCACHEIP"} \${VALIJA_TEST_CLOCK+"VALIJA_TEST_CLOCK=\$VALIJA_TEST_CLOCK"} qmail-start ./Maildir/
	E
	[ -e "$house/service/qmail-smtpd" ] || service_smtpd "$house" "$smtp" "$ip"
	[ -e "$house/service/qmail-pop3d" ] || service_pop3d "$house" "$pop3" "$ip"
}

SERVICES="qmail-queued qmail-send qmail-smtpd qmail-pop3d"

# services_start HOUSE: svscan in a session of its own, its pid kept. It does
# not inherit the lock of lock_instance.
services_start() {
	local house=$1
	(
		cd "$house/service"
		exec setsid env - PATH="$house/bin:$PATH" \
			${VALIJA_TEST_CLOCK+"VALIJA_TEST_CLOCK=$VALIJA_TEST_CLOCK"} \
			"$house/bin/svscan" . \
			</dev/null >>"$house/log/svscan" 2>&1 9>&- &
		echo $! >"$house/svscan.pid"
	)
}

# The pid of the house's svscan, if it runs.
svscan_pid() {
	local pid exe
	[ -r "$1/svscan.pid" ] || return 1
	pid=$(cat "$1/svscan.pid")
	exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
	[ "${exe% (deleted)}" = "$(readlink -f "$1/bin/svscan")" ] && echo "$pid"
}

# supervised HOUSE: the services, and their logs, whose supervise runs.
supervised() {
	local house=$1 name dir
	for name in $SERVICES; do
		for dir in "$house/service/$name" "$house/service/$name/log"; do
			[ ! -d "$dir" ] || ! "$house/bin/svok" "$dir" || printf '%s\n' "$dir"
		done
	done
}

# services_stop HOUSE: svscan takes everything down before it goes. Where it
# was killed, what it started is told to go.
services_stop() {
	local house=$1 pid
	if ! pid=$(svscan_pid "$house"); then
		orphans_stop "$house"
		return
	fi
	kill -TERM "$pid"
	for _ in $(seq 300); do
		svscan_pid "$house" >/dev/null || break
		sleep 0.1
	done
	svscan_pid "$house" >/dev/null && fail "svscan ($pid) did not stop within 30 s"
	rm -f "$house/svscan.pid"
}

orphans_stop() {
	local house=$1 dir
	for _ in $(seq 300); do
		[ -n "$(supervised "$house")" ] || return 0
		supervised "$house" | while IFS= read -r dir; do
			"$house/bin/svc" -dx "$dir"
		done
		sleep 0.1
	done
	fail "still there after 30 s:" $(supervised "$house")
}
