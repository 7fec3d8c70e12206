"""The job protocol (doc/delivery.md) as qmail-send speaks it."""

import array
import os
import socket
import struct
import subprocess

PROTOCOL, CAPACITY, NUMBER, QUEUE, ID, SENDER, HOST, SIZE = range(1, 9)
MESSAGE, BODY, SMTPUTF8, RECIPIENT = 9, 10, 11, 16
USER, HOME, LOCAL, DASH, EXT, DOMAIN, DEFAULT, DISKS, OUTCOME = range(24, 33)
HOP_FAILED = 34
VERSION = b"valija-job 1"
IDENTITY = b"00112233445566778899aabbccddeeff"


def record(kind, value):
    if isinstance(value, int):
        value = struct.pack("<Q", value)
    return struct.pack("<QQ", kind, len(value)) + value


def parse(packet):
    at = 0
    while at < len(packet):
        kind, size = struct.unpack_from("<QQ", packet, at)
        assert at + 16 + size <= len(packet)
        yield kind, packet[at + 16:at + 16 + size]
        at += 16 + size


def memfd(message):
    import fcntl
    fd = os.memfd_create("message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as out:
        out.write(message)
    fcntl.fcntl(fd, 1033, 1 | 2 | 4 | 8)  # F_ADD_SEALS: all of them
    return fd


def job(number, message, sender, recipients, *, id=1700000000000000, host=None,
        as_memfd=None, body=None, smtputf8=False, extra=b""):
    """(packet, descriptor or -1)"""
    packet = record(PROTOCOL, VERSION) + record(NUMBER, number)
    packet += record(QUEUE, IDENTITY) + record(ID, id) + record(SENDER, sender)
    if host is not None:
        packet += record(HOST, host)
    packet += record(SIZE, len(message))
    if body:
        packet += record(BODY, body)
    if smtputf8:
        packet += record(SMTPUTF8, b"")
    for n, address in recipients:
        packet += record(RECIPIENT, struct.pack("<Q", n) + address)
    packet += extra
    if as_memfd is None:
        as_memfd = len(message) > 65536
    if as_memfd:
        return packet, memfd(message)
    return packet + record(MESSAGE, message), -1


class Peer:
    """A program of the job protocol, and our end of its descriptor 0."""

    def __init__(self, argv, timeout=30, **kw):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400000)
        self.sock.settimeout(timeout)
        self.process = subprocess.Popen([str(a) for a in argv], stdin=theirs,
                                        stderr=subprocess.PIPE, **kw)
        theirs.close()

    def hello(self):
        fields = dict(parse(self.sock.recv(200000)))
        assert fields[PROTOCOL] == VERSION
        return struct.unpack("<Q", fields[CAPACITY])[0]

    def send(self, packet, fd=-1):
        fds = []
        if fd != -1:
            fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.sock.sendmsg([packet], fds)
        if fd != -1:
            os.close(fd)

    def result(self):
        """(number, {recipient: (letter, text)})"""
        packet = self.sock.recv(200000)
        if not packet:
            raise EOFError("no result: " + self.process.communicate()[1].decode())
        number, outcomes = None, {}
        self.hop_failed = False  # what the last result said of it
        for kind, value in parse(packet):
            if kind == NUMBER:
                number = struct.unpack("<Q", value)[0]
            elif kind == OUTCOME:
                recipient = struct.unpack_from("<Q", value)[0]
                outcomes[recipient] = (value[8:9].decode(), value[9:].decode("latin-1"))
            elif kind == HOP_FAILED:
                self.hop_failed = True
        return number, outcomes

    def close(self):
        """Say that no job will come; returns the exit code and the log."""
        self.sock.shutdown(socket.SHUT_WR)
        log = self.process.communicate(timeout=30)[1].decode(errors="replace")
        self.sock.close()
        return self.process.returncode, log
