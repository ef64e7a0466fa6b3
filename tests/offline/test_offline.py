import socket
import subprocess
import sys

import pytest

CALL = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"


def test_this_process_cannot_leave_the_machine():
    with pytest.raises(PermissionError, match="never leave"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_child_processes_cannot_leave_the_machine():
    done = subprocess.run([sys.executable, "-c", CALL], capture_output=True, text=True)
    assert done.returncode != 0
    assert "never leave" in done.stderr


def test_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()
