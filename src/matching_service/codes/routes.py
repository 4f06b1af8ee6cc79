"""HTTP door of the lists of codes."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from matching_service.api.deps import PrincipalDep
from matching_service.api.fields import Answer
from matching_service.api.pages import ListAnswer, answer_all
from matching_service.api.problems import problem_responses
from matching_service.api.services import provided
from matching_service.codes.lists import ListName, codes
from matching_service.demands.clusters import Clusters

router = APIRouter(prefix="/v1/codes", tags=["codes"])


class CodeAnswer(Answer):
    code: str = Field(description="代码: what a field takes.", examples=["440605"])
    zh: str = Field(description="中文名称.", examples=["南海区"])
    en: str = Field(description="Name in English; the Chinese one where there is none.", examples=["Nanhai District"])
    parent: str | None = Field(description="上级代码: the code that it lies in.", examples=["440600"])


@router.get("/{name}", responses=problem_responses(404))
async def read_codes(
    name: ListName, _principal: PrincipalDep, clusters: Annotated[Clusters, Depends(provided(Clusters))]
) -> ListAnswer[CodeAnswer]:
    """One list of codes, complete, with the names of each code in Chinese and English."""
    return answer_all(codes(name, clusters=clusters.names), CodeAnswer)
