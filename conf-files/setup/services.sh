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

# as HOUSE ROLE: tcpserver's options to become that user.
as() {
	local ids
	is_single "$1" && return
	ids=$(ids_of "$1" "$2")
	printf -- '-u %s -g %s ' "${ids% *}" "${ids#* }"
}

service_env() {
	local dir=$1/service/$2/env pair
	shift 2
	for pair in "$@"; do
		printf '%s\n' "${pair#*=}" | put_file "$dir/${pair%%=*}"
	done
}

# services_make HOUSE SMTP-PORT POP3-PORT [IP]
services_make() {
	local house=$1 smtp=$2 pop3=$3 ip=${4-127.0.0.1}

	service "$house" qmail-queued <<-E
		exec qmail-queued
	E
	service "$house" qmail-send <<-E
		exec env - PATH="\$PATH" \${VALIJA_TEST_CLOCK+"VALIJA_TEST_CLOCK=\$VALIJA_TEST_CLOCK"} qmail-start ./Maildir/
	E
	service "$house" qmail-smtpd <<-E
		exec envdir ./env sh -c '
			exec tcpserver -vDRH -l "\`sed 1q $house/control/me\`" -x "$house/control/tcp.smtp.cdb" \\
			-c "\${CONCURRENCY-100}" -b "\${BACKLOG-500}" \\
			$(as "$house" qmaild)\\
			-- "\${IP-127.0.0.1}" "\${PORT-25}" qmail-smtpd
		'
	E
	service_env "$house" qmail-smtpd "IP=$ip" "PORT=$smtp"
	service "$house" qmail-pop3d <<-E
		exec envdir ./env sh -c '
			exec tcpserver -vDRHl0 -c "\${CONCURRENCY-100}" -b "\${BACKLOG-500}" \\
			-- "\${IP-127.0.0.1}" "\${PORT-110}" qmail-popup \\
			"\${POPUPHOST-\`sed 1q $house/control/me\`}" \\
			vchkpw qmail-pop3d "\${MAILDIRNAME-Maildir}"
		'
	E
	service_env "$house" qmail-pop3d "IP=$ip" "PORT=$pop3"
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
