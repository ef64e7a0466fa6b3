"""Tests never leave the machine: only loopback and unix sockets, in this process and in its children."""
