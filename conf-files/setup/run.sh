# ./setup run and its companions: a house in ./instance that really runs.

INSTANCE=$TOP/instance
DOMAIN=example.test

# instance_dir: where the instance lies, following the link.
instance_dir() {
	readlink -f "$INSTANCE"
}

# Paths stand in service scripts and .qmail lines, where a blank ends a word.
is_plain() {
	local LC_ALL=C
	[[ $1 != *[!A-Za-z0-9/._+@%,-]* ]]
}

# instance_place: decide where; prints the directory.
instance_place() {
	local dir
	if [ -e "$INSTANCE" ]; then
		instance_dir
	elif is_plain "$TOP" && { [ "$(id -u)" -ne 0 ] || is_reachable "$TOP"; }; then
		rm -f "$INSTANCE" # a link to what is gone
		mkdir -p "$INSTANCE"
		instance_dir
	else
		dir=$(mktemp -d /var/tmp/valija-instance.XXXXXX)
		ln -sfn "$dir" "$INSTANCE"
		echo "$dir"
	fi
}

# Its owner alone works on an instance: as root, what another user's svscan
# starts would run as root; as a user, root's cannot even be looked at.
need_own_instance() {
	local owner
	owner=$(stat -L -c %u "$INSTANCE")
	[ "$owner" -eq "$(id -u)" ] ||
		fail "the instance in $(instance_dir) belongs to" \
			"$(id -un "$owner" 2>/dev/null || echo "uid $owner"):" \
			"be that user to call ./setup $command"
}

# One ./setup at a time works on the instance; the lock is descriptor 9. Nobody
# else may open it, and so hold it.
lock_instance() {
	[ -w "$TOP" ] || fail "$TOP belongs to somebody else; take a copy of it"
	local mask
	mask=$(umask)
	umask 077
	exec 9>"$TOP/.setup.lock"
	umask "$mask"
	flock -n 9 || fail "another ./setup is at work here"
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

# account PROGRAM ARGUMENT ...: a vpopmail command, which says on 1 what is
# wrong; 0, or its exit code if that is among those expected.
account() {
	local expected=$1 said result=0
	shift
	said=$("$@") || result=$?
	case " 0 $expected " in
	*" $result "*) return $result ;;
	esac
	fail "${1##*/}: $said"
}

# What a run that was interrupted has added is there already: 243, 254.
# "mailboxes" comes last: with it the instance is complete.
add_mailboxes() {
	local house=$1 name password
	account 243 "$house/bin/vadddomain" -O "$DOMAIN" "$(new_password)" || true
	rm -f "$house/mailboxes.new"
	(umask 077 && : >"$house/mailboxes.new")
	for name in ana luis; do
		password=$(new_password)
		account 254 "$house/bin/vadduser" "$name@$DOMAIN" "$password" ||
			account "" "$house/bin/vpasswd" "$name@$DOMAIN" "$password"
		printf '%s %s\n' "$name@$DOMAIN" "$password" >>"$house/mailboxes.new"
	done
	mv "$house/mailboxes.new" "$house/mailboxes"
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

# pop_login PORT WHO PASSWORD: the session on 4, the number of messages in COUNT.
pop_login() {
	exec 4<>"/dev/tcp/127.0.0.1/$1"
	pop_line
	pop_command "USER $2"
	pop_command "PASS $3"
	pop_command STAT
	set -- $REPLY
	COUNT=$2
}

pop_quit() {
	pop_command QUIT
	exec 4>&-
}

# pop_read NUMBER: the lines of a message into MESSAGE.
pop_read() {
	MESSAGE=()
	pop_command "RETR $1"
	while pop_line && [ "$REPLY" != . ]; do
		MESSAGE+=("$REPLY")
	done
}

# wait_mail BEFORE TOKEN PORT WHO PASSWORD: until the mailbox holds the message
# with the token, behind the BEFORE ones that were there; it is in MESSAGE, its
# number in FOUND, and the session goes on.
wait_mail() {
	local before=$1 token=$2
	shift 2
	for _ in $(seq 300); do
		pop_login "$@"
		for ((FOUND = COUNT; FOUND > before; FOUND--)); do
			pop_read "$FOUND"
			case "${MESSAGE[*]}" in *"$token"*) return 0 ;; esac
		done
		pop_quit
		sleep 0.1
	done
	fail "the message did not arrive within 30 s; see the logs under $(instance_dir)/service"
}

