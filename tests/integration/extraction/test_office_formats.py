"""HTML, PDF, DOCX and mail → Markdown."""

from email.message import EmailMessage

import pytest

from opaa.errors import ExtractionError
from opaa.extraction.convert import convert
from opaa.extraction.port import Extracted, Limits, Reason
from tests.integration.extraction import files

pytestmark = pytest.mark.req("SRC-7")


def read(data: bytes, name: str) -> Extracted:
    return convert(data, name, Limits())


def test_docx_keeps_every_character() -> None:
    text = "R&amp;D &lt;5 &quot;x&quot; &#8211; &#x2013; 5*3 #4 under_score"
    result = read(files.docx(files.document_xml(files.paragraph(text))), "a.docx")
    assert result.text == 'R&D <5 "x" – – 5*3 #4 under_score'


def test_docx_tables_stay_tables() -> None:
    row = (
        "<w:tr><w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc></w:tr>"
    )
    table = f"<w:tbl>{row.format('Part', 'Price')}{row.format('NL-1', '9')}</w:tbl>"
    result = read(files.docx(files.document_xml(table)), "price list.docx")
    assert result.text == "| Part | Price |\n| --- | --- |\n| NL-1 | 9 |"
    assert result.title == "price list"


def test_html() -> None:
    page = (
        "<!doctype html><html lang=de><head><meta charset=iso-8859-1><title>Preise &amp; mehr</title>"
        "<meta name=author content='Eva'><style>b{}</style></head><body><nav><a href=/>Home</a></nav>"
        "<h1>Über_uns</h1><p>R&amp;D &lt;x&gt; <b>fett</b></p><table><tr><th>a<th>b<tr><td>1<td>2</table>"
        "<img src='data:image/png;base64,AAAA' alt=Bild><script>alert(1)</script></body></html>"
    )
    result = read(page.encode("latin-1"), "a.html")
    assert result.title == "Über_uns"
    assert result.metadata == {"title": "Preise & mehr", "author": "Eva"}
    assert "R&D <x> **fett**" in result.text
    assert "| 1 | 2 |" in result.text
    assert not any(word in result.text for word in ("alert", "base64", "b{}", "Preise"))


def test_pdf_text_and_umlauts() -> None:
    result = read(files.pdf(["Prüfprotokoll für NL-100", "Ergebnis: bestanden"]), "protokoll_2025.pdf")
    assert result.text == "Prüfprotokoll für NL-100 Ergebnis: bestanden"
    assert result.title == "protokoll 2025"


def test_more_pages_than_allowed_are_refused() -> None:
    with pytest.raises(ExtractionError) as caught:
        convert(files.pdf(["one page"]), "a.pdf", Limits(max_pages=0))
    assert caught.value.reason == Reason.TOO_LARGE


def test_mail_headers_become_fields_and_text_and_attachments_are_named() -> None:
    mail = EmailMessage()
    mail["From"] = "Ana Müller <ana@nordlicht.example>"
    mail["To"] = '"Brandt, Ines" <ines@nordlicht.example>, bo@nordlicht.example'
    mail["Subject"] = "Grüße: Termin"
    mail["Date"] = "Mon, 03 Mar 2025 10:00:00 +0100"
    mail.set_content("Der Termin ist am 5. März.")
    mail.add_alternative("<p>Der Termin</p>", subtype="html")
    mail.add_attachment(b"x" * 10, maintype="application", subtype="pdf", filename="plan.pdf")
    result = read(bytes(mail), "a.eml")
    assert result.title == "Grüße: Termin"
    assert result.metadata == {
        "subject": "Grüße: Termin",
        "from": "Ana Müller <ana@nordlicht.example>",
        "to": ['"Brandt, Ines" <ines@nordlicht.example>', "bo@nordlicht.example"],
        "date": "2025-03-03T10:00:00+01:00",
        "attachments": ["plan.pdf"],
    }
    assert result.text.endswith("- Attachments: plan.pdf\n\nDer Termin ist am 5. März.")


def test_a_mail_with_broken_headers_is_still_read() -> None:
    result = read(b"From: <<@>\nTo: ,;:\nDate: yesterday\nMIME-Version: 1.0\nSubject: =?x?Q?y?=\n\nBody", "a.eml")
    assert result.text.endswith("Body")


def test_html_only_mail() -> None:
    mail = EmailMessage()
    mail["Subject"] = "News"
    mail.set_content("<h2>Neu</h2><p>Text</p>", subtype="html")
    assert read(bytes(mail), "a.eml").text == "# News\n\n## Neu\n\nText"
