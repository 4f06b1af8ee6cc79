"""HTTP routes of empty forms and tables to fill in."""

from collections.abc import Callable

from anyio import to_thread
from fastapi import APIRouter, Depends, Response

from matching_service.access.policies import Action
from matching_service.api.deps import Permit
from matching_service.api.problems import problem_responses
from matching_service.files.headings import FORMS
from matching_service.foundation.errors import Bilingual, NotFound

router = APIRouter(prefix="/v1/import-templates", tags=["imports"], dependencies=[Depends(Permit(Action.DEMAND_READ))])

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UNKNOWN = Bilingual(f"没有这个模板；可用：{'、'.join(FORMS)}。", f"No such template; there are {', '.join(FORMS)}.")


@router.get("/demand-form.docx", response_class=Response, responses={200: {"content": {_DOCX: _BINARY}}})
async def read_demand_form_docx() -> Response:
    """Return the empty form of a demand (技术需求征集表) as a Word document. `import demands` reads it filled in."""
    from matching_service.files.blank_forms import demand_form_docx  # noqa: PLC0415  # slow to import

    return await _file(demand_form_docx, _DOCX, "demand-form.docx")


@router.get("/demand-form.xlsx", response_class=Response, responses={200: {"content": {_XLSX: _BINARY}}})
async def read_demand_form_xlsx() -> Response:
    """Return the empty form of a demand (技术需求征集表) as a workbook. `import demands` reads it filled in."""
    from matching_service.files.blank_forms import demand_form_xlsx  # noqa: PLC0415  # slow to import

    return await _file(demand_form_xlsx, _XLSX, "demand-form.xlsx")


@router.get(
    "/{what}.xlsx",
    response_class=Response,
    responses={200: {"content": {_XLSX: _BINARY}}, **problem_responses(404)},
)
async def read_import_template(what: str) -> Response:
    """Return a workbook to fill in: headings with notes, lists of allowed values, and examples on a second sheet."""
    from matching_service.files.import_templates import import_template  # noqa: PLC0415  # slow to import

    if what not in FORMS:
        raise NotFound("no_such_template", _UNKNOWN)
    return await _file(lambda: import_template(what), _XLSX, f"{what}.xlsx")


async def _file(make: Callable[[], bytes], media_type: str, name: str) -> Response:
    content = await to_thread.run_sync(make)
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
