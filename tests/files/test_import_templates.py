"""Tables and forms to fill in, over HTTP: what one fills in can be imported."""

import io
from pathlib import Path

import pytest
from conftest import Server
from openpyxl import load_workbook
from openpyxl.utils import get_column_letter

from matching_service.files.headings import FORMS
from matching_service.files.import_templates import import_template
from matching_service.files.records import open_contents
from matching_service.files.values import Reading, value_of


@pytest.mark.parametrize("what", FORMS)
def test_a_template_has_known_headings_notes_and_choices(what: str, tmp_path: Path) -> None:
    form = FORMS[what]
    book = load_workbook(io.BytesIO(import_template(what)))
    sheet, notes = book.worksheets
    headings = [form.heading(str(cell.value)) for cell in sheet[1]]
    assert all(heading.field for heading in headings)
    assert form.required <= {heading.field for heading in headings}
    assert all(cell.comment is not None for cell in sheet[1])
    chosen = {
        str(rule.sqref).rstrip("0123456789").split(":")[0].rstrip("0123456789"): rule
        for rule in sheet.data_validations.dataValidation
    }
    for place, heading in enumerate(headings):
        if heading.field in form.values:
            rule = chosen[get_column_letter(place + 1)]
            choices = str(rule.formula1).strip('"').split(",")
            assert len(str(rule.formula1)) <= 257  # more, and Excel calls the file damaged
            codes = {value_of(choice, Reading(form, heading)) for choice in choices}
            assert codes == set(form.values[str(heading.field)].values())
    # The examples, put below their headings, are read without a finding.
    examples = [str(row[0].value).partition("样例：")[2] or None for row in notes.iter_rows()]
    for column, example in enumerate(examples, start=1):
        sheet.cell(2, column, example)
    path = tmp_path / "filled.xlsx"
    book.save(path)
    contents = open_contents(path, form)
    (row,) = contents.rows()
    assert row.error is None
    assert row.findings == ()
    form.model.model_validate(
        {name: value for name, value in (row.values or {}).items() if name != "organization_name"}
    )
    assert [finding.code for finding in contents.findings] in ([], ["sheet_not_read"])


def test_an_empty_template_has_no_rows(tmp_path: Path) -> None:
    for what, form in FORMS.items():
        (tmp_path / f"{what}.xlsx").write_bytes(import_template(what))
        assert list(open_contents(tmp_path / f"{what}.xlsx", form).rows()) == []


def test_templates_over_http(server: Server) -> None:
    with server.client("staff") as client, server.client("") as nobody:
        for name in ("demand-form.docx", "demand-form.xlsx", *(f"{what}.xlsx" for what in FORMS)):
            answer = client.get(f"/v1/import-templates/{name}")
            assert answer.status_code == 200
            assert answer.content.startswith(b"PK")
            assert name in answer.headers["content-disposition"]
        assert client.get("/v1/import-templates/cats.xlsx").status_code == 404
        assert nobody.get("/v1/import-templates/demands.xlsx").status_code == 401
