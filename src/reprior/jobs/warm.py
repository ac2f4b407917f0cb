"""The warm parent: it imports the slow packages once per run, and the jobs on this machine are forks of it.

Importing torch takes longer than many jobs. So a run starts one process, the warm parent, which waits at a socket.
`python -m reprior <stage>` sends it the command line, environment, folder and open files. The parent forks, the fork
does the job as a new process would, and `python -m reprior` ends with the fork's exit status. The job runs in its own
process if there is no warm parent (as when its command is pasted), or if its environment or Python differ from the
parent's.

- The parent loads other packages but nothing of reprior: jobs always run the code that is on disk.
- The parent ends with the run, even if the run is killed. A fork ends with the command that asked for it.
- The command passes its signals on to the fork.
- Only this user may connect. The socket has no file (Linux, abstract namespace), so nothing is left behind.

Every job's command imports this module, so it imports nothing slow.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import subprocess

VARIABLE = "REPRIOR_WARM_PARENT"
"""The environment variable that tells jobs the socket of their run's parent."""
PARENT = "warm-parent"
"""The subcommand that starts the parent. Its argument is the number of the open socket."""
COMMON = ("argparse", "email.parser", "hashlib", "importlib.metadata", "inspect", "pydantic.main", "subprocess")
ARRAYS = (*COMMON, "numpy", "safetensors.numpy")
TORCH = (*ARRAYS, "torch", "safetensors.torch", "tqdm")
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "prepare": (*ARRAYS, "PIL.Image"),
    "observe": TORCH,
    "convert": TORCH,
    "design": TORCH,
    "reconstruct": TORCH,
    "evaluate": (*ARRAYS, "scipy.ndimage", "scipy.signal", "skimage.metrics"),
    "aggregate": (*ARRAYS, "pandas"),
    "render": (*ARRAYS, "pandas", "matplotlib.pyplot", "matplotlib.backends.backend_pdf", "seaborn", "PIL.Image"),
    "report": (*ARRAYS, "jinja2", "PIL.Image"),
}
"""The other packages that a stage's job imports. The parent imports them when the first such job comes."""
THREADS = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR"))
THREADS = (*THREADS, "VECLIB_MAXIMUM_THREADS")
"""Variables that Snakemake sets to a job's number of threads. Libraries read them when they are loaded."""
_READ_WHEN_LOADED = ("LD_", "MALLOC_", "GLIBC_", "PYTHON", "KMP_", "GOMP_", "OMP_", "MKL_", "TORCH", "CUDA_", "MPL")
_LENGTH = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")
_REFUSED, _ACCEPTED = b"N", b"Y"


def start() -> subprocess.Popen[bytes] | None:
    """Start the warm parent of this run and set the variable for its jobs.

    The parent ends when this process ends, or when the `stdin` of the returned process is closed. None if the system is
    not Linux, or if the variable is set: the jobs of a run within a run are forks of the outer run's parent.
    """
    import secrets
    import subprocess

    if sys.platform != "linux" or os.environ.get(VARIABLE):
        return None
    name = f"reprior-{os.getpid()}-{secrets.token_hex(8)}"
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    with socket.socket(socket.AF_UNIX) as entrance:  # open from now on: the first jobs wait until the parent is ready
        entrance.bind(f"\0{name}")
        entrance.listen(128)
        command = [sys.executable, "-m", "reprior", PARENT, str(entrance.fileno())]
        files = (entrance.fileno(),)
        parent = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, process_group=0, pass_fds=files)
    os.environ[VARIABLE] = name
    return parent


def delegated(arguments: list[str]) -> int | None:
    """Let the warm parent do this job and return its exit status. None if this process must do the job itself."""
    name = os.environ.get(VARIABLE)
    if not name or not arguments or arguments[0] not in PACKAGES:
        return None
    with socket.socket(socket.AF_UNIX) as parent:
        try:
            parent.connect(f"\0{name}")
            if _user_of(parent) != os.getuid():
                return None
            _send(parent, arguments)
            if parent.recv(1) != _ACCEPTED:
                return None
        except OSError:  # the parent has ended: its run was killed or has finished
            return None
        return _waited_for(parent)


