"""One worker of a farm to which something happens: run by ``tests/faults/test_farm_faults.py`` in a process of its own.

A fork server forks the workers, so that each is a process that has imported everything and shares nothing.
"""

import contextlib
import importlib
import io
import itertools
import json
import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path

from fireworks import FWorker, LaunchPad
from pymongo.collection import Collection

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.firetasks.bootstrap import Bootstrap
from mlip_fw.firetasks.candidates import SelectCandidates
from mlip_fw.firetasks.label import LabelStructure
from mlip_fw.firetasks.md import RunMD
from mlip_fw.firetasks.summary import Summarize
from mlip_fw.firetasks.train import TrainPotential
from mlip_fw.launcher.recover import recover
from mlip_fw.launcher.rlaunch import run_rlaunch
from mlip_fw.launcher.rockets import launch_one, silence_libraries
from mlip_fw.launchpad import archiving
from mlip_fw.launchpad.filepad.local_copy import LocalCopy
from mlip_fw.runtime.fork_server import ForkServer

TASKS = {
    "bootstrap": Bootstrap,
    "label": LabelStructure,
    "train": TrainPotential,
    "md": RunMD,
    "candidates": SelectCandidates,
    "summary": Summarize,
}
STEPS = tuple(TASKS)
SHORT = {
    "md": {"stages": [{"ensemble": "nvt", "temperature_k": [300, 600], "n_steps": 40}]},
    "candidates": {"max_labels_per_halt": 2, "n_candidates": 4},
    "bootstrap": {"n_structures": 1},
    "potential": {"functions_per_element": 10},
}
"""A campaign that has each step and takes seconds."""
WRITES = (
    *("find_one_and_update", "find_one_and_replace", "insert_one", "insert_many"),
    *("update_one", "delete_many", "replace_one", "delete_one"),
)
ARCHIVE = {"MAX_FINISHED": 1, "KEPT_FINISHED": 1}
"""So that a campaign with one halt has a finished part."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


def start(launchpad_file, worker_file, folder, fault=("none",)):
    """Start a worker that runs one Firework; ``fault`` is the name of a function below and its arguments."""
    process = FORKS.Process(target=_be_a_worker, args=(str(launchpad_file), str(worker_file), str(folder), fault))
    process.start()
    return process


def _be_a_worker(launchpad_file, worker_file, folder, fault):
    os.chdir(folder)
    log = os.open("worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    vars(archiving).update(ARCHIVE)
    name, *arguments = fault
    globals()[name](*arguments)
    if name == "term":
        sys.exit(run_rlaunch(["-l", launchpad_file, "-w", worker_file, "singleshot"]))
    with silence_libraries():
        launch_one(LaunchPad.from_file(launchpad_file), FWorker.from_file(worker_file))


def start_recovery(launchpad_file, fault):
    """Start a recovery to which something happens."""
    process = FORKS.Process(target=_recover, args=(str(launchpad_file), fault))
    process.start()
    return process


def _recover(launchpad_file, fault):
    name, *arguments = fault
    globals()[name](*arguments)
    launchpad = LaunchPad.from_file(launchpad_file)
    launchpad.m_logger.setLevel("CRITICAL")
    list(recover(launchpad, heartbeat_s=0.0, timeout_s=0.1))


def die():
    """Die at once, as if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def none():
    """Let nothing happen."""


def kill(step, moment):
    """Kill the worker when a step begins, when it has ended, or after some seconds in it."""
    if moment == "kept":
        Dataset.release = lambda self, name: die()
    elif moment == "end":
        around(step, after=die)
    else:
        around(step, before=lambda: die() if moment == "start" else threading.Timer(moment, die).start())


def term(step, after_s):
    """Send the worker SIGTERM when a step begins, or so many seconds later."""
    sent = threading.Event()

    def send():
        os.kill(os.getpid(), signal.SIGTERM)
        sent.set()

    # a busy machine may send it late: the step is not over before
    around(step, before=threading.Timer(after_s, send).start if after_s else send, after=lambda: sent.wait(60))


def kill_child():
    """Kill the first child that the fork server forks."""
    answer, counter = ForkServer._answer, itertools.count()

    def answering(self, deadline):
        said = answer(self, deadline)
        if said and "pid" in said and next(counter) == 0:
            # a busy machine may come too late
            with contextlib.suppress(ProcessLookupError):
                os.killpg(said["pid"], signal.SIGKILL)
        return said

    ForkServer._answer = answering


