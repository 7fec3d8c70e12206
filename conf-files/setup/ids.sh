# Who runs what: the roles, and the numbers they get.

# Role and group, in the order of conf-users. qmailq and qmails alone share
# the group of the queue.
ROLES="alias:nofiles qmaild:nofiles qmaill:nofiles root:root qmailp:nofiles
	qmailq:qmailq qmailr:qmail qmails:qmailq qmailt:nofiles qmaila:nofiles
	vpopmail:vchkpw"
GROUPS_WANTED="qmail nofiles qmailq vchkpw"

# The first of 64 numbers that no user or group has.
free_ids() {
	local base numbers
	for ((base = 60600; base < 61100; base += 64)); do
		numbers=$(seq "$base" $((base + 63)))
		# shellcheck disable=SC2086
		[ -n "$(getent passwd $numbers || true)" ] ||
			[ -n "$(getent group $numbers || true)" ] ||
			{ echo "$base" && return; }
	done
	fail "no 64 free user ids between 60600 and 61100"
}

# numeric_ids: users/ids for a house of unnamed numbers (root).
numeric_ids() {
	local base=$1 pair role group number=1
	declare -A gid=()
	gid[root]=0
	for group in $GROUPS_WANTED; do
		gid[$group]=$((base + 40 + number))
		printf 'group:%s %d\n' "$group" "${gid[$group]}"
		number=$((number + 1))
	done
	number=1
	for pair in $ROLES; do
		role=${pair%%:*} group=${pair##*:}
		if [ "$role" = root ]; then
			printf 'root 0 0\n'
		else
			printf '%s %d %d\n' "$role" $((base + number)) "${gid[$group]}"
		fi
		number=$((number + 1))
	done
}

# single_ids: one uid for everything.
single_ids() {
	printf 'single %d %d\n' "$(id -u)" "$(id -g)"
}

# named_ids: from the machine's users, by the names in conf-users.
named_ids() {
	local pair role group name line=1 entry
	for group in $GROUPS_WANTED; do
		name=$(sed -n "$(group_line "$group")p" conf-files/conf-groups)
		entry=$(getent group "$name") || fail "no group $name: see INSTALL"
		printf 'group:%s %s\n' "$group" "$(cut -d: -f3 <<<"$entry")"
	done
	for pair in $ROLES; do
		role=${pair%%:*}
		name=$(sed -n "${line}p" conf-files/conf-users)
		entry=$(getent passwd "$name") || fail "no user $name: see INSTALL"
		printf '%s %s %s\n' "$role" "$(cut -d: -f3 <<<"$entry")" \
			"$(cut -d: -f4 <<<"$entry")"
		line=$((line + 1))
	done
}

group_line() {
	local n=1 group
	for group in $GROUPS_WANTED; do
		[ "$group" = "$1" ] && echo $n && return
		n=$((n + 1))
	done
}

# ids_of HOUSE ROLE: "uid gid"; ids_group HOUSE GROUP: "gid".
ids_of() {
	awk -v role="$2" '$1 == "single" || $1 == role { print $2, $3; exit }' \
		"$1/users/ids"
}
ids_group() {
	awk -v want="group:$2" '$1 == "single" { print $3; exit }
		$1 == want { print $2; exit }' "$1/users/ids"
}
is_single() {
	grep -q '^single ' "$1/users/ids"
}
