"""HTTP routes of empty forms and tables to fill in."""

from anyio import to_thread
from fastapi import APIRouter, Depends, Response

from matching_service.access.policies import Action
from matching_service.api.deps import Permit
from matching_service.files.downloads import download, file_answer
from matching_service.files.headings import FORMS
from matching_service.foundation.errors import Bilingual, NotFound

router = APIRouter(prefix="/v1/import-templates", tags=["imports"], dependencies=[Depends(Permit(Action.DEMAND_READ))])

_UNKNOWN = Bilingual(f"没有这个模板；可用：{'、'.join(FORMS)}。", f"No such template; there are {', '.join(FORMS)}.")


@router.get("/demand-form.docx", **file_answer("docx"))
async def read_demand_form_docx() -> Response:
    """Return the empty form of a demand (技术需求征集表) as a Word document. `import demands` reads it filled in."""
    from matching_service.files.blank_forms import demand_form_docx  # noqa: PLC0415  # slow to import

    content = await to_thread.run_sync(demand_form_docx)
    return download(content, "docx", "技术需求征集表", plain="demand-form")


@router.get("/demand-form.xlsx", **file_answer("xlsx"))
async def read_demand_form_xlsx() -> Response:
    """Return the empty form of a demand (技术需求征集表) as a workbook. `import demands` reads it filled in."""
    from matching_service.files.blank_forms import demand_form_xlsx  # noqa: PLC0415  # slow to import

    content = await to_thread.run_sync(demand_form_xlsx)
    return download(content, "xlsx", "技术需求征集表", plain="demand-form")


@router.get("/{what}.xlsx", **file_answer("xlsx", 404))
async def read_import_template(what: str) -> Response:
    """Return a workbook to fill in: headings with notes, lists of allowed values, and examples on a second sheet."""
    from matching_service.files.import_templates import import_template  # noqa: PLC0415  # slow to import

    if what not in FORMS:
        raise NotFound("no_such_template", _UNKNOWN)
    return download(await to_thread.run_sync(import_template, what), "xlsx", what, plain=what)