def kill_database(step, pid):
    """Kill the database server when a step has been done and is to be told."""
    around(step, after=lambda: os.kill(pid, signal.SIGKILL))


def pause(step, folder):
    """Say when a step begins, and go on only when told to."""
    here = Path(folder)

    def wait():
        (here / "began").touch()
        while not (here / "go").exists():
            time.sleep(0.02)

    around(step, before=wait)


def kill_in_write(number, moment):
    """Kill the worker before or after one of its writes to the database."""
    _patch_writes(number, moment, die)


def kill_before_shelf():
    """Kill the worker when finished Fireworks have left their workflow and are not yet in another one."""
    archiving._insert_archive = lambda *_: die()


def kill_database_in_write(number, pid):
    """Kill the database server when the worker is about to write something to it."""
    _patch_writes(number, "before", lambda: os.kill(pid, signal.SIGKILL))


def _patch_writes(number, moment, happen):
    counter = itertools.count(1)
    for name in WRITES:
        setattr(Collection, name, _patched(getattr(Collection, name), counter, number, moment, happen))
    return counter


def _patched(write, counter, number, moment, happen):
    def writing(*arguments, **options):
        is_it = threading.current_thread() is threading.main_thread() and next(counter) == number
        if is_it and moment == "before":
            happen()
        done = write(*arguments, **options)
        if is_it and moment == "after":
            happen()
        return done

    return writing


CLIENT = """
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[0].removesuffix(".py") + ".socket")
socket.send_fds(server, [json.dumps([os.getcwd(), sys.argv[1:]]).encode()], [1, 2])
code = int(server.recv(10) or 1)
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""
"""What the workers call as LAMMPS, pw.x or VASP: it has the stand-in run by a process that has imported it already."""
_IMPORTED_LATE = ("ase.calculators.emt", "ase.calculators.lj")


def lend_lmp(folder):
    """Write the command of a LAMMPS that starts at once and return it, and the process that runs the stand-in."""
    return lend("lmp", folder)


def lend(name, folder):
    """Write the command of a stand-in that starts at once and return it, and the process that runs it."""
    (folder / f"{name}.py").write_text(CLIENT)
    server = FORKS.Process(target=_serve, args=(name, str(folder / f"{name}.socket")), daemon=True)
    server.start()
    while not (folder / f"{name}.socket").exists():
        time.sleep(0.01)
    return f"{sys.executable} -I -S {folder}/{name}.py", server


def _serve(name, path):
    main = importlib.import_module(f"mlip_fw.testing.{name}").main
    for module in _IMPORTED_LATE:
        importlib.import_module(module)
    listener = socket.socket(socket.AF_UNIX)
    # a path that is there answers
    listener.bind(path + ".new")
    listener.listen()
    os.rename(path + ".new", path)
    while True:
        client, _ = listener.accept()
        if os.fork() == 0:
            _attend(client, main)
        client.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _attend(client, main):
    """Run a stand-in for one client, and end it with the client."""
    request, streams, _, _ = socket.recv_fds(client, 100_000, 2)
    pid = os.fork()
    if pid == 0:
        _be(main, *json.loads(request), streams)
    ended = os.pidfd_open(pid)
    if ended not in select.select([client, ended], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    # a client that was terminated meanwhile is not there to hear it
    with contextlib.suppress(ConnectionError):
        client.sendall(str(code).encode())
    os._exit(0)


def _be(main, folder, arguments, streams):
    code = 1
    try:
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream, number)
        os.chdir(folder)
        sys.argv[1:] = arguments
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def kill_when_published():
    """Kill the worker when it has published what it made, before FireWorks hears of it."""
    publish = LocalCopy.publish

    def publishing(self, patterns):
        publish(self, patterns)
        die()

    LocalCopy.publish = publishing


def count_writes(work):
    """Return how many writes to the database ``work()`` makes."""
    kept = {name: getattr(Collection, name) for name in WRITES}
    counter = _patch_writes(0, "after", die)
    try:
        work()
    finally:
        for name, write in kept.items():
            setattr(Collection, name, write)
    return next(counter) - 1


def around(step, before=lambda: None, after=lambda: None):
    """Have something done before and after the work of a step."""
    task = TASKS[step]
    work = task.work

    def working(self, handoff, fw_spec):
        before()
        done = work(self, handoff, fw_spec)
        after()
        return done

    task.work = working


def silently(work):
    """Do something whose tracebacks nobody wants to see."""
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        return work()
    finally:
        sys.stderr = before
