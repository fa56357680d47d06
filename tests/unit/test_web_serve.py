"""The server itself: threads, addresses, ports, slow visitors and signals."""

import http.client
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager

import pytest
from flask import Flask

from mlip_fw.errors import WorkerError
from mlip_fw.views.web.server import address_of, open_server


@contextmanager
def serving(host="127.0.0.1", timeout_s=60.0, **pages):
    app = Flask("served")
    for name, page in {"here": lambda: "here", **pages}.items():
        app.add_url_rule(f"/{name}", name, page)
    with open_server(app, host, 0, timeout_s=timeout_s) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def read(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::"])
def test_a_browser_here_finds_it(host):
    if ":" in host:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
    with serving(host) as server:
        address = address_of(server)
        assert read(f"{address}here") == b"here"
    assert (
        address == f"http://{ {'0.0.0.0': '127.0.0.1', '::': '[::1]', '::1': '[::1]'}.get(host, host) }:{server.port}/"
    )


def test_one_who_waits_holds_up_nobody():
    is_asked, goes_on = threading.Event(), threading.Event()
    with serving(slow=lambda: is_asked.set() or str(goes_on.wait(3))) as server:
        found = []
        waiting = threading.Thread(target=lambda: found.append(read(f"{address_of(server)}slow")))
        waiting.start()
        assert is_asked.wait(10)
        assert read(f"{address_of(server)}here") == b"here"
        goes_on.set()
        waiting.join()
    assert found == [b"True"]


def test_one_who_never_ends_asking_is_given_up():
    with serving(timeout_s=0.3) as server, socket.create_connection(("127.0.0.1", server.port), timeout=5) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert visitor.recv(100) == b""


def test_it_names_no_versions_and_says_nothing(capfd):
    with serving() as server:
        asking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        asking.request("GET", "/here")
        assert asking.getresponse().getheader("Server") == "mlip-fw"
        asking.close()
    assert capfd.readouterr() == ("", "")


def test_behind_the_last_port_there_is_none():
    with socket.socket() as last:
        last.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            last.bind(("127.0.0.1", 65535))
            last.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        with pytest.raises(WorkerError, match="no port from 65535 .* is free on 127"):
            open_server(Flask("served"), "127.0.0.1", 65535)


def test_only_so_many_ports_are_tried():
    with serving() as server, pytest.raises(WorkerError, match=f"no port from {server.port} to {server.port} is free"):
        open_server(Flask("served"), "127.0.0.1", server.port, n_ports=1)


_SCRIPT = """
import signal, urllib.request
from flask import Flask
from mlip_fw.views.web.server import address_of, open_server, serve_until_signal

app = Flask("served")
app.add_url_rule("/", "here", lambda: "here")
with open_server(app, "127.0.0.1", 0) as server:
    address = address_of(server)
    print(address, flush=True)
    serve_until_signal(server)
    print("blocked:", *signal.pthread_sigmask(signal.SIG_BLOCK, []))
    try:
        print(urllib.request.urlopen(address, timeout=0.5).read())
    except OSError:
        print("silent")
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_nothing_of_it_stays(how):
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert read(process.stdout.readline().strip()) == b"here"
        process.send_signal(how)
        assert process.communicate(timeout=20) == ("blocked:\nsilent\n", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
