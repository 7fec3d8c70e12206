# ./setup run and its companions: a house in ./instance that really runs.

INSTANCE=$TOP/instance
DOMAIN=example.test

# instance_dir: where the instance lies, following the link.
instance_dir() {
	readlink -f "$INSTANCE"
}

# instance_place: decide where; prints the directory.
instance_place() {
	if [ -e "$INSTANCE" ]; then
		instance_dir
	elif [ "$(id -u)" -ne 0 ] || is_reachable "$TOP"; then
		mkdir -p "$INSTANCE"
		instance_dir
	else
		local dir
		dir=$(mktemp -d /var/tmp/valija-instance.XXXXXX)
		ln -s "$dir" "$INSTANCE"
		echo "$dir"
	fi
}

is_port_taken() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_port FIRST: the first one from there that nobody listens on.
free_port() {
	local port=$1
	while is_port_taken "$port"; do
		port=$((port + 1))
	done
	echo "$port"
}

new_password() {
	LC_ALL=C tr -dc 'a-km-z2-9' </dev/urandom 2>/dev/null | head -c 12 || true
}

port_of() {
	cat "$1/service/$2/env/PORT"
}

# wait_port PORT: until somebody listens, at most 30 s.
wait_port() {
	for _ in $(seq 600); do
		is_port_taken "$1" && return 0
		sleep 0.05
	done
	fail "nothing listens on port $1; see $(instance_dir)/service/*/log/main/current"
}

add_mailboxes() {
	local house=$1 name password
	[ -d "$house/vpopmail/domains/$DOMAIN" ] ||
		"$house/bin/vadddomain" -O "$DOMAIN" "$(new_password)"
	: >"$house/mailboxes"
	chmod 0600 "$house/mailboxes"
	for name in ana luis; do
		password=$(new_password)
		"$house/bin/vadduser" "$name@$DOMAIN" "$password"
		printf '%s %s\n' "$name@$DOMAIN" "$password" >>"$house/mailboxes"
	done
}

password_of() {
	awk -v who="$2" '$1 == who { print $2 }' "$1/mailboxes"
}

# ---- the message that goes through ----

# smtp_expect CODE: read one reply (all its lines) from descriptor 3.
smtp_expect() {
	local line
	while IFS= read -r -t 30 line <&3; do
		line=${line%$'\r'}
		[ "${line:3:1}" = - ] && continue
		[ "${line:0:3}" = "$1" ] || fail "SMTP said: $line"
		REPLY=$line
		return 0
	done
	fail "the SMTP connection ended"
}

smtp_send() {
	local port=$1 from=$2 to=$3 token=$4
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	smtp_expect 220
	printf 'EHLO setup\r\n' >&3 && smtp_expect 250
	printf 'MAIL FROM:<%s>\r\n' "$from" >&3 && smtp_expect 250
	printf 'RCPT TO:<%s>\r\n' "$to" >&3 && smtp_expect 250
	printf 'DATA\r\n' >&3 && smtp_expect 354
	printf 'From: <%s>\r\nTo: <%s>\r\nSubject: hello %s\r\n\r\nIt works.\r\n.\r\n' \
		"$from" "$to" "$token" >&3
	smtp_expect 250
	ACCEPTED=$REPLY
	printf 'QUIT\r\n' >&3 && smtp_expect 221
	exec 3>&-
}

pop_line() {
	IFS= read -r -t 30 REPLY <&4 || fail "the POP3 connection ended"
	REPLY=${REPLY%$'\r'}
}

pop_command() {
	printf '%s\r\n' "$1" >&4
	pop_line
	[ "${REPLY:0:3}" = +OK ] || fail "POP3 said to ${1%% *}: $REPLY"
}

# pop_count PORT WHO PASSWORD: log in, STAT; leaves the session on 4.
pop_login() {
	exec 4<>"/dev/tcp/127.0.0.1/$1"
	pop_line
	pop_command "USER $2"
	pop_command "PASS $3"
	pop_command STAT
	set -- $REPLY
	COUNT=$2
}

