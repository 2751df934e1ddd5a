"""The one shape of a SAML response that is accepted, checked before any signature is.

Signature wrapping works because one part of a program checks a signed element and another reads a second one. Here
there can be no second one: exactly one response with one assertion, each with one signature over exactly itself, and
nothing else that could hold an element (OASIS SAML 2.0 Core 5.4; Somorovsky et al., On Breaking SAML, 2012).
"""

import base64
import binascii
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from opaa.identity.external import SignOnError

PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:protocol}"
ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}"
SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
DECLINED = {f"urn:oasis:names:tc:SAML:2.0:status:{code}" for code in ("AuthnFailed", "RequestDenied", "NoPassive")}
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
TRANSFORMS = {"http://www.w3.org/2000/09/xmldsig#enveloped-signature", EXCLUSIVE}
# RSA and ECDSA with SHA-2; what uses SHA-1 or a shared secret is not accepted.
SIGNATURE_METHODS = {
    f"http://www.w3.org/2001/04/xmldsig-more#{name}"
    for name in ("rsa-sha256", "rsa-sha384", "rsa-sha512", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512")
}
DIGEST_METHODS = {
    "http://www.w3.org/2001/04/xmlenc#sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512",
}
LARGEST = 512 * 1024
REFUSED_ELEMENTS = {
    "Advice", "EncryptedAssertion", "EncryptedID", "EncryptedAttribute", "EncryptedData", "Object", "Extensions",
}  # fmt: skip


def checked_response(encoded: str, *, acs: str, entity_id: str, idp: str) -> Element:
    """The response's root element. Raises SignOnError with what is not as it must be."""
    root = _parse(encoded)
    if root.tag != f"{PROTOCOL}Response":
        raise _wrong("not a response")
    _check_status(root)
    assertion = root.find(f"{ASSERTION}Assertion")
    names = [_local(element) for element in root.iter()]
    if assertion is None or names.count("Assertion") != 1 or names.count("Response") != 1:
        raise _wrong("not exactly one assertion in one response")
    if refused := REFUSED_ELEMENTS.intersection(names):
        raise _wrong(f"it holds {min(refused)}")
    if names.count("Signature") != 2 or names.count("Reference") != 2:
        raise _wrong("the response and the assertion must each have one signature")
    ids = [value for element in root.iter() for name, value in element.attrib.items() if _bare(name).lower() == "id"]
    if len(ids) != len(set(ids)):
        raise _wrong("an ID occurs twice")
    for signed in (root, assertion):
        _check_signature(signed)
        issuer = signed.find(f"{ASSERTION}Issuer")
        if issuer is None or (issuer.text or "").strip() != idp:
            raise _wrong("another issuer")
    if root.get("Destination") != acs:
        raise _wrong("another destination")
    _check_confirmation(assertion, acs, root.get("InResponseTo"))
    _check_conditions(assertion, entity_id)
    return root


def _parse(encoded: str) -> Element:
    try:
        text = base64.b64decode("".join(encoded.split()), validate=True)
        if len(text) > LARGEST:
            raise _wrong("too large")
        decoded = text.decode("utf-8")
        # No document type, comment, CDATA section or processing instruction: parsers disagree about them.
        start = decoded.removeprefix("\ufeff").lstrip()
        declared = start.split("?>", 1)[0].lower() if start.startswith("<?xml") else ""
        if "<!" in decoded or decoded.count("<?") != bool(declared):
            raise _wrong("it holds a document type, a comment or an instruction")
        if "encoding" in declared and "utf-8" not in declared:
            raise _wrong("it is not UTF-8")
        root: Element = fromstring(text, forbid_dtd=True)
    except (binascii.Error, UnicodeDecodeError, ParseError, DefusedXmlException, ValueError) as error:
        raise _wrong(f"not XML in base64 ({type(error).__name__})") from error
    return root


def _check_status(root: Element) -> None:
    codes = [element.get("Value") for element in root.iter(f"{PROTOCOL}StatusCode")]
    if not codes or codes[0] != SUCCESS:
        raise SignOnError("cancelled" if DECLINED.intersection(map(str, codes)) else "invalid", "the provider refused")


def _check_signature(signed: Element) -> None:
    """One signature, a child of the element that it is over, with algorithms of the list."""
    signatures = signed.findall(f"{SIGNATURE}Signature")
    references = [] if len(signatures) != 1 else signatures[0].findall(f"{SIGNATURE}SignedInfo/{SIGNATURE}Reference")
    if len(references) != 1 or not signed.get("ID") or references[0].get("URI") != f"#{signed.get('ID')}":
        raise _wrong("a signature that is not over the element that it is in")
    info = signatures[0].find(f"{SIGNATURE}SignedInfo")
    if info is None:
        raise _wrong("a signature without information")
    used = {
        "CanonicalizationMethod": {EXCLUSIVE},
        "SignatureMethod": SIGNATURE_METHODS,
        "DigestMethod": DIGEST_METHODS,
        "Transform": TRANSFORMS,
    }
    for name, allowed in used.items():
        found = [element.get("Algorithm") for element in info.iter(f"{SIGNATURE}{name}")]
        if not found or not allowed.issuperset(map(str, found)):
            raise _wrong(f"a {name} that is not accepted")


def _check_confirmation(assertion: Element, acs: str, request: str | None) -> None:
    confirmations = assertion.findall(f"{ASSERTION}Subject/{ASSERTION}SubjectConfirmation")
    if len(confirmations) != 1 or confirmations[0].get("Method") != BEARER:
        raise _wrong("not exactly one bearer confirmation")
    data = confirmations[0].find(f"{ASSERTION}SubjectConfirmationData")
    if data is None or data.get("Recipient") != acs or not data.get("NotOnOrAfter") or data.get("NotBefore"):
        raise _wrong("a confirmation for another recipient, or without an end")
    if not request or data.get("InResponseTo") != request:
        raise _wrong("not the answer to a request")


def _check_conditions(assertion: Element, entity_id: str) -> None:
    conditions = assertion.findall(f"{ASSERTION}Conditions")
    if len(conditions) != 1 or not conditions[0].get("NotOnOrAfter"):
        raise _wrong("no conditions with an end")
    restrictions = conditions[0].findall(f"{ASSERTION}AudienceRestriction")
    for restriction in restrictions:
        audiences = {(element.text or "").strip() for element in restriction.findall(f"{ASSERTION}Audience")}
        if entity_id not in audiences:
            raise _wrong("another audience")
    if not restrictions:
        raise _wrong("no audience")


def _local(element: Element) -> str:
    return _bare(str(element.tag))


def _bare(name: str) -> str:
    return name.rpartition("}")[2]


def _wrong(what: str) -> SignOnError:
    return SignOnError("invalid", f"the SAML response is not accepted: {what}")
