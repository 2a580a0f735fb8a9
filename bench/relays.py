"""What one relay run is and what is measured in it; the tables of bench/relay and bench/suite.

Every message has a mark: the sink counts each and checks its hash, so that a lost, doubled or changed one is seen.
"""
import dataclasses
import statistics
import time

import mail_systems
from load import Source

median = statistics.median


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    sessions: int = 20
    per_session: int = 1              # messages on one connection; 0: all
    octets: int = 4096
    recipients: int = 1
    send: str = "group"
    to: str = None
    domains: int = 1
    floor: int = 100                  # messages at least
    tls: bool = False                 # STARTTLS on the way in

    @property
    def shape(self):
        size = f"{self.octets // 1024} KiB" if self.octets < 1 << 20 else f"{self.octets >> 20} MiB"
        return f"{self.sessions} sessions, {'many' if self.per_session != 1 else 'one'} each, {size}, {self.recipients} rcpt, {self.send}"


class Run:
    """One measured run of one workload through one system."""
    count = 0

    def __init__(self, system, programs, workload, messages, patience=300):
        Run.count += 1
        sink = system.sink
        sink.begin(Run.count)
        wanted = messages * workload.recipients
        before, sink_before, syncs = system.spent(), sink.counts(), system.syncs.count
        peers_before = sum(mail_systems.thread_time(sink.process.pid)) + mail_systems.ended_children_time()
        start = time.monotonic()
        source = Source(programs, system.port, Run.count, messages, workload.sessions, workload.per_session, workload.octets, workload.recipients, system.send or workload.send,
                        workload.to, workload.domains, workload.tls)
        self.pss = 0
        sample = start + 0.4
        while sink.seen_recipients < wanted:
            time.sleep(0.004)
            now = time.monotonic()
            if now > sample:                                        # it costs the measured systems something: seldom
                self.pss, sample = max(self.pss, system.memory()), now + 1
            if now > start + patience or (source.ended() and source.said["accepted"] * workload.recipients <= sink.seen_recipients):
                break
        self.seconds = time.monotonic() - start
        source.process.wait()
        source.ended()
        self.source = source.said
        self.messages = messages
        time.sleep(0.3)                                             # verdicts on their way to the disk belong to the cost
        after, sink_after = system.spent(), sink.counts()
        peers = sum(mail_systems.thread_time(sink.process.pid)) + mail_systems.ended_children_time() - peers_before
        accepted = max(self.source["accepted"], 1)
        self.peers_us = peers * 1e6 / accepted
        self.cpu_us = {role: (after[role] - before[role]) * 1e6 / accepted for role in after}
        self.pss = max(self.pss, system.memory())
        self.processes = len(system.pids())
        self.syncs = (system.syncs.count - syncs) / accepted
        of = lambda name: sink_after[name] - sink_before[name]
        self.connections, self.turns = of("connections") / accepted, of("turns") / accepted
        self.changed, self.strangers = of("changed"), of("strangers")
        lost, self.doubled = sink.check(messages, workload.recipients)
        self.refused = messages - self.source["accepted"]
        self.lost = lost - self.refused * workload.recipients
        self.rate = sink.seen_recipients / workload.recipients / self.seconds
        self.accepted_rate = self.source["accepted"] / self.source["seconds"] if self.source["seconds"] else 0

    @property
    def wrong(self):
        return {name: value for name in ("lost", "doubled", "changed", "refused") if (value := getattr(self, name))}


def row(workload, system, runs, reference):
    """Medians of the rounds; ratios pair by pair: the two of one round ran next to each other."""
    ratios = [run.rate / other.rate for run, other in zip(runs, reference) if other.rate] if reference else []
    of = lambda name: median([getattr(run, name) for run in runs])
    return {"workload": workload.name, "shape": workload.shape, "system": system, "rates": [round(run.rate, 1) for run in runs], "rate": of("rate"),
            "accepted_rate": of("accepted_rate"), "ratios": [round(value, 3) for value in ratios], "ratio": median(ratios) if ratios else None,
            "cpu_us": {role: median([run.cpu_us[role] for run in runs]) for role in runs[0].cpu_us}, "peers_us": of("peers_us"), "pss_mib": of("pss"),
            "processes": of("processes"), "syncs": of("syncs"), "connections": of("connections"), "turns": of("turns"), "messages": of("messages"),
            "wait_median_ms": median([run.source.get("wait_median_ms", 0) for run in runs]), "wait_p99_ms": median([run.source.get("wait_p99_ms", 0) for run in runs]),
            **{name: sum(getattr(run, name) for run in runs) for name in ("lost", "doubled", "changed", "strangers", "refused")}}


def table(rows):
    lines = [f"{'workload':<18} {'system':<10} {'delivered/s (min-max)':>24} {'ratio':>6} {'accepted/s':>10} {'CPU us':>7} {'peers':>6} {'PSS MiB':>7} {'procs':>5} "
             f"{'syncs':>6} {'conns':>6} {'turns':>6} {'lost':>4} {'twice':>5} {'bad':>3} {'refused':>7}"]
    for r in rows:
        ratio = f"{r['ratio']:.2f}" if r["ratio"] is not None else ""
        spread = f"{r['rate']:.0f} ({min(r['rates']):.0f}-{max(r['rates']):.0f})"
        lines.append(f"{r['workload']:<18} {r['system']:<10} {spread:>24} {ratio:>6} {r['accepted_rate']:>10.0f} {r['cpu_us']['all']:>7.0f} {r['peers_us']:>6.0f} "
                     f"{r['pss_mib']:>7.0f} {r['processes']:>5.0f} {r['syncs']:>6.3f} {r['connections']:>6.3f} {r['turns']:>6.2f} {r['lost']:>4} {r['doubled']:>5} {r['changed']:>3} {r['refused']:>7}")
    return "\n".join(lines)


def roles(rows):
    names = list(mail_systems.ROLES)
    lines = [f"{'CPU us per message':<18} {'':<10} " + " ".join(f"{role:>11}" for role in names)]
    for r in rows:
        if "smtpd" in r["cpu_us"]:
            lines.append(f"{r['workload']:<18} {r['system']:<10} " + " ".join(f"{r['cpu_us'][role]:>11.1f}" for role in names))
    lines.append(f"{'budget':<29} " + " ".join(f"{'' if share is None else share:>11}" for share in mail_systems.ROLES.values()))
    return "\n".join(lines)


def settings(systems):
    return "\n".join(f"settings of {s.name}: " + ", ".join(f"{k}={v}" for k, v in s.settings.items()) for s in systems if s.settings)


def programs_beside(bin):
    """Where source, sink and slow_sync of that build are."""
    import pathlib
    folder = pathlib.Path(bin).resolve().parent / "bench"
    if not (folder / "source").exists():
        raise SystemExit(f"bench: {folder}/source is missing: build the targets bench_source, bench_sink and slow_sync")
    return folder
