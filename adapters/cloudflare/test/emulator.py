"""Cloudflare's containers on one machine, for tests: every sandbox is a bubblewrap with a root of its own.

Started as a program it also bundles the Worker, serves it with workerd, and prints one JSON line: url, token, control.

    .venv/bin/python adapters/cloudflare/test/emulator.py --state FOLDER [--token T] [--path FOLDER_OF_PROGRAMS]...

A sandbox is started by the first call that needs it, as the platform does it; one that was lost comes back empty. The
network is the machine's, so that a sandbox reaches what listens on 127.0.0.1. Control, for tests:

    POST /control/fail {"count": n, "how": "error" | "hang" | "capacity" | "rate_limit", "method": "exec"?}
    POST /control/lose {"id"}     the platform evicts it: no word to anybody
    GET  /control/alive           {"alive": [ids]}
    GET  /control/calls           {"calls": [[id, method, first argument], ...]}
    POST /control/worker {"on": bool}
    POST /control/reset           no sandboxes, no failures, no calls
"""

import argparse
import asyncio
import collections
import contextlib
import fcntl
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import struct
import sys
import tempfile
import termios
from typing import Any

from aiohttp import ClientSession, WSMsgType, web

HERE = pathlib.Path(__file__).resolve().parent
FAILURES = {
    "error": "Failed to execute command",
    "capacity": "There is no container instance that can be provided to this Durable Object, try again later",
    "rate_limit": "429 Too Many Requests",
}
BWRAP = "bwrap --die-with-parent --unshare-pid --unshare-ipc --unshare-uts --hostname sandbox --clearenv"
BUNDLE = "--bundle --format=esm --target=es2024 --external:cloudflare:* --external:node:* --log-level=warning"
ETC = (
    "alternatives bash.bashrc ca-certificates hosts host.conf ld.so.cache ld.so.conf ld.so.conf.d localtime"
    " mime.types nsswitch.conf profile protocols python3 resolv.conf services ssl terminfo"
)
REPLAY_BYTES = 256 * 1024
START_S = 20