demonstrate() {
	local house=$1 smtp pop3 token luis before
	smtp=$(port_of "$house" qmail-smtpd)
	pop3=$(port_of "$house" qmail-pop3d)
	token=$(new_password)
	luis=$(password_of "$house" "luis@$DOMAIN")
	pop_login "$pop3" "luis@$DOMAIN" "$luis"
	before=$COUNT
	pop_quit
	smtp_send "$smtp" "ana@$DOMAIN" "luis@$DOMAIN" "$token"
	step "sent from ana@$DOMAIN to luis@$DOMAIN by SMTP: $ACCEPTED"
	wait_mail "$before" "$token" "$pop3" "luis@$DOMAIN" "$luis"
	step "it is in luis's Maildir"
	printf '               | %s\n' "${MESSAGE[@]}"
	pop_command "DELE $FOUND"
	pop_quit
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

# free_ports HOUSE: move the services whose port somebody else has by now.
free_ports() {
	local house=$1 name port free
	for name in qmail-smtpd qmail-pop3d; do
		port=$(port_of "$house" "$name")
		free=$(free_port "$port")
		[ "$free" = "$port" ] && continue
		echo "$free" >"$house/service/$name/env/PORT"
		say "              (port $port is taken: $name moves to $free)"
	done
}

setup_run() {
	local house
	[ ! -e "$INSTANCE" ] || need_own_instance
	# shellcheck disable=SC2086
	need_packages $BUILD_PACKAGES
	lock_instance
	if [ -e "$INSTANCE" ] && svscan_pid "$(instance_dir)" >/dev/null; then
		say "the instance is already running:"
		show_table "$(instance_dir)"
		return
	fi
	step "everything the build needs is here"
	make -s -j"$(nproc)" all >/dev/null
	step "built"
	house=$(instance_place)
	services_stop "$house" # what a killed svscan left
	if [ ! -e "$house/mailboxes" ]; then
		house_make "$house" build/bin "mail.$DOMAIN"
		services_make "$house" "$(free_port "${SMTP_PORT-2525}")" \
			"$(free_port "${POP3_PORT-2110}")"
		step "instance in $house"
		add_mailboxes "$house"
		step "domain $DOMAIN with ana, luis and postmaster"
	else
		house_programs "$house" build/bin
		step "instance in $house, as it was"
	fi
	is_single "$house" &&
		say "              (one uid, $(id -un 2>/dev/null || id -u), for everything: not root)"
	free_ports "$house"
	services_start "$house"
	wait_port "$(port_of "$house" qmail-smtpd)"
	wait_port "$(port_of "$house" qmail-pop3d)"
	step "svscan has started $SERVICES"
	demonstrate "$house"
	show_table "$house"
}

need_instance() {
	[ -e "$INSTANCE" ] || fail "there is no instance; ./setup run makes one"
	need_own_instance
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
	local house
	need_instance
	lock_instance
	house=$(instance_dir)
	if svscan_pid "$house" >/dev/null || [ -n "$(supervised "$house")" ]; then
		services_stop "$house"
		say "stopped"
	else
		say "it was not running"
	fi
}

setup_clean() {
	local house
	[ ! -e "$INSTANCE" ] || need_own_instance
	lock_instance
	if [ -e "$INSTANCE" ]; then
		house=$(instance_dir)
		services_stop "$house"
		rm -rf "$house"
	fi
	rm -f "$INSTANCE" # where it was a link
	rm -f "$TOP/.setup.lock"
	say "clean"
}
