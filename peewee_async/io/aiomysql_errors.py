"""What goes wrong with a MySQL server and its driver does not say."""

from __future__ import annotations

from pymysql.constants import CR
from pymysql.err import OperationalError

LARGE = 2**20  # bytes: the smallest max_allowed_packet that servers come with


def no_tls() -> OperationalError:
    """Make the error for a server that has to have TLS."""
    text = "TLS is required, but the server does not have it"
    return OperationalError(CR.CR_SSL_CONNECTION_ERROR, text)


def lost() -> OperationalError:
    """Make the error for a connection that is closed in the middle of a statement."""
    text = "Lost connection to MySQL server during query"
    return OperationalError(CR.CR_SERVER_LOST, text)


def too_long(size: int) -> OperationalError:
    """Make the error for a server that hangs up in the middle of a statement.

    size: of the statement, in bytes.
    """
    return OperationalError(
        CR.CR_SERVER_GONE_ERROR,
        f"MySQL server has gone away during a statement of {size} bytes, perhaps more "
        "than its max_allowed_packet",
    )


def unreadable(error: Exception) -> OperationalError:
    """Make the error for a reply that nobody can go on reading."""
    reason = f"the server's reply cannot be read ({type(error).__name__}: {error})"
    return OperationalError(CR.CR_MALFORMED_PACKET, reason)
