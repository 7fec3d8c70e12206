"""Service directories as an administrator made them in 2003, by the book, on a
machine of their own: run files, accounts, /service, tcp.smtp and all."""

import pathlib
import subprocess

import pytest

from daemontools import write_script
from house import DOMAIN, PASSWORD

# What was typed then; {limit} is the one figure that varied.
RC = """
exec env - PATH="/var/qmail/bin:$PATH" \\
qmail-start "`cat /var/qmail/control/defaultdelivery`"
"""
SEND = "exec /var/qmail/rc\n"
LOG = "exec /usr/local/bin/setuidgid qmaill /usr/local/bin/multilog t s100000 n20 /var/log/{name} 2>&1\n"
SMTPD = """
QMAILDUID=`id -u qmaild`
NOFILESGID=`id -g qmaild`
MAXSMTPD=`cat /var/qmail/control/concurrencyincoming`
LOCAL=`head -n 1 /var/qmail/control/me`

if [ -z "$QMAILDUID" -o -z "$NOFILESGID" -o -z "$MAXSMTPD" -o -z "$LOCAL" ]; then
    echo QMAILDUID, NOFILESGID, MAXSMTPD, or LOCAL is unset in
    echo /var/qmail/supervise/qmail-smtpd/run
    exit 1
fi

if [ ! -f /var/qmail/control/rcpthosts ]; then
    echo "No /var/qmail/control/rcpthosts!"
    exit 1
fi

exec /usr/local/bin/softlimit -m {limit} \\
    /usr/local/bin/tcpserver -v -R -l "$LOCAL" -x /etc/tcp.smtp.cdb -c "$MAXSMTPD" \\
        -u "$QMAILDUID" -g "$NOFILESGID" 0 smtp /var/qmail/bin/qmail-smtpd 2>&1
"""
POP3D = """
exec /usr/local/bin/softlimit -m {limit} \\
    /usr/local/bin/tcpserver -v -R -H -l 0 0 110 /var/qmail/bin/qmail-popup \\
        mail.example.com /home/vpopmail/bin/vchkpw /var/qmail/bin/qmail-pop3d Maildir 2>&1
"""
TCP_SMTP = '127.0.0.66:deny\n127.:allow,RELAYCLIENT=""\n'
ACCOUNTS = ("alias", "qmaild", "qmaill", "qmailp", "qmailq", "qmailr", "qmails")

# With the programs of $1 as /var/qmail/bin, on a file system at $2.
MACHINE = r"""
set -e
house=$1 root=$2 driver=$3
ip link set lo up
mount -t tmpfs none "$root"
cd "$root"
mkdir usr proc dev sys etc var var/qmail var/log service home home/vpopmail tmp run ".$house" -p
chmod 1777 tmp
for each in usr proc dev; do mount --rbind /$each $each; done
for each in bin sbin lib lib64; do
    if [ -L /$each ]; then cp -P /$each .; else mkdir $each; mount --rbind /$each $each; fi
done
cp -a /etc/. etc
mount --bind "$house" var/qmail
mount --bind "$house" ".$house"
mount -t tmpfs none usr/local/bin
for program in "$house"/bin/*; do ln -s /var/qmail/bin/"${program##*/}" usr/local/bin; done
ln -s /var/qmail/bin home/vpopmail/bin
cp "$house"/made/passwd "$house"/made/group "$house"/made/tcp.smtp etc
for each in qmail smtpd pop3d; do mkdir var/log/$each; chown "$(chroot . /usr/bin/id -u qmaill)" var/log/$each; done
cp "$driver" tmp/driver.py
exec chroot . env - PATH=/usr/local/bin:/usr/bin:/bin /usr/bin/python3 -B /tmp/driver.py "$4" "$5" "$6"
"""

