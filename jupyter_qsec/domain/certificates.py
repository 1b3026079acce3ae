"""Why the certificate of the other side was not taken, in words for people."""

from __future__ import annotations

import ssl

# OpenSSL's X509_V_ERR_…
_NOT_YET, _EXPIRED = 9, 10
_OTHER_NAME = frozenset({62, 63, 64})
_FOR_ANOTHER = "its certificate is for another name"


def certificate_problem(error: BaseException) -> str:
    """What is wrong with the other side's certificate, such as `its certificate has expired`, when that is why there is
    no connection; otherwise nothing. Names no address. `error` may be a library's own, with the reason below it."""
    seen: list[BaseException] = []
    found: object = error
    while isinstance(found, BaseException) and found not in seen:
        if isinstance(found, ssl.SSLCertVerificationError):
            return _words(found)
        if type(found).__name__ == "CertificateError":  # urllib3's, which compares names itself
            return _FOR_ANOTHER
        seen.append(found)
        below = getattr(found, "reason", None)  # urllib's
        found = below if isinstance(below, BaseException) else found.__cause__ or found.__context__
    return ""


def _words(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet"
    if error.verify_code in _OTHER_NAME:
        return _FOR_ANOTHER
    return f"its certificate is not trusted here: {error.verify_message}"
