#!/bin/sh
# mconnect [host [port]] - talk to an SMTP server.
here=$(readlink -f "$0")
export PATH="${here%/*}:$PATH"

exec tcpclient -RHl0 -- "${1-0}" "${2-25}" mconnect-io