# Show message 1 of the session and check that it holds the token.
pop_show() {
	local token=$1 found=""
	pop_command "RETR $COUNT"
	while pop_line && [ "$REPLY" != . ]; do
		printf '               | %s\n' "$REPLY"
		case $REPLY in *"$token"*) found=yes ;; esac
	done
	pop_command "DELE $COUNT"
	pop_command QUIT
	exec 4>&-
	[ -n "$found" ] || fail "that is not the message that was sent"
}

wait_mail() {
	for _ in $(seq 300); do
		pop_login "$@"
		[ "$COUNT" -gt 0 ] && return 0
		pop_command QUIT
		exec 4>&-
		sleep 0.1
	done
	fail "the message did not arrive within 30 s; see the logs under $(instance_dir)/service"
}

demonstrate() {
	local house=$1 smtp pop3 token
	smtp=$(port_of "$house" qmail-smtpd)
	pop3=$(port_of "$house" qmail-pop3d)
	token=$(new_password)
	smtp_send "$smtp" "ana@$DOMAIN" "luis@$DOMAIN" "$token"
	step "sent from ana@$DOMAIN to luis@$DOMAIN by SMTP: $ACCEPTED"
	wait_mail "$pop3" "luis@$DOMAIN" "$(password_of "$house" "luis@$DOMAIN")"
	step "it is in luis's Maildir"
	pop_show "$token"
	step "read back by POP3, the same message"
}

show_table() {
	local house=$1
	cat <<-E

		  what            where                    mailboxes and passwords
		  SMTP            127.0.0.1:$(printf '%-5s' "$(port_of "$house" qmail-smtpd)")          $(sed -n 1p "$house/mailboxes")
		  POP3            127.0.0.1:$(printf '%-5s' "$(port_of "$house" qmail-pop3d)")          $(sed -n 2p "$house/mailboxes")

		  logs            $house/service/*/log/main/current
		  control files   $house/control
		  queue           $house/queue

		next:  ./setup status
		       echo to: luis@$DOMAIN | $house/bin/qmail-inject
		       $house/bin/vadduser you@$DOMAIN
		       tail -f $house/service/qmail-send/log/main/current
		       ./setup check      ./setup stop      ./setup clean
	E
}

setup_run() {
	local house
	if [ -e "$INSTANCE" ] && svscan_pid "$(instance_dir)" >/dev/null; then
		say "the instance is already running:"
		show_table "$(instance_dir)"
		return
	fi
	# shellcheck disable=SC2086
	need_packages $BUILD_PACKAGES
	step "everything the build needs is here"
	make -s -j"$(nproc)" all >/dev/null
	step "built"
	house=$(instance_place)
	if [ ! -e "$house/mailboxes" ]; then
		house_make "$house" build/bin "mail.$DOMAIN"
		services_make "$house" "$(free_port "${SMTP_PORT-2525}")" \
			"$(free_port "${POP3_PORT-2110}")"
		step "instance in $house"
		add_mailboxes "$house" >/dev/null
		step "domain $DOMAIN with ana, luis and postmaster"
	else
		house_programs "$house" build/bin
		step "instance in $house, as it was"
	fi
	is_single "$house" &&
		say "              (one uid, $(id -un 2>/dev/null || id -u), for everything: not root)"
	services_start "$house"
	wait_port "$(port_of "$house" qmail-smtpd)"
	wait_port "$(port_of "$house" qmail-pop3d)"
	step "svscan has started $SERVICES"
	demonstrate "$house"
	show_table "$house"
}

need_instance() {
	[ -e "$INSTANCE" ] || fail "there is no instance; ./setup run makes one"
}

setup_status() {
	local house
	need_instance
	house=$(instance_dir)
	for name in $SERVICES; do
		"$house/bin/svstat" "$house/service/$name" "$house/service/$name/log"
	done
	"$house/bin/qmail-qstat"
}

setup_stop() {
	need_instance
	if svscan_pid "$(instance_dir)" >/dev/null; then
		services_stop "$(instance_dir)"
		say "stopped"
	else
		say "it was not running"
	fi
}

setup_clean() {
	local house
	if [ -e "$INSTANCE" ] || [ -L "$INSTANCE" ]; then
		house=$(instance_dir)
		services_stop "$house"
		rm -rf "$house"
		rm -f "$INSTANCE" 2>/dev/null || true
		rm -rf "$INSTANCE"
	fi
	say "clean"
}