DRIVER = r"""
import glob, os, poplib, re, signal, smtplib, subprocess, sys, time

domain, password, services = sys.argv[1], sys.argv[2], sys.argv[3].split(",")

def wait_for(condition, what):
    end = time.monotonic() + 60
    while True:
        try:
            if result := condition():
                return result
        except (OSError, smtplib.SMTPException, poplib.error_proto):
            pass
        if time.monotonic() > end:
            raise SystemExit(f"waited for {what}\n" + "\n".join(
                f"{name}: {open(name, errors='replace').read()}"
                for name in glob.glob("/var/log/*/current") + ["/tmp/svscan"]))
        time.sleep(0.05)

def typed(script):
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout

def log(name):
    return "".join(open(path).read() for path in sorted(glob.glob(f"/var/log/{name}/@*")) +
                   [f"/var/log/{name}/current"])

typed("cd /etc; tcprules /etc/tcp.smtp.cdb /etc/tcp.smtp.tmp < /etc/tcp.smtp")
typed("".join(f"ln -s /var/qmail/supervise/{name} /service\n" for name in services))
svscan = subprocess.Popen(["sh", "-c", "exec svscan /service >/tmp/svscan 2>&1"])
smtp = wait_for(lambda: smtplib.SMTP("127.0.0.1", 25, timeout=30), "port 25")
smtp.ehlo("client.example")
smtp.sendmail(f"ana@{domain}", [f"luis@{domain}"], b"Subject: by the book\r\n\r\nhi\r\n")
# This host may relay, another one may not come in at all.
assert smtp.docmd("MAIL FROM:<>")[0] == 250
assert smtp.docmd("RCPT TO:<x@elsewhere.example>")[0] == 250
smtp.quit()
try:
    smtplib.SMTP("127.0.0.1", 25, timeout=30, source_address=("127.0.0.66", 0))
    raise SystemExit("127.0.0.66 may come in")
except (OSError, smtplib.SMTPException):
    pass

def fetch():
    pop3 = poplib.POP3("127.0.0.1", 110, timeout=30)
    pop3.user(f"luis@{domain}")
    pop3.pass_(password)
    text = b"\n".join(pop3.retr(1)[1]) if pop3.stat()[0] else b""
    pop3.quit()
    return text

text = wait_for(fetch, "the message")
assert b"Subject: by the book" in text, text
wait_for(lambda: "delivery 1: success" in log("qmail"), "the log of qmail-send")
wait_for(lambda: re.search(r"^@[0-9a-f]{24} tcpserver: deny \d+ ", log("smtpd"), re.M), "a deny")
assert re.search(r"tcpserver: status: 1/20$", log("smtpd"), re.M)
assert re.search(r"tcpserver: ok ", log("pop3d"))
for name in services:
    said = typed(f"svstat /service/{name} /service/{name}/log")
    assert len(re.findall(r": up \(pid \d+\) \d+ seconds$", said, re.M)) == 2, said
owner = os.stat("/var/log/smtpd/current").st_uid
import pwd
assert pwd.getpwuid(owner).pw_name == "qmaill"
# As qmailctl did.
typed("svc -h /service/qmail-send; svc -a /service/qmail-send")
wait_for(lambda: "status: local" in log("qmail"), "qmail-send")
pid = re.search(r"pid (\d+)", typed("svstat /service/qmail-smtpd"))[1]
typed("svc -t /service/qmail-smtpd")
wait_for(lambda: re.search(r"pid (?!%s\b)\d+" % pid, typed("svstat /service/qmail-smtpd")), "a restart")
wait_for(lambda: smtplib.SMTP("127.0.0.1", 25, timeout=30).quit()[0] == 221, "port 25 again")
typed("svc -d " + " ".join(f"/service/{name}" for name in services))
wait_for(lambda: typed("svstat /service/*").count(": down ") == len(services), "all down")
svscan.send_signal(signal.SIGTERM)
assert svscan.wait(30) == 0
left = [open(path + "/comm").read().strip() for path in glob.glob("/proc/[0-9]*")
        if os.path.exists(path + "/root") and os.path.realpath(path + "/root") == os.path.realpath("/proc/self/root")
        and path != f"/proc/{os.getpid()}"]
assert not left, left
print("by the book")
"""


def accounts(home):
    """Their names for the house's uids, as in the INSTALL files of then."""
    ids = {}
    for line in (home / "users/ids").read_text().splitlines():
        fields = line.split()
        if len(fields) == 3:
            ids[fields[0]] = fields[1:]
    passwd = pathlib.Path("/etc/passwd").read_text()
    group = pathlib.Path("/etc/group").read_text()
    for name in ACCOUNTS:
        uid, gid = ids[name]
        passwd += f"{name}:x:{uid}:{gid}::/var/qmail:/bin/false\n"
        group += f"g{name}:x:{gid}:\n"
    return passwd, group


def services(home, limit):
    for name, script, log in (
            ("qmail-send", SEND, LOG.format(name="qmail")),
            ("qmail-smtpd", SMTPD.replace("{limit}", str(limit)), LOG.format(name="smtpd")),
            ("qmail-pop3d", POP3D.replace("{limit}", str(limit)), LOG.format(name="pop3d"))):
        write_script(home / "supervise" / name / "run", script)
        write_script(home / "supervise" / name / "log/run", log)
        (home / "supervise" / name).chmod(0o1755)
    write_script(home / "rc", RC)
    (home / "control/defaultdelivery").write_text("./Maildir/\n")
    (home / "control/concurrencyincoming").write_text("20\n")


@pytest.mark.root
@pytest.mark.parametrize("limit", [2000000, 30000000])
def test_services_of_2003_run_as_typed(house, tmp_path, limit):
    """2000000 was the book's limit; later pages of it said more."""
    house.add_domain()
    services(house.home, limit)
    passwd, group = accounts(house.home)
    (house.home / "made").mkdir()
    for name, text in ("passwd", passwd), ("group", group), ("tcp.smtp", TCP_SMTP):
        (house.home / "made" / name).write_text(text)
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    root = tmp_path / "root"
    root.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
         "sh", "-c", MACHINE, "sh", house.home, root, driver, DOMAIN, PASSWORD,
         "qmail-send,qmail-smtpd,qmail-pop3d"],
        capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL)
    assert done.stdout.endswith("by the book\n"), done.stdout + done.stderr[-6000:]
