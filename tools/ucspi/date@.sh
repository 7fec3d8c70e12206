#!/bin/sh
# date@ [host] - what the host's daytime service says, in visible characters.
here=$(readlink -f "$0")
export PATH="${here%/*}:$PATH"

tcpclient -RHl0 -- "${1-0}" 13 sh -c 'exec delcr <&6' | cat -v
