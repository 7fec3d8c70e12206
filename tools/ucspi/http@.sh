#!/bin/sh
# http@ [host [page [port]]] - the body of a page. awk, not sed: the last line
# gets its newline.
here=$(readlink -f "$0")
export PATH="${here%/*}:$PATH"

tcpclient -RHl0 -- "${1-0}" "${3-80}" sh -c '
	printf "GET /%s HTTP/1.0\nHost: %s:%s\n\n" "$2" "$1" "$3" | addcr >&7
	exec delcr <&6
' http@ "${1-0}" "${2-}" "${3-80}" | awk 'body { print } /^$/ { body = 1 }'
