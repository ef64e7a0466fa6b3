"""Keeps a Python process off the network: put first on PYTHONPATH, it reaches child processes too."""

import ipaddress
import os
import pathlib
import runpy
import sys


def _loopback(host: object) -> bool:
    if host in ("localhost", "", None, b"localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, args: tuple) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        # a tuple is an internet address; a unix socket's is text
        if isinstance(address, tuple) and not _loopback(address[0]):
            raise PermissionError(f"tests never leave the machine: {event} to {address}")
    if event == "socket.getaddrinfo" and not _loopback(args[0]):
        raise PermissionError(f"tests never leave the machine: looking up {args[0]!r}")


sys.addaudithook(_guard)

if os.environ.get("AURICLE_DUMMY"):  # the contract suite over a system that is not in the package
    runpy.run_path(str(pathlib.Path(__file__).parents[1] / "dummy" / "register.py"))
