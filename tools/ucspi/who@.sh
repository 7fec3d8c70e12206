#!/bin/sh
# who@ [host] - what the host's systat service says, in visible characters.
here=$(readlink -f "$0")
export PATH="${here%/*}:$PATH"

tcpclient -RHl0 -- "${1-0}" 11 sh -c 'exec delcr <&6' | cat -v
