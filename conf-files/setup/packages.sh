# What the machine must have, through its own package manager.

BUILD_PACKAGES="gcc make libc6-dev libcdb-dev libcrypt-dev"
TEST_PACKAGES="libcmocka-dev python3 python3-pytest python3-pexpect
	daemontools ucspi-tcp swaks msmtp fetchmail getmail6 strace
	e2fsprogs xfsprogs btrfs-progs mount util-linux
	libicu72 libdb5.3 libsasl2-2 libnsl2 mandoc procps iproute2"

# Ubuntu and later Debians name their ICU otherwise.
newest_icu() {
	apt-cache search --names-only '^libicu[0-9]+$' 2>/dev/null |
		sed 's/ .*//' | sort | tail -1
}

is_installed() {
	dpkg-query -W -f '${Status}' "$1" 2>/dev/null |
		grep -q 'install ok installed'
}

# need_packages NAME ...: install those that are missing.
need_packages() {
	local missing="" name
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		missing_commands "$@"
		return
	fi
	for name in "$@"; do
		if [[ $name == libicu* ]] && ! apt-cache show "$name" >/dev/null 2>&1; then
			name=$(newest_icu)
		fi
		[ -z "$name" ] || is_installed "$name" || missing="$missing $name"
	done
	[ -n "$missing" ] || return 0
	say "installing:$missing"
	[ -n "$(find /var/lib/apt/lists -name '*Packages*' -print -quit 2>/dev/null)" ] ||
		as_root apt-get -q update >/dev/null || fail "apt-get update failed"
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
		--no-install-recommends install $missing >/dev/null ||
		{ as_root apt-get -q update >/dev/null &&
			as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
				--no-install-recommends install $missing >/dev/null; } ||
		fail "could not install:$missing"
}

builds_statically() {
	local result=0 program
	program=$(mktemp)
	printf '%s\n' '#include <cdb.h>' '#include <crypt.h>' 'int main(void) {' \
		'return crypt("", "") == 0 && cdb_seek(0, "", 0, 0) != 0; }' |
		gcc -static-pie -x c -o "$program" - -lcdb -lcrypt 2>/dev/null || result=1
	rm -f "$program"
	return $result
}

# Another distribution: go on when the tools are there, else say what we want.
missing_commands() {
	if command -v make >/dev/null && builds_statically; then
		return 0
	fi
	fail "no apt-get here. Please install a C compiler, GNU make, tinycdb" \
		"and libxcrypt with headers and static libraries (on Debian: $*)"
}

# The load generators of Postfix, unpacked and never installed as a service.
PEER=.peer
need_peer() {
	[ -x "$PEER/postfix/usr/sbin/smtp-source" ] && return 0
	command -v apt-get >/dev/null || fail "the tests want Postfix's smtp-source"
	mkdir -p "$PEER/download"
	(cd "$PEER/download" && apt-get -qq download postfix >/dev/null 2>&1) ||
		{ as_root apt-get -q update >/dev/null &&
			(cd "$PEER/download" && apt-get -qq download postfix >/dev/null 2>&1); } ||
		fail "could not download the package postfix"
	dpkg-deb -x "$PEER"/download/postfix_*.deb "$PEER/postfix"
}
