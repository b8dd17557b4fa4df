"""What listens inside an emulated sandbox, in the place of the SDK's container server. Standard library only.

A connection sends one JSON line. `exec`: the answer is one JSON line. `pty`: the answer is a byte with the terminal's
file descriptor, and its caller reads and writes that by itself.
"""

import array
import base64
import fcntl
import json
import os
import pathlib
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from typing import Any

TIMED_OUT = 124  # as the SDK's server has it
GRACE_S = 5


def run(call: dict[str, Any]) -> dict[str, Any]:
    child = subprocess.Popen(
        ["/bin/bash", "-lc", call["command"]],
        cwd=call.get("cwd") or "/workspace",
        env=os.environ | (call.get("env") or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    late = ""
    timeout = call.get("timeout")
    try:
        out, err = child.communicate(timeout=timeout / 1000 if timeout else None)
    except subprocess.TimeoutExpired:
        late = f"Command timed out after {timeout}ms"
        os.killpg(child.pid, signal.SIGTERM)
        try:
            out, err = child.communicate(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
    code = child.returncode if child.returncode >= 0 else 128 - child.returncode
    return {
        "exitCode": TIMED_OUT if late else code,
        "success": not late and code == 0,
        "stdout": out.decode(errors="replace"),
        "stderr": err.decode(errors="replace") + late,
    }


def write(call: dict[str, Any]) -> dict[str, Any]:
    content = call["content"]
    data = base64.b64decode(content) if call.get("encoding") == "base64" else content.encode()
    pathlib.Path(call["path"]).write_bytes(data)
    return {"success": True, "path": call["path"]}


def open_pty(call: dict[str, Any], connection: socket.socket) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", call["rows"], call["cols"], 0, 0))
    child = subprocess.Popen(
        ["setsid", "-c", call["shell"]],
        cwd="/",
        env=os.environ | {"TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    connection.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))])
    os.close(master)
    connection.sendall(b"%d\n" % child.wait())


def serve(connection: socket.socket) -> None:
    with connection:
        call = json.loads(connection.makefile("rb").readline())
        try:
            if call["what"] == "pty":
                return open_pty(call, connection)
            answer: dict[str, Any] = {"result": (run if call["what"] == "exec" else write)(call)}
        except Exception as error:  # whatever it is, its caller is told
            answer = {"error": f"{type(error).__name__}: {error}"}
        connection.sendall(json.dumps(answer).encode() + b"\n")


def main() -> None:
    modes = {
        "/workspace": 0o755,
        "/home/agent": 0o755,
        "/root": 0o700,
        "/tmp": 0o1777,
        "/var/tmp": 0o1777,
        "/opt": 0o755,
    }
    for folder, mode in modes.items():
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, mode)
    if os.geteuid() == 0:
        os.chown("/home/agent", 1000, 1000)
        os.chown("/workspace", 1000, 1000)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
