"""Which servers a process trusts and what it shows them. The same for the bus and the store.

A certificate is always checked, and that it is the server's by name; TLS is 1.2 or later. No setting turns that off.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.secret_file import check_private

# What the drivers say, in the order in which to look for it, and what to do. A server that is not content with the
# client's certificate, or with none, may close the connection before its alert can be read.
_REMEDIES = {
    "mismatch": "use the name that the server's certificate is for in {url}",
    "expired": "renew the server's certificate",
    "CERTIFICATE_VERIFY_FAILED": "set RDG_TLS_CA to the authority that issued the server's certificate",
    "WRONG_VERSION_NUMBER": "no TLS is spoken there: correct the port in {url}",
    "ALERT": "{client}",
    "reset": "{client}",
    "closed": "{client}",
    "pipe": "{client}",
    "expected bytes": "{client}",
}


@dataclass(frozen=True)
class Tls:
    """The files of a process's TLS connections.

    Attributes:
        ca: PEM file with the certificates of trusted authorities; None: those of the system.
        certificate: PEM file with this process's certificate, what it was issued by, and its key without a
            passphrase, closed to other users; None: it shows none.

    """

    ca: Path | None = None
    certificate: Path | None = None

    @property
    def is_set(self) -> bool:
        """Whether the settings ask for TLS."""
        return self.ca is not None or self.certificate is not None

    def context(self) -> ssl.SSLContext:
        """Return a client's context; reads the files.

        Raises:
            ValueError: A file cannot be used; one line that names its setting and what to do.

        """
        with _blamed_on("RDG_TLS_CA", self.ca, "a PEM file of certificates"):
            context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            with _blamed_on(
                "RDG_TLS_CERT", self.certificate, "a PEM file of a certificate and its key"
            ):
                check_private(self.certificate)
                context.load_cert_chain(self.certificate, password=_no_passphrase)
        return context

    def remedy(self, reason: str, url: str) -> str:
        """Return what to do about a TLS connection that could not be opened; empty if `reason` tells nothing.

        Args:
            reason: The driver's words, with OpenSSL's in them.
            url: Name of the setting with the server's address.

        """
        client = (
            "if it runs, it does not accept the certificate in RDG_TLS_CERT: use one of an authority that it knows"
            if self.certificate
            else "if it runs, it wants a certificate of this process: set RDG_TLS_CERT"
        )
        return next(
            (
                _REMEDIES[sign].format(url=url, client=client)
                for sign in _REMEDIES
                if sign in reason
            ),
            "",
        )


SYSTEM = Tls()
"""Trusts the authorities of the system, and shows no certificate."""


@contextmanager
def _blamed_on(setting: str, path: Path | None, wanted: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise ValueError(f"{setting}: {path} is not {wanted} ({error.reason})") from None
    except OSError as error:
        raise ValueError(f"{setting}: {path}: {error.strerror}; correct {setting}") from None
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None


def _no_passphrase() -> str:
    raise ValueError("its key has a passphrase; use one without")