def _send(parent: socket.socket, arguments: list[str]) -> None:
    job = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109 (pathlib takes longer to import than all else here)
        "umask": _umask(),
        "identity": _identity(),
    }
    content = json.dumps(job).encode()
    socket.send_fds(parent, [_LENGTH.pack(len(content))], [0, 1, 2])
    parent.sendall(content)


def _waited_for(fork: socket.socket) -> int:
    """Pass signals on until the job has ended; return its exit status."""
    passed: list[int] = []

    def pass_on(number: int, _: Any) -> None:
        passed.append(number)
        fork.send(bytes([number]))

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, pass_on)
    status = fork.recv(1)
    if status:
        return status[0]
    if not passed:
        print("reprior: the process of this job was killed", file=sys.stderr)
    return 128 + (passed[-1] if passed else signal.SIGKILL)


def serve(listening: int, main: Callable[[], None]) -> None:
    """Fork for each job and call `main` there. Ends with the run, which then closes our standard input."""
    with socket.socket(fileno=listening) as entrance:
        while True:
            ready, _, _ = select.select([entrance.fileno(), 0], [], [])
            if 0 in ready:
                return
            client, _ = entrance.accept()
            with client:
                job, files = _received(client)
                if job is not None:
                    _load(PACKAGES[job["arguments"][0]])
                    if os.fork() == 0:
                        entrance.close()
                        _do(client, job, files, main)
            for file in files:
                os.close(file)
            _bury_ended_forks()


def _bury_ended_forks() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass  # there is none


def _received(client: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The job that a client asks for and its open files. The job is None if the client must do it itself."""
    files: list[int] = []
    try:
        length, files, _, _ = socket.recv_fds(client, _LENGTH.size, 3)
        content = b""
        while len(content) < _LENGTH.unpack(length)[0]:
            content += client.recv(2**16) or _gone()
        job = json.loads(content)
        fits = _user_of(client) == os.getuid() and job["identity"] == _identity() and len(files) == 3
        client.sendall(_ACCEPTED if fits else _REFUSED)
    except (OSError, ValueError, struct.error):
        return None, files
    return (job if fits else None), files


def _gone() -> NoReturn:
    raise ConnectionError("the client has gone")


def _load(packages: tuple[str, ...]) -> None:
    missing = [package for package in packages if package not in sys.modules]
    for package in missing:
        importlib.import_module(package)
    if missing:
        gc.collect()
        gc.freeze()  # else each fork would copy memory while collecting garbage


def _do(client: socket.socket, job: dict[str, Any], files: list[int], main: Callable[[], None]) -> NoReturn:
    """Do the job in this fork. Never returns."""
    status = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115
        os.environ.clear()
        os.environ.update(job["environment"])
        os.chdir(job["folder"])
        os.umask(job["umask"])
        sys.argv[1:] = job["arguments"]
        import threading

        threading.Thread(target=_listen, args=(client,), daemon=True).start()
        status = _status_of(main)
        sys.stdout.flush()
        sys.stderr.flush()
        client.sendall(bytes([status]))
    finally:
        os._exit(status)


def _listen(client: socket.socket) -> None:
    """Receive the signals that the client passes on. Kill this process if the client is gone."""
    try:
        while number := client.recv(1):
            os.kill(os.getpid(), number[0])
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _status_of(main: Callable[[], None]) -> int:
    """The exit status of a process that runs `main`."""
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _identity() -> list[Any]:
    """What parent and job must have in common: interpreter, packages, and variables read when libraries are loaded."""
    variables = {key: value for key, value in os.environ.items() if key in THREADS or key.startswith(_READ_WHEN_LOADED)}
    return [sys.executable, sys.prefix, __file__, sorted(map(list, variables.items()))]


def _user_of(peer: socket.socket) -> int:
    content = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(content)[1])


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
