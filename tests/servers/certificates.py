"""Certificates for a test: an authority, its server's and its client's, and a client's of another authority."""

from dataclasses import dataclass
from pathlib import Path

import trustme

from schemas.tls import Tls

NAME = "localhost"


@dataclass(frozen=True)
class Certificates:
    """PEM files; a server's and a client's hold certificate and key. The server's is for NAME alone."""

    ca: Path
    server: Path
    client: Path
    other_ca: Path
    other_client: Path

    @property
    def tls(self) -> Tls:
        """What a client needs that the server lets in."""
        return Tls(self.ca, self.client)


def issue(folder: Path) -> Certificates:
    """Write the files into the folder."""
    authority, other = trustme.CA(), trustme.CA()
    certificates = Certificates(
        *(folder / f"{name}.pem" for name in ("ca", "server", "client", "other-ca", "other-client"))
    )
    authority.cert_pem.write_to_path(certificates.ca)
    other.cert_pem.write_to_path(certificates.other_ca)
    for path, leaf in (
        (certificates.server, authority.issue_cert(NAME)),
        (certificates.client, authority.issue_cert("rdg@client.test")),
        (certificates.other_client, other.issue_cert("rdg@client.test")),
    ):
        leaf.private_key_and_cert_chain_pem.write_to_path(path)
        path.chmod(0o600)
    return certificates
