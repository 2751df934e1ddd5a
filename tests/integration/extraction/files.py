"""Well-made and hostile files, built byte by byte, so that the tests need no other program and no stored bombs."""

import io
import struct
import zipfile
import zlib

_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="word/document.xml"/></Relationships>'
)
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def document_xml(body: str, prolog: str = "") -> str:
    head = f'<?xml version="1.0" encoding="UTF-8"?>{prolog}<w:document xmlns:w="{_WORD}">'
    return f"{head}<w:body>{body}</w:body></w:document>"


def paragraph(text: str, style: str = "") -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{look}<w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def docx(document: str, extra: dict[str, bytes] | None = None) -> bytes:
    """A DOCX with `document` as its main part."""
    parts = {
        "[Content_Types].xml": _TYPES.encode(),
        "_rels/.rels": _RELATIONS.encode(),
        "word/document.xml": document.encode(),
        **(extra or {}),
    }
    return archive(parts)


def archive(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return out.getvalue()


def bomb_docx() -> bytes:
    """60 MB of spaces in 60 KB."""
    return docx(document_xml(paragraph(" " * 60_000_000)))


def nested_bomb_docx() -> bytes:
    """A bomb inside an archive inside an otherwise fine DOCX."""
    inner = archive({"a.zip": archive({f"{n}.txt": b"\x00" * 5_000_000 for n in range(20)})})
    return docx(document_xml(paragraph("harmless")), {"word/embeddings/inner.zip": inner})


def lying_docx() -> bytes:
    """The directory says 20 bytes; the part inflates to 30 MB."""
    return _with_directory_sizes(docx(document_xml(paragraph("A" * 30_000_000))), b"word/document.xml", 20)


def _with_directory_sizes(data: bytes, name: bytes, size: int) -> bytes:
    changed = bytearray(data)
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        length = struct.unpack_from("<H", data, at + 28)[0]
        if data[at + 46 : at + 46 + length] == name:
            struct.pack_into("<I", changed, at + 24, size)
        at = data.find(b"PK\x01\x02", at + 4)
    return bytes(changed)


def overlapping_docx() -> bytes:
    """Twelve directory entries that all point to the same compressed megabytes."""
    data = docx(document_xml(paragraph("harmless")), {"word/a.xml": bytes(range(256)) * 40_000})
    start = data.find(b"PK\x01\x02")
    end = data.rfind(b"PK\x05\x06")
    directory = data[start:end]
    at = directory.rfind(b"PK\x01\x02")
    entry = directory[at:]
    copies = b"".join(entry.replace(b"word/a.xml", b"word/%c.xml" % (98 + n)) for n in range(12))
    directory += copies
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 16, 16, len(directory), start, 0)
    return data[:start] + directory + tail


def million_entries(count: int = 1_000_000) -> bytes:
    """A directory of `count` empty entries (about 50 MB)."""
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    shown = min(count, 0xFFFF)
    return (
        local + directory + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, shown, shown, len(directory), len(local), 0)
    )


def encrypted_docx() -> bytes:
    """How an office program stores a protected DOCX: an OLE2 file with a stream of this name."""
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    return header + "EncryptedPackage".encode("utf-16-le").ljust(128, b"\x00") + bytes(1024)


def encrypted_entry_docx() -> bytes:
    """A ZIP whose entries carry the encryption flag."""
    changed = bytearray(docx(document_xml(paragraph("secret"))))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(magic)
        while at >= 0:
            changed[at + offset] |= 1
            at = changed.find(magic, at + 4)
    return bytes(changed)


def billion_laughs_docx() -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return docx(document_xml(paragraph("&l9;"), f'<!DOCTYPE d [<!ENTITY l0 "ha">{entities}]>'))


def external_entity_docx(encoding: str = "utf-8") -> bytes:
    xml = document_xml(paragraph("&x;"), '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>')
    return docx("", {"word/document.xml": xml.replace("UTF-8", encoding.upper()).encode(encoding)})


def pdf(lines: list[str], *, extra_trailer: str = "", objects: list[bytes] | None = None) -> bytes:
    """A one-page PDF with `lines` of Helvetica (Latin-1)."""
    shown = b" ".join(
        b"(" + line.encode("latin-1").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)") + b") Tj T*"
        for line in lines
    )
    stream = b"BT /F1 12 Tf 14 TL 72 720 Td " + shown + b" ET"
    return assemble_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
            b" /Resources << /Font << /F1 5 0 R >> >> >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            *(objects or []),
        ],
        extra_trailer,
    )


def assemble_pdf(objects: list[bytes], extra_trailer: str = "") -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    at = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {extra_trailer} >>\nstartxref\n{at}\n%%EOF\n".encode()
    return bytes(out)


def encrypted_pdf() -> bytes:
    """Whatever password the O and U strings came from, it is not the empty one."""
    trailer = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{'ab' * 32}> /U <{'cd' * 32}> /P -44 >> /ID [<00> <00>]"
    return pdf(["secret"], extra_trailer=trailer)


def looping_pdf() -> bytes:
    """Pages that are their own parents and kids, outlines that never end, a table of contents that points to itself."""
    return assemble_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R /Outlines 3 0 R >>",
            b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 /Parent 2 0 R >>",
            b"<< /First 4 0 R /Last 4 0 R /Count 1 >>",
            b"<< /Title (a) /Next 4 0 R /Prev 4 0 R /First 4 0 R /Last 4 0 R /Parent 4 0 R >>",
        ],
        "/Prev 9",
    )


def filter_chain_pdf() -> bytes:
    """A stream packed three times over: few bytes become 20 MB."""
    data = b"0 0 m " * 3_400_000
    for _ in range(3):
        data = zlib.compress(data, 9)
    chain = b"[/FlateDecode /FlateDecode /FlateDecode]"
    return assemble_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>",
            b"<< /Length %d /Filter %s >>\nstream\n%s\nendstream" % (len(data), chain, data),
        ]
    )


def vast_xlsx() -> bytes:
    """Two cells, at the first and the last place of the largest possible sheet."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    cell = '<row r="{row}"><c r="{place}" t="inlineStr"><is><t>x</t></is></c></row>'
    rows = cell.format(row=1, place="A1") + cell.format(row=1048576, place="XFD1048576")
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{relation}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relation}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{relation}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><dimension ref="A1:XFD1048576"/>'
        f"<sheetData>{rows}</sheetData></worksheet>",
    }
    return archive({name: text.encode() for name, text in parts.items()})
