#!/bin/sh
# finger@ [host [user]] - what the host says of a user, in visible characters.
here=$(readlink -f "$0")
export PATH="${here%/*}:$PATH"

tcpclient -RHl0 -- "${1-0}" 79 sh -c '
	printf "%s\n" "$1" | addcr >&7
	exec delcr <&6
' finger@ "${2-}" | cat -v
