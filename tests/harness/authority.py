"""A private authority made by openssl, and the certificates that it signs."""

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]

NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


@dataclass(frozen=True)
class Authority:
    """The files of an authority. Authorities have one name, as if one were forged."""

    home: Path

    @classmethod
    def create(cls, home: Path) -> "Authority":
        home.mkdir(mode=0o755)
        openssl(home, f"req -x509 {NEW_KEY} -subj /CN=authority -keyout authority.key -out authority.pem")
        return cls(home)

    @property
    def file(self) -> Path:
        """The certificate."""
        return self.home / "authority.pem"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as openssl prints it."""
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.file.read_text())).hexdigest().upper()
        return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))

    def sign(self, name: str, host: str = "IP:127.0.0.1", days: int = 30, subject: str = "node") -> Path:
        """A certificate for a host and its key, in one file. `days`: until it expires; below 0 it has expired.

        `subject`: its common name.
        """
        (self.home / "extensions").write_text(f"subjectAltName = {host}")
        openssl(self.home, f"req {NEW_KEY} -subj /CN={subject} -keyout {name}.key -out {name}.csr")
        openssl(
            self.home,
            f"x509 -req -in {name}.csr -CA authority.pem -CAkey authority.key -extfile extensions -days {days} "
            f"-out {name}.crt",
        )
        pem = self.home / f"{name}.pem"
        pem.write_text((self.home / f"{name}.crt").read_text() + (self.home / f"{name}.key").read_text())
        return pem

    def grpc_credentials(self, name: str, days: int = 30) -> Any:
        """For a gRPC server with such a certificate."""
        self.sign(name, days=days)
        return grpc.ssl_server_credentials(
            [((self.home / f"{name}.key").read_bytes(), (self.home / f"{name}.crt").read_bytes())]
        )

    def server_context(self, name: str, host: str = "IP:127.0.0.1", days: int = 30) -> ssl.SSLContext:
        """For a server with such a certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.sign(name, host, days))
        return context


def openssl(home: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=home, check=True, capture_output=True, timeout=30)
