#!/bin/sh
# tcpcat host port - what the host sends.
here=$(readlink -f "$0")
export PATH="${here%/*}:$PATH"

exec tcpclient -RHl0 -- "${1-0}" "${2-17}" sh -c 'exec cat <&6'
