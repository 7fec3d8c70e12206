"""Postfix beside us: Debian's package, unpacked and never installed.

It runs from a directory of its own, as a system user that has nothing else
to do on this machine, with virtual(8) writing Maildirs, on a loopback port.
"""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))

from house import free_port, listens  # noqa: E402
from waiting import wait_for  # noqa: E402

PACKAGE = ROOT / ".peer/postfix"
OWNER = "games"  # mail_owner: an account that Debian has and nobody uses
GROUP = "news"   # setgid_group: likewise
DOMAIN = "example.test"
NOBODY = (65534, 65534)

MAIN = """
compatibility_level = 3.6
queue_directory = {top}/queue
data_directory = {top}/data
daemon_directory = {lib}/sbin
command_directory = {package}/usr/sbin
shlib_directory = {lib}
meta_directory = {top}/etc
mail_owner = {owner}
setgid_group = {group}
default_privs = nobody
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = mail.example.test
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = example.test
virtual_mailbox_base = {top}/mail
virtual_mailbox_maps = texthash:{top}/etc/boxes
transport_maps = texthash:{top}/etc/routes
disable_dns_lookups = yes
smtp_host_lookup = native
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
import_environment = MAIL_CONFIG LD_LIBRARY_PATH
export_environment = MAIL_CONFIG LD_LIBRARY_PATH PATH
maillog_file = {top}/log
maillog_file_prefixes = {top}
"""

MASTER = """
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

QUEUE = ("active bounce corrupt defer deferred flush hold incoming maildrop "
         "pid private public saved trace").split()


class Postfix:
    def __init__(self, top, boxes=("luis",), routes=None):
        """routes: domain (or .domain, for all below it) -> loopback port."""
        self.top = pathlib.Path(top)
        self.port = free_port()
        self.master = None
        owner = pwd.getpwnam(OWNER)
        for folder in ("etc", "queue", "data", "mail"):
            (self.top / folder).mkdir(parents=True)
        self.top.chmod(0o755)
        for folder in QUEUE:
            path = self.top / "queue" / folder
            path.mkdir()
            path.chmod(0o755 if folder == "pid" else 0o700)
            if folder != "pid":
                os.chown(path, owner.pw_uid, -1)
        os.chown(self.top / "data", owner.pw_uid, -1)
        os.chown(self.top / "mail", *NOBODY)
        for box in boxes:
            self.make_maildir(box)
        (self.top / "etc/boxes").write_text(
            "".join(f"{box}@{DOMAIN} {box}/\n" for box in boxes))
        (self.top / "etc/routes").write_text(
            "".join(f"{domain} smtp:[127.0.0.1]:{port}\n"
                    for domain, port in (routes or {}).items()))
        words = dict(top=self.top, lib=PACKAGE / "usr/lib/postfix", package=PACKAGE,
                     owner=OWNER, group=GROUP, port=f"127.0.0.1:{self.port}")
        (self.top / "etc/main.cf").write_text(MAIN.format(**words))
        (self.top / "etc/master.cf").write_text(MASTER.format(**words))
        (self.top / "etc/dynamicmaps.cf").write_text("")

    def maildir(self, box="luis"):
        return self.top / "mail" / box / "new"

    def make_maildir(self, box):
        for name in ("", "tmp", "new", "cur"):
            path = self.top / "mail" / box / name
            path.mkdir(0o700)
            os.chown(path, *NOBODY)

    def start(self):
        env = {"PATH": os.environ["PATH"], "MAIL_CONFIG": str(self.top / "etc"),
               "LD_LIBRARY_PATH": str(PACKAGE / "usr/lib/postfix")}
        self.master = subprocess.Popen(
            [PACKAGE / "usr/lib/postfix/sbin/master", "-d", "-c", self.top / "etc"],
            env=env, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: listens(self.port), 20, "Postfix")

    def stop(self):
        if self.master:
            self.master.send_signal(signal.SIGTERM)
            self.master.wait(20)

    def remove(self):
        shutil.rmtree(self.top, ignore_errors=True)
