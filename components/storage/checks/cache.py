"""Looks at a Redis or Valkey as Harbor will use it.

In the environment: RELEASE, ADDRESSES (host:port, with commas), USER_NAME, MASTER (of sentinels), TLS and INDEXES
(path=number, with commas); PASSWORD and CA are files of the release. What is not there is empty.
"""

import os
import socket
import ssl
import sys

SECONDS = 4


class Stop(Exception):
    """What makes further questions useless."""


def setting(name):
    return os.environ.get(name, "")


def text_of(name):
    path = setting(name)
    if not path:
        return ""
    with open(os.path.join(setting("RELEASE"), path), encoding="utf-8") as file:
        return file.read().rstrip("\n")


class Refused(Exception):
    """An error that the server answered with."""


class Connection:
    def __init__(self, address, what):
        self.address = address
        host, _, port = address.rpartition(":")
        try:
            plain = socket.create_connection((host, int(port)), SECONDS)
        except socket.gaierror:
            raise Stop(f"storage.cache.host: the name {host} is not known here; expected a name that this machine can resolve")
        except ConnectionRefusedError:
            raise Stop(f"storage.cache.host: nothing listens at {address}; expected {what} that this machine may reach")
        except OSError as problem:
            raise Stop(f"storage.cache.host: {address} does not answer ({problem}); expected {what} that this machine may reach")
        self.socket = self.secured(plain, host) if setting("TLS") == "true" else plain
        self.file = self.socket.makefile("rb")

    def secured(self, plain, host):
        ca = setting("CA")
        context = ssl.create_default_context(cafile=os.path.join(setting("RELEASE"), ca) if ca else None)
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as problem:
            if "match" in problem.verify_message:
                raise Stop(f"storage.cache.host: the certificate of {self.address} has another name: {problem.verify_message}")
            raise Stop(
                f"storage.cache.caCertificate: the certificate of {self.address} is not trusted: "
                f"{problem.verify_message}; expected the CA that signed it"
            )
        except (ssl.SSLError, OSError) as problem:
            raise Stop(f"storage.cache.tls: {self.address} does not speak TLS ({problem}); expected tls: false, or a server with TLS")

    def ask(self, *words):
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = word.encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        try:
            self.socket.sendall(b"".join(parts))
            return self.answer()
        except OSError as problem:
            raise Stop(self.silent(problem))

    def answer(self):
        line = self.file.readline()
        if not line:
            raise Stop(self.silent("it closed the connection"))
        kind, rest = line[:1], line[1:].strip().decode("utf-8", "replace")
        if kind == b"-":
            raise Refused(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.file.read(size + 2)[:-2].decode("utf-8", "replace")
        if kind == b"*":
            return None if int(rest) < 0 else [self.answer() for _ in range(int(rest))]
        if kind in b"+:":
            return rest
        raise Stop(f"storage.cache.host: what answers at {self.address} is no Redis; expected a Redis or Valkey")

    def silent(self, problem):
        if setting("TLS") == "true":
            return f"storage.cache.host: {self.address} does not answer: {problem}"
        return f"storage.cache.tls: {self.address} does not answer without TLS ({problem}); expected tls: true where the server has TLS"

    def login(self):
        user, password = setting("USER_NAME"), text_of("PASSWORD")
        if not password:
            return
        try:
            self.ask("AUTH", *([user] if user else []), password)
        except Refused as problem:
            if "without any password configured" in str(problem) or "no password is set" in str(problem):
                raise Stop(f"storage.cache.password: {self.address} has none; expected no password here, or one set there")
            raise Stop(f"storage.cache.password: {self.address} does not take it: {problem}")


def master_of(addresses, master):
    """Where the master is, as the first sentinel that can be asked knows it."""
    last = None
    for address in addresses:
        try:
            found = Connection(address, "a sentinel").ask("SENTINEL", "get-master-addr-by-name", master)
        except Refused as problem:
            last = Stop(f"storage.cache.host: {address} is no sentinel that can be asked: {problem}")
            continue
        except Stop as problem:
            last = problem
            continue
        if found is None:
            raise Stop(f"storage.cache.sentinelMaster: the sentinel {address} does not know {master}; expected the name of a master set")
        return ":".join(found)
    raise last


def ping(connection):
    try:
        connection.ask("PING")
    except Refused as problem:
        word = str(problem)
        if word.startswith("NOAUTH"):
            raise Stop(f"storage.cache.password: {connection.address} wants one; expected the name of the secret that holds it")
        raise Stop(f"storage.cache.username: {connection.address} refuses: {word}")


def look():
    addresses = [each for each in setting("ADDRESSES").split(",") if each]
    master = setting("MASTER")
    connection = Connection(master_of(addresses, master) if master else addresses[0], "a Redis or Valkey")
    connection.login()
    ping(connection)
    for each in setting("INDEXES").split(","):
        path, _, number = each.partition("=")
        try:
            if number:
                connection.ask("SELECT", number)
        except Refused as problem:
            yield "error", f"storage.cache.indexes.{path}: {connection.address} has no database {number}: {problem}"
    try:
        info = connection.ask("INFO") or ""
    except Refused:
        return
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    if facts.get("role") == "slave":
        yield "error", f"storage.cache.host: {connection.address} is a replica, which takes no writes; expected the master, or its sentinels"
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield "warning", (
            f"storage.cache: {connection.address} throws keys away when its memory is full (maxmemory-policy {policy}), "
            "and with them jobs that wait; expected noeviction"
        )


try:
    for kind, message in look():
        print(kind, message)
except Stop as problem:
    print("error", problem)
sys.stdout.flush()
