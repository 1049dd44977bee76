"""A SLURM of one node: real daemons with a configuration of their own, in a temporary folder."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "squeue", "scancel", "srun", "sinfo")
PARTITION = "one"
CPUS = 4
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

# No accounting, no cgroups and no epilogues: what a container without systemd can do.
_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=3000
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName={partition} Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no SLURM can be started here; empty if it can."""
    absent = [name for name in (*DAEMONS, *COMMANDS) if not shutil.which(name, path=_PATH)]
    return f"SLURM is not installed: no {', '.join(absent)}" if absent else ""


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons; yields the environment in which SLURM's commands reach them."""
    conf = folder / "slurm.conf"
    ports = _free_ports(2)
    text = _CONF.format(
        host=socket.gethostname().split(".")[0],
        folder=folder,
        user=getpass.getuser(),
        controller=ports[0],
        node=ports[1],
        cpus=CPUS,
        memory=32_000,
        partition=PARTITION,
    )
    # More than the machine has is declared, so that a small one can take the test too.
    conf.write_text(f"{text}SlurmdParameters=config_overrides\n", encoding="utf-8")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": f"{folder}:{_PATH}"}
    # The executor takes SLURM_CONF from the jobs that it starts by srun.
    wrapper = folder / "srun"
    srun = shutil.which("srun", path=_PATH)
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {srun} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    munged = [
        *("munged", "--foreground", "--force", f"--key-file={key}"),
        *(f"--{name}={folder}/munge.{name}" for name in ("socket",)),
        *(f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")),
    ]
    with ExitStack() as stack:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            stack.enter_context(_daemon(command, environment, folder / f"{command[0]}.out"))
        _wait_for_node(environment, folder)
        yield environment
        subprocess.run(
            ["scancel", f"--partition={PARTITION}"], env=environment, check=False, timeout=30
        )


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def _daemon(command: list[str], environment: dict[str, str], out: Path) -> Iterator[None]:
    with open(out, "wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_node(environment: dict[str, str], folder: Path) -> None:
    end = time.monotonic() + 30
    said = ""
    while time.monotonic() < end:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        said = done.stdout.strip() + done.stderr
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    logs = "\n".join(p.read_text(errors="replace") for p in sorted(folder.glob("*.log")))
    raise RuntimeError(f"SLURM did not come up: {said}\n{logs}")
