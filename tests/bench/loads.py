"""One run of one load on one system: how fast, what it cost, all of it there?"""

import dataclasses
import os
import threading
import time

import account
import content
import generator
from arrivals import Arrivals
from systems import RELAY, empty
from waiting import wait_for

NCPU = os.cpu_count()


@dataclasses.dataclass
class Run:
    accepted: float = None     # messages a second
    delivered: float = None
    cpu_ms: float = None       # a message, of all processes of the system
    generator_ms: float = None
    others: float = None       # share of the machine that others used


class Meter:
    """CPU of a system, of the generator, and of everybody else."""

    def __init__(self, system):
        self.account = system.account
        self.cpu = self.account.cpu_ms()
        self.busy = account.machine_busy_ms()
        self.mine = time.process_time()
        self.start = time.monotonic()

    def finish(self, run, messages, generator_ms):
        cpu = self.account.cpu_ms() - self.cpu
        rest = (account.machine_busy_ms() - self.busy - cpu - generator_ms
                - 1000 * (time.process_time() - self.mine))
        elapsed_ms = 1000 * (time.monotonic() - self.start)
        run.cpu_ms = cpu / messages
        run.generator_ms = generator_ms / messages
        run.others = max(0.0, rest / (elapsed_ms * NCPU))
        return run


def settle(system, timeout=120):
    wait_for(system.is_idle, timeout, f"{system.name} to finish")


def local(system, place, streams, count, templates, settled=True):
    """SMTP in, one Maildir out. templates: what each stream sends.

    settled: the queue is empty afterwards; not so beside a long one.
    """
    empty(system, ["luis"])
    place.sync()
    with Arrivals([system.mailbox()]) as arrivals:
        meter = Meter(system)
        seconds, cpu = generator.send(streams, count, system.where)
        arrived = arrivals.wait(count)
        if settled:
            settle(system)
        run = meter.finish(Run(count / seconds, count / (arrived - meter.start)),
                           count, cpu)
    content.check_folder(system.mailbox(), templates,
                         generator.shares(streams, count))
    return run


def floor(counter, stream, count):
    """The same load on a server that does nothing."""
    before = counter.messages
    cpu_ms = counter.cpu_ms()
    seconds, generator_ms = generator.send([(1, stream)], count,
                                           f"127.0.0.1:{counter.port}")
    counter.wait(before + count)
    return Run(accepted=count / seconds, cpu_ms=(counter.cpu_ms() - cpu_ms) / count,
               generator_ms=generator_ms / count)


def relay(system, place, counter, sessions, recipients, count):
    """SMTP in, SMTP out to one host."""
    place.sync()
    before = counter.messages
    stream = generator.Stream(sessions, True, to=f"x@{RELAY}",
                              recipients=recipients)
    meter = Meter(system)
    seconds, cpu = generator.send([(1, stream)], count, system.where)
    counter.wait(before + count)
    settle(system)
    run = meter.finish(Run(count / seconds,
                           count / (counter.changed - meter.start)), count, cpu)
    if recipients == 1 and counter.messages != before + count:
        raise content.Wrong(f"{system.name}: the sink has "
                            f"{counter.messages - before} of {count} messages")
    return run


def fan_out(system, place, template):
    """One message to every mailbox; its figures are of recipients."""
    empty(system, system.boxes)
    place.sync()
    count = len(system.boxes)
    stream = generator.Stream(1, False, recipients=count)
    # A file's name may be the same in two Maildirs: count the boxes.
    with Arrivals([system.mailbox(box) for box in system.boxes],
                  by_folder=True) as arrivals:
        meter = Meter(system)
        _, cpu = generator.send([(1, stream)], 1, system.where)
        arrived = arrivals.wait(count)
        settle(system)
        run = meter.finish(Run(delivered=count / (arrived - meter.start)),
                           count, cpu)
    for box in system.boxes:
        content.check_folder(system.mailbox(box), [template], [1])
    return run


class Sampler(threading.Thread):
    """The most private memory that the processes of a system ever had."""

    def __init__(self, system):
        super().__init__(daemon=True)
        self.account = system.account
        self.peak = self.account.private_kib()
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(0.1):
            self.peak = max(self.peak, self.account.private_kib())

    def stop(self):
        self.stopped.set()
        self.join()
        return self.peak / 1024


def memory(system, place, count, template):
    """MiB at the peak with 50 sessions."""
    sampler = Sampler(system)
    sampler.start()
    try:
        local(system, place, [(1, generator.Stream(50, True))], count, [template])
    finally:
        peak = sampler.stop()
    return peak
