"""The API in JSON: requests over HTTP/1.1, streams, and WebSockets made by hand."""

import base64
import http.client
import json
import os
import re
import socket
import struct

from .member import Member

# What differs between two servers of different versions that are asked the same.
_FREE = [
    (re.compile(r'"version":"\d+\.\d+\.\d+[^"]*"'), '"version":"V"'),
    (re.compile(r'"(dbSize|dbSizeInUse|raftIndex|raftAppliedIndex|remaining_bytes)":"\d+"'), r'"\1":"N"'),
    # Fields of a status that came after 3.4.
    (re.compile(r',"storageVersion":"[^"]*"|,"dbSizeQuota":"\d+"|,"downgradeInfo":{[^}]*}'), ""),
    (re.compile(r'"hash":\d+(,"compact_revision":"-?\d+")?(,"hash_revision":"\d+")?'), '"hash":N'),
    (re.compile(r'"token":"[^"]*"'), '"token":"T"'),
]


def b64(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Gateway:
    """Asks one member in JSON and keeps what it answered."""

    def __init__(self, member: Member, headers: dict[str, str] | None = None):
        self.member = member
        self.headers = dict(headers or {})
        self.transcript: list[str] = []
        self.leases: list[str] = []

    def post(self, path: str, body: object = "{}", **headers: str) -> str:
        """Posts to `path` and returns the answer's body. A body that is no text is written as JSON."""
        return self.ask("POST", path, body, **headers)[1]

    def ask(self, method: str, path: str, body: object = None, *shown: str, **headers: str) -> tuple[int, str]:
        """Asks, and keeps status, content type and body, and the fields named in `shown`."""
        text = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.member.port, timeout=20)
        try:
            fields = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
            connection.request(method, path, text, fields)
            response = connection.getresponse()
            answer = response.read().decode("utf-8", "surrogateescape")
            fields = [f"{name}: {response.headers.get(name)}" for name in ("Content-Type", *shown)]
            self.note(f"{method} {path} {str(text)[:300]}", f"{response.status} {fields} {answer}")
            return response.status, answer
        finally:
            connection.close()

    def stream(self, path: str, body: object, lines: int, **headers: str) -> list[str]:
        """Posts to `path` and returns the first lines of the answer, then leaves."""
        text = body if isinstance(body, str) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.member.port, timeout=20)
        try:
            fields = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
            connection.request("POST", path, text, fields)
            response = connection.getresponse()
            answers = []
            while len(answers) < lines:
                line = response.readline().decode()
                if not line:
                    break
                answers.append(line)
            self.note(
                f"stream {path} {text[:300]}",
                f"{response.status} {response.headers.get('Content-Type')} {''.join(answers)}")
            return answers
        finally:
            connection.close()

    def note(self, question: str, answer: str) -> None:
        self.transcript.append(self.normalised(f"{question}\n{answer}"))

    def normalised(self, text: str) -> str:
        for number, lease in enumerate(self.leases, start=1):
            text = re.sub(rf'"?\b{lease}\b"?', f"<lease {number}>", text)
            text = text.replace(f"{int(lease):x}", f"<lease {number}>")
        # Keys of locks end with their lease's number, and that is hidden in base64.
        for number, lease in enumerate(self.leases, start=1):
            for key in re.findall(r'"key": ?"([A-Za-z0-9+/=]+)"', text):
                plain = base64.b64decode(key)
                if f"{int(lease):x}".encode() in plain:
                    text = text.replace(key, f"<key of lease {number}>")
        for pattern, replacement in _FREE:
            text = pattern.sub(replacement, text)
        return text.replace(str(self.member.port), "PORT")

    def grant(self, ttl: int) -> str:
        """A lease of the server's choosing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.member.port, timeout=20)
        connection.request("POST", "/v3/lease/grant", json.dumps({"TTL": ttl}), self.headers)
        lease = json.loads(connection.getresponse().read())["ID"]
        connection.close()
        self.leases.append(lease)
        return lease


class WebSocket:
    """A client's end of a WebSocket (RFC 6455), with nothing but sockets."""

    def __init__(self, member: Member, path: str, *fields: str):
        self.socket = socket.create_connection(("127.0.0.1", member.port), timeout=20)
        self.file = self.socket.makefile("rb")
        lines = [
            f"GET {path} HTTP/1.1", "Host: member", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *fields, "", "",
        ]
        self.socket.sendall("\r\n".join(lines).encode())
        self.status = self.file.readline().decode().strip()
        self.headers = {}
        while (line := self.file.readline().decode().strip()):
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    def send(self, payload: str | bytes, opcode: int = 1, fin: bool = True) -> None:
        data = payload if isinstance(payload, bytes) else payload.encode()
        mask = os.urandom(4)
        head = bytes([(0x80 if fin else 0) | opcode])
        if len(data) < 126:
            head += bytes([0x80 | len(data)])
        elif len(data) < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", len(data))
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", len(data))
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))

    def receive(self) -> tuple[int, bytes] | None:
        """The next frame's opcode and payload; None when the connection ended."""
        try:
            head = self.file.read(2)
        except ConnectionResetError:
            return None
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack(">H", self.file.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.file.read(8))[0]
        return head[0] & 0x0F, self.file.read(length)

    def close(self) -> None:
        self.file.close()
        self.socket.close()
