"""TLS of MySQL connections, by the options of PyMySQL."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ssl import (
    CERT_NONE,
    CERT_OPTIONAL,
    CERT_REQUIRED,
    PROTOCOL_TLS_CLIENT,
    VERIFY_X509_STRICT,
    SSLContext,
    VerifyMode,
    create_default_context,
)
from typing import Any

from pymysql.optionfile import Parser

# The options that stand for a dict, and its keys.
_KEYS = {
    "ssl_ca": "ca",
    "ssl_cert": "cert",
    "ssl_key": "key",
    "ssl_key_password": "password",
    "ssl_verify_cert": "verify_mode",
    "ssl_verify_identity": "check_hostname",
}
_FILE_KEYS = ("ca", "capath", "cert", "key", "password", "cipher")
_MODES = {
    **dict.fromkeys(("none", "0", "false", "no"), CERT_NONE),
    "optional": CERT_OPTIONAL,
    **dict.fromkeys(("required", "1", "true", "yes"), CERT_REQUIRED),
}


def take_tls(options: dict[str, Any]) -> tuple[SSLContext | None, bool]:
    """Take the options of TLS out: the context, and whether TLS has to be.

    With no option TLS is used if the server has it, without asking who it is.
    """
    disabled = options.pop("ssl_disabled", None)
    whole = options.pop("ssl", None)
    single = {key: options.pop(name, None) for name, key in _KEYS.items()}
    if disabled:
        return None, False
    if not isinstance(whole, SSLContext):
        whole = _from_file(options, dict(whole or {}))
    if any(value for key, value in single.items() if key != "password"):
        whole = {key: value for key, value in single.items() if value is not None}
        whole["check_hostname"] = identity = bool(single["check_hostname"])
        whole["verify_mode"] = identity or single["verify_mode"] or False
    if whole:
        return whole if isinstance(whole, SSLContext) else _context(whole), True
    return (None if options.get("unix_socket") else _context({})), False


def _from_file(options: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    group = options.get("read_default_group")
    name = options.get("read_default_file") or (group and "/etc/my.cnf")
    if not name:
        return given
    file = Parser()
    file.read(os.path.expanduser(name))
    for key in _FILE_KEYS:
        if not given.get(key) and file.has_option(group or "client", f"ssl-{key}"):
            given[key] = file.get(group or "client", f"ssl-{key}")
    return given


def _context(tls: Mapping[str, Any]) -> SSLContext:
    file, folder = tls.get("ca"), tls.get("capath")
    is_known = file is not None or folder is not None
    mode = _verify_mode(tls.get("verify_mode"), is_known)
    if is_known or mode is not CERT_NONE:
        context = create_default_context(cafile=file, capath=folder)
    else:
        context = SSLContext(PROTOCOL_TLS_CLIENT)
    # The certificates that MySQL makes for itself are not strictly right.
    context.verify_flags &= ~VERIFY_X509_STRICT
    # PyMySQL leaves out the name, though it was asked for, where no CA is given.
    named = bool(tls.get("check_hostname", is_known))
    context.check_hostname = named and (is_known or mode is CERT_REQUIRED)
    context.verify_mode = mode
    if "cert" in tls:
        context.load_cert_chain(tls["cert"], tls.get("key"), tls.get("password"))
    if "cipher" in tls:
        context.set_ciphers(tls["cipher"])
    return context


def _verify_mode(value: Any, is_known: bool) -> VerifyMode:
    if isinstance(value, bool):
        return CERT_REQUIRED if value else CERT_NONE
    usual = CERT_REQUIRED if is_known else CERT_NONE
    return _MODES.get(str(value).lower(), usual) if value is not None else usual
