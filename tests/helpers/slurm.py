"""A Slurm of one node on loopback: Debian's slurm-wlm and munge, started by hand as root.

``python -m tests.helpers.slurm DIR`` starts one and waits for Ctrl-C; with ``SLURM_CONF=DIR/slurm.conf`` in
the environment, every Slurm command and ``qlaunch`` talk to it. All its files are in ``DIR``; it needs
neither systemd nor cgroups nor an accounting database.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_DAEMONS = ("munged", "slurmctld", "slurmd")
PROGRAMS = (*_DAEMONS, "sbatch", "squeue", "scontrol", "scancel", "setpriv")
_OF_USERS = ("SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SINFO_")
"""Variables that change what Slurm's commands do and print."""
CATEGORIES = ("md", "dft", "train")
_PORTS = (20_000, 32_000)
_START_S = 120
_STOP_S = 20

_CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=20
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=3600
BatchStartTimeout=120
MessageTimeout=60
TCPTimeout=30
UnkillableStepTimeout=300
SchedulerParameters=batch_sched_delay=0,sched_interval=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 State=UNKNOWN
{partitions}
"""


def is_installed() -> bool:
    """Return whether this machine can start a Slurm: its programs are here, and this user is root."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return os.geteuid() == 0 and all(shutil.which(name, path=path) for name in PROGRAMS)


class Slurm:
    """One node with a partition for each category, from ``with`` to the end of its block.

    Parameters
    ----------
    folder
        Where its configuration, state and logs go; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_OF_USERS)},
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin",
            "SLURM_CONF": str(self.configuration),
        }
        self._daemons: list[subprocess.Popen] = []

    def __enter__(self) -> "Slurm":
        self._write_files()
        try:
            self._start_munge()
            self._start("slurmctld", "-D", "-f", str(self.configuration))
            self._start("slurmd", "-D", "-f", str(self.configuration))
            self._wait("sinfo says idle", lambda: "idle" in self._ask("sinfo", "-h", "-o", "%t"))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Cancel all jobs, wait until they are gone, and end the daemons."""
        if len(self._daemons) == len(_DAEMONS):
            with contextlib.suppress(subprocess.SubprocessError, TimeoutError):
                self.cancel_all()
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def cancel_all(self) -> None:
        """Cancel all jobs, and wait until they are gone."""
        self._ask("scancel", "--user", "root")
        self._wait("no job", lambda: not self.jobs())

    def command(self, *arguments: str) -> str:
        """Return what a Slurm command prints.

        Raises
        ------
        subprocess.CalledProcessError
            If it fails.
        """
        done = subprocess.run(arguments, env=self.environment, capture_output=True, text=True, timeout=_START_S)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
        return done.stdout

    def jobs(self, states: str = "PD,R,CG,S") -> dict[int, str]:
        """Return name by number of all jobs in some states; by default those that are not over."""
        listed = self.command("squeue", "-h", "-o", "%A %j", "--states", states)
        return {int(line.split()[0]): line.split(maxsplit=1)[1] for line in listed.splitlines()}

    def said(self) -> str:
        """Return the ends of the logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)

    def _write_files(self) -> None:
        for name in ("munge", "controller", "node"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / "munge" / "key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(os.urandom(128))
        names = [f"PartitionName={name} Nodes=ALL MaxTime=60 State=UP OverSubscribe=NO" for name in CATEGORIES]
        names[0] += " Default=YES"
        values = {
            "host": socket.gethostname().partition(".")[0],
            "folder": self.folder,
            "controller_port": _free_port(),
            "node_port": _free_port(),
            "partitions": "\n".join(names),
        }
        self.configuration.write_text(_CONFIGURATION.format(**values))

    def _start_munge(self) -> None:
        munge = self.folder / "munge"
        files = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "munged.log",
            "seed-file": "seed",
        }
        options = [f"--{option}={munge / name}" for option, name in files.items()]
        self._start("munged", "--foreground", "--force", *options)
        self._wait("munge answers", (munge / "socket").is_socket)

    def _start(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.out.log").open("ab") as out:
            daemon = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", program, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._daemons.append(daemon)

    def _ask(self, *arguments: str) -> str:
        try:
            return self.command(*arguments)
        except subprocess.CalledProcessError:
            return ""

    def _wait(self, what: str, condition) -> None:
        deadline = time.monotonic() + _START_S
        while not condition():
            dead = [daemon.args[3] for daemon in self._daemons if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise TimeoutError(f"waited for: {what}; ended meanwhile: {dead or 'nothing'}\n{self.said()}")
            time.sleep(0.1)


def _free_port() -> int:
    """Return a port that nobody listens on, of those that the system gives to nobody who asks for any."""
    while True:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(*_PORTS))) as probe:
            return probe.getsockname()[1]


def _interrupt_once(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """Start a Slurm in the folder that is named, until Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt_once)
    with contextlib.suppress(KeyboardInterrupt), Slurm(Path(sys.argv[1]).absolute()) as slurm:
        print(f"export SLURM_CONF={slurm.configuration}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
