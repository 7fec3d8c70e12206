# How setup speaks: one line a step, with the time it took; errors on 2.

# EPOCHREALTIME has the locale's decimal point, which may be a comma.
LAST_US=${EPOCHREALTIME//[!0-9]/}

say() {
	printf '%s\n' "$*"
}

# step TEXT: what has just been done, and how long it took.
step() {
	local now=${EPOCHREALTIME//[!0-9]/}
	printf '  %7d ms  %s\n' $(((now - LAST_US) / 1000)) "$*"
	LAST_US=$now
}

fail() {
	printf 'setup: %s\n' "$*" >&2
	exit 111
}

# as_root COMMAND ...: directly, or through sudo.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "this needs root and there is no sudo; as root run: $*"
	fi
}