class Terminal:
    """One PTY in a sandbox, many sockets: each gets what was written last, then all that comes."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.kept = bytearray()
        self.sockets: set[web.WebSocketResponse] = set()
        self.over = asyncio.Event()
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self.master, 65536)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody holds its other end
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self.master)
            self.over.set()
            return
        self.kept += data
        del self.kept[:-REPLAY_BYTES]
        for ws in self.sockets:
            asyncio.ensure_future(ws.send_bytes(data))  # noqa: RUF006 - a slow viewer of a test harms nobody

    def resize(self, cols: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


class Container:
    """One sandbox while it runs."""

    def __init__(self, name: str, folder: pathlib.Path, paths: list[pathlib.Path]) -> None:
        self.name = name
        self.folder = folder
        self.paths = paths
        self.process: asyncio.subprocess.Process | None = None
        self.sessions: dict[str, Terminal | None] = {}
        self.server = pathlib.Path(tempfile.mkdtemp(prefix="chomp-"))  # a socket's path has at most 107 bytes

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def _argv(self) -> list[str]:
        argv = BWRAP.split()
        if os.geteuid() == 0:
            argv += ["--cap-add", "ALL"]  # as in a container: run-agent changes its user
        argv += ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
        for link in ("bin", "lib", "lib64", "sbin"):
            if os.path.islink(f"/{link}"):
                argv += ["--symlink", os.readlink(f"/{link}"), f"/{link}"]
            elif os.path.isdir(f"/{link}"):
                argv += ["--ro-bind", f"/{link}", f"/{link}"]
        argv += ["--perms", "0755", "--dir", "/etc"]
        for entry in ETC.split():
            if os.path.exists(f"/etc/{entry}"):
                argv += ["--ro-bind", os.path.realpath(f"/etc/{entry}"), f"/etc/{entry}"]
        etc = self.folder / "etc"
        etc.mkdir()
        agent = 1000 if os.geteuid() == 0 else os.geteuid()  # who is not root is the only account inside
        (etc / "passwd").write_text(f"root:x:0:0::/root:/bin/bash\nagent:x:{agent}:1000::/home/agent:/bin/bash\n")
        (etc / "group").write_text("root:x:0:\nagent:x:1000:\n")
        for entry in ("passwd", "group"):
            argv += ["--bind", str(etc / entry), f"/etc/{entry}"]
        # /usr/local/bin as the image has it: the agents, and chomp's CLI, which chomp brings
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "chomp").symlink_to("/opt/chomp/bin/chomp")
        for number, path in enumerate(self.paths):
            there = pathlib.Path(f"/opt/agents/{number}")  # its own place may be a closed folder, or below /tmp
            for above in (there.parents[1], there.parent):
                argv += ["--perms", "0755", "--dir", str(above)]
            argv += ["--ro-bind", str(path), str(there)]
            for folder in (path, path / "bin", path / ".bin", path / "node_modules/.bin"):
                for program in sorted(folder.iterdir()) if folder.is_dir() else ():
                    if program.is_file() and os.access(program, os.X_OK) and not (programs / program.name).exists():
                        (programs / program.name).symlink_to(there / program.relative_to(path))
        argv += ["--bind", str(programs), "/usr/local/bin"]
        for tmpfs, mode in (("/tmp", "1777"), ("/run", "0755"), ("/dev/shm", "1777")):
            argv += ["--perms", mode, "--tmpfs", tmpfs]
        shutil.copy(HERE / "inside.py", self.server)
        argv += ["--perms", "0700", "--dir", "/container-server", "--bind", str(self.server), "/container-server"]
        argv += ["--setenv", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        argv += ["--setenv", "HOME", "/root", "--setenv", "LANG", "C.UTF-8", "--chdir", "/"]
        return [*argv, "/usr/bin/python3", "-I", "-S", "/container-server/inside.py", "/container-server/socket"]

    async def start(self) -> None:
        self.folder.mkdir(parents=True)
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._argv(), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        async with asyncio.timeout(START_S):
            while True:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    _, writer = await asyncio.open_unix_connection(str(self.server / "socket"))
                    writer.write(b'{"what": "exec", "command": "true", "cwd": "/"}\n')
                    writer.close()
                    return
                if not self.alive:
                    raise RuntimeError(f"bwrap: {(self.folder / 'log').read_text(errors='replace')[-500:]}")
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for terminal in self.sessions.values():
            if terminal:
                asyncio.get_running_loop().remove_reader(terminal.master)
                os.close(terminal.master)
                for ws in list(terminal.sockets):
                    await ws.close()
        self.sessions.clear()
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()  # --die-with-parent and the PID namespace end all that is inside
            await self.process.wait()
        for folder in (self.folder, self.server):
            shutil.rmtree(folder, ignore_errors=True)

    async def call(self, what: str, **fields: object) -> object:
        reader, writer = await asyncio.open_unix_connection(str(self.server / "socket"), limit=2**26)
        try:
            writer.write(json.dumps({"what": what, **fields}).encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
        if not line:
            raise RuntimeError("Network connection lost.")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    async def terminal(self, session: str, shell: str, cols: int, rows: int) -> Terminal:
        known = self.sessions.get(session)
        if known:
            return known

        def ask() -> int:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(START_S)
                connection.connect(str(self.server / "socket"))
                call = {"what": "pty", "shell": shell, "cols": cols, "rows": rows}
                connection.sendall(json.dumps(call).encode() + b"\n")
                _, fds, _, _ = socket.recv_fds(connection, 1, 1)
                return fds[0]

        made = self.sessions[session] = Terminal(await asyncio.to_thread(ask))
        return made


class Emulator:
    def __init__(self, folder: pathlib.Path, paths: list[pathlib.Path]) -> None:
        self._folder = folder
        self._paths = paths
        self._containers: dict[str, Container] = {}
        self._starting: dict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._failures: list[dict[str, Any]] = []
        self._calls: list[list[object]] = []
        self.worker: Worker | None = None

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/rpc/{name}/{method}", self._rpc)
        app.router.add_get("/pty/{name}", self._pty)
        app.router.add_post("/control/{what}", self._control)
        app.router.add_get("/control/{what}", self._control)
        return app

    async def stop(self) -> None:
        await asyncio.gather(*(container.stop() for container in self._containers.values()))

    async def _container(self, name: str) -> Container:
        async with self._starting[name]:
            container = self._containers.get(name)
            if container is None or not container.alive:
                container = Container(name, self._folder / f"{name}.{secrets.token_hex(4)}", self._paths)
                await container.start()
                self._containers[name] = container
            return container

    async def _rpc(self, request: web.Request) -> web.Response:
        name, method = request.match_info["name"], request.match_info["method"]
        args = await request.json()
        self._calls.append([name, method, args[0] if args else None])
        try:
            await self._fail(method)
            return web.json_response({"result": await self._do(name, method, args)})
        except Exception as error:  # whatever it is, the SDK's object would throw it
            return web.json_response({"error": str(error) or repr(error)})

    async def _fail(self, method: str) -> None:
        for failure in self._failures:
            if method != "configure" and failure.get("method") in (None, method):
                failure["count"] -= 1
                if failure["count"] <= 0:
                    self._failures.remove(failure)
                if failure["how"] == "hang":
                    await asyncio.sleep(3600)
                raise RuntimeError(FAILURES[failure["how"]])

    async def _do(self, name: str, method: str, args: list[Any]) -> object:
        match method:
            case "configure":
                return None
            case "exec":
                command, _, options = [*args, None, None][:3]
                container = await self._container(name)
                return await container.call("exec", **(options or {}), command=command)
            case "writeFile":
                path, content, options = [*args, None][:3]
                container = await self._container(name)
                return await container.call("write", **(options or {}), path=path, content=content)
            case "createSession":
                sessions = (await self._container(name)).sessions
                if args[0]["id"] in sessions:
                    raise RuntimeError(f"Session '{args[0]['id']}' already exists")
                sessions[args[0]["id"]] = None
                return {"id": args[0]["id"], "terminal": None}
            case "destroy":
                if name in self._containers:
                    await self._containers.pop(name).stop()
                return None
        raise RuntimeError(f"the SDK's object has no {method} here")

    async def _pty(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        query = request.query
        cols, rows = int(query.get("cols", 80)), int(query.get("rows", 24))
        container = await self._container(request.match_info["name"])
        terminal = await container.terminal(query["sessionId"], query.get("shell", "bash"), cols, rows)
        if terminal.kept:
            await ws.send_bytes(bytes(terminal.kept))
        terminal.sockets.add(ws)
        await ws.send_json({"type": "ready"})
        over = asyncio.ensure_future(self._tell_end(terminal, ws))
        try:
            async for message in ws:
                if message.type == WSMsgType.BINARY:
                    with contextlib.suppress(OSError):
                        os.write(terminal.master, message.data)
                elif message.type == WSMsgType.TEXT:
                    control = json.loads(message.data)
                    if control.get("type") == "resize":
                        terminal.resize(control["cols"], control["rows"])
        finally:
            over.cancel()
            terminal.sockets.discard(ws)
        return ws

    async def _tell_end(self, terminal: Terminal, ws: web.WebSocketResponse) -> None:
        await terminal.over.wait()
        await ws.send_json({"type": "exit", "code": 0})
        await ws.close()

    async def _control(self, request: web.Request) -> web.Response:
        fields = await request.json() if request.can_read_body else {}
        match request.match_info["what"]:
            case "fail":
                self._failures = [fields] if fields.get("count", 1) else []
            case "lose":
                if fields["id"] in self._containers:
                    await self._containers.pop(fields["id"]).stop()
            case "reset":
                self._failures, self._calls = [], []
                await asyncio.gather(*(self._containers.pop(name).stop() for name in list(self._containers)))
            case "alive":
                alive = sorted(name for name, container in self._containers.items() if container.alive)
                return web.json_response({"alive": alive})
            case "calls":
                return web.json_response({"calls": self._calls})
            case "worker":
                assert self.worker is not None
                await (self.worker.start() if fields["on"] else self.worker.stop())
            case _:
                raise web.HTTPNotFound
        return web.json_response({})


class Worker:
    """workerd with the bundle. Its storage is a folder, so that it remembers its leases over a restart."""

    def __init__(self, folder: pathlib.Path, packages: pathlib.Path, token: str, emulator_port: int, port: int) -> None:
        self._folder, self._packages, self._token = folder, packages, token
        self._emulator_port, self.port = emulator_port, port
        self._process: asyncio.subprocess.Process | None = None

    async def bundle(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "storage").mkdir(exist_ok=True)
        shutil.copy(HERE / "config.capnp", self._folder)
        argv = [str(self._packages / ".bin/esbuild"), str(HERE / "index.ts"), f"--outfile={self._folder}/worker.js"]
        argv += BUNDLE.split()
        # In a clone without packages of its own those of --packages are found.
        env = os.environ | {"NODE_PATH": str(self._packages)}
        process = await asyncio.create_subprocess_exec(*argv, env=env)
        if await process.wait() != 0:
            raise RuntimeError("esbuild failed")

    async def start(self) -> None:
        if self._process is not None:
            return
        program = next((self._packages / "@cloudflare").glob("workerd-*/bin/workerd"))
        argv = ["setpriv", "--pdeathsig", "KILL", str(program), "serve", "config.capnp"]
        argv += [f"--socket-addr=http=127.0.0.1:{self.port}", f"--directory-path=storage={self._folder}/storage"]
        argv += [f"--external-addr=emulator=127.0.0.1:{self._emulator_port}"]
        env = {"PATH": os.environ["PATH"]} | ({"DISPATCH_TOKEN": self._token} if self._token else {})
        log = self._folder / "log"
        with log.open("ab") as file:
            self._process = await asyncio.create_subprocess_exec(
                *argv, cwd=self._folder, env=env, stdout=file, stderr=file
            )
        async with asyncio.timeout(START_S), ClientSession() as client:
            while True:
                try:
                    async with client.get(f"http://127.0.0.1:{self.port}/health"):
                        return
                except OSError:
                    if self._process.returncode is not None:
                        raise RuntimeError(f"workerd: {log.read_text(errors='replace')[-1000:]}") from None
                    await asyncio.sleep(0.02)

    async def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=pathlib.Path, help="folder for what it keeps; a temporary one otherwise")
    parser.add_argument("--packages", type=pathlib.Path, default=HERE.parent / "node_modules")
    programs = "a folder with programs that the image would have"
    parser.add_argument("--path", type=pathlib.Path, action="append", default=[], help=programs)
    parser.add_argument("--token", help="DISPATCH_TOKEN; made otherwise; empty: unset")
    parser.add_argument("--port", type=int, default=0, help="the Worker's")
    options = parser.parse_args()
    state = (options.state or pathlib.Path(tempfile.mkdtemp(prefix="chomp-emulator-"))).resolve()
    token = secrets.token_urlsafe(24) if options.token is None else options.token
    emulator = Emulator(state / "sandboxes", [path.resolve() for path in options.path])
    runner = web.AppRunner(emulator.app(), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    control_port = runner.addresses[0][1]
    port = options.port or free_port()
    emulator.worker = Worker(state / "workerd", options.packages.resolve(), token, control_port, port)
    done = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, done.set)
    try:
        await emulator.worker.bundle()
        await emulator.worker.start()
        found = {
            "url": f"http://127.0.0.1:{emulator.worker.port}",
            "token": token,
            "control": f"http://127.0.0.1:{control_port}/control",
        }
        print(json.dumps(found), flush=True)
        if not sys.stdin.isatty():  # whoever started it holds its stdin: with that process this one ends
            reading = asyncio.ensure_future(asyncio.to_thread(sys.stdin.buffer.read))
            reading.add_done_callback(lambda _: done.set())
        await done.wait()
    finally:
        await emulator.worker.stop()
        await emulator.stop()
        await runner.cleanup()
        if not options.state:
            shutil.rmtree(state, ignore_errors=True)
    os._exit(0)  # the thread that reads stdin does not end by itself


if __name__ == "__main__":
    asyncio.run(main())
