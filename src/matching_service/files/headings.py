"""Headings of tables: the contract's names, and the names on office forms, however they are decorated."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from unicodedata import normalize

from pydantic import BaseModel

from matching_service.demands.schemas import DemandImport
from matching_service.demands.states import STATUS_NAMES
from matching_service.organizations.schemas import OrganizationImport
from matching_service.profiles.schemas import ProfileImport
from matching_service.programme.schemas import KIND_NAMES, ProgrammeRecordImport
from matching_service.text.normalise import simplify

ORGANIZATION_NAME = "organization_name"
"""Not a field of a record: the import finds the organization of that name, or makes one."""
_DECORATION = re.compile(r"[\s*★☆※●▲◆■□]+")
_NUMBERING = re.compile(r"^(?:\([一二三四五六七八九十\d]{1,3}\)|[一二三四五六七八九十\d]{1,3}[、.)](?!\d))")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|【[^【】]*】|〔[^〔〕]*〕")
_UNIT = re.compile(
    r"[(\[【:,]?(?:单位)?:?(亿|千万|百万|万|千)?元(?:人民币)?[)\]】]?$|\((?:单位)?:?(亿|千万|百万|万|千)?元"
)
_UNITS = {"亿": 10_000.0, "千万": 1_000.0, "百万": 100.0, "万": 1.0, "千": 0.1, None: 0.0001}
_LONGEST_HEADING = 200


@dataclass(frozen=True, slots=True)
class Heading:
    """``text``: as the file has it. ``field``: None where it is not known. ``wan``: how many 万元 one of its unit is."""  # noqa: E501

    text: str
    field: str | None
    wan: float = 1.0


@dataclass(frozen=True)
class Form:
    """How the rows of one kind of file are read: the model, other names of its columns, other names of its values.

    labels: per field its Chinese name in a file that we write, in the order of the columns.
    """

    model: type[BaseModel]
    headings: Mapping[str, str]
    labels: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    extras: frozenset[str] = frozenset()
    by_hand: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(self.model.model_fields) | self.extras

    @property
    def required(self) -> frozenset[str]:
        return frozenset(name for name, info in self.model.model_fields.items() if info.is_required())

    def column(self, heading: str) -> str:
        """The field that a heading stands for; an unknown heading stands for itself."""
        return self.heading(heading).field or heading.strip()

    def heading(self, text: str) -> Heading:
        """What a heading means. Line breaks, blanks, stars, numbers and hints in brackets do not matter."""
        text = text.strip()
        plain = _plain(text[:_LONGEST_HEADING])
        bare = _BRACKETS.sub("", plain)
        for key in dict.fromkeys((plain, bare, _plain(simplify(plain)), _plain(simplify(bare)))):
            if (name := self._by_key.get(key)) is not None:
                return Heading(text, name, self._wan(name, plain))
        return Heading(text, None)

    def _wan(self, name: str, plain: str) -> float:
        unit = _UNIT.search(plain) if name == "funding_wan" else None
        return _UNITS[unit[1] or unit[2]] if unit else 1.0

    @cached_property
    def _by_key(self) -> Mapping[str, str]:
        known = {name: name for name in self.columns} | dict(self.headings)
        known |= {label: name for name, label in self.labels.items()}
        return {_plain(text): name for text, name in known.items()} | {
            _plain(text): self._named(name) for text, name in self.by_hand.items()
        }

    def _named(self, name: str) -> str:
        return (
            name if name in self.columns else {_plain(k): v for k, v in self.headings.items()}.get(_plain(name), name)
        )


def _plain(text: str) -> str:
    text = _DECORATION.sub("", normalize("NFKC", text).replace("﹡", ""))
    return _NUMBERING.sub("", text).strip(":：;；,，.。、-_ '\"").casefold()


def _names(names: Mapping[str, str]) -> dict[str, str]:
    """Names that stand for a field, from the names of each field, written in a row."""
    return {text: name for name, texts in names.items() for text in texts.split()}


_SHARED = {
    "external_id": "编号 外部编号 编码",
    "source": "来源 数据来源 来源系统",
    "organization_external_id": "机构编号 企业编号 单位编号",
}
_ORGANIZATION_NAME = {
    ORGANIZATION_NAME: "企业名称 单位名称 机构名称 需求单位 需求企业 申报单位 申报企业 所属企业 所属单位 所属机构 工作单位 企业全称 单位全称 "  # noqa: E501
    "需求方 需求方名称 填报单位 企业(单位)名称 单位 企业"
}
_REGION = "地区代码 地区 所在地区 所属地区 区域 所在区域 所属区域 行政区划 行政区划代码 所在区 所属区 所在区县 所属区县 区县 镇街所属区 所在地 地区名称 所在城市"  # noqa: E501
_CLUSTER = "产业集群 所属产业集群 集群 产业领域 所属产业"
_KEYWORDS = "关键词 关键字 技术关键词 技术关键字 主题词"

FORMS: Mapping[str, Form] = {
    "demands": Form(
        DemandImport,
        _names(
            _SHARED
            | _ORGANIZATION_NAME
            | {
                "external_id": "编号 外部编号 编码 需求编号 项目编号 需求编码 榜单编号",
                "title": "名称 需求名称 技术需求名称 需求标题 标题 项目名称 技术难题名称 难题名称 榜单名称 需求题目 技术需求题目",  # noqa: E501
                "problem": "content 需求内容 主要问题 问题描述 需求描述 主要技术问题 技术问题 技术难题 存在问题 需求概述 需求简介 主要技术难题 "  # noqa: E501
                "技术需求内容 技术需求描述 瓶颈问题",
                "key_technology": "关键技术 技术关键 关键技术及指标 技术指标 主要技术指标 关键技术指标 核心技术",
                "expected_goal": "预期目标 预期效果 拟达到目标 达到目标 预期成果 预期达到目标 目标",
                "keywords": _KEYWORDS,
                "must_have": "必备 必备条件 必备要求 必须具备",
                "nice_to_have": "优先 优先条件 加分项",
                "region": _REGION,
                "cluster": _CLUSTER,
                "industry_code": "行业代码 国民经济行业代码 所属行业代码 行业分类代码",
                "funding_wan": "投入资金 投入资金(万元) 拟投入资金总额 拟投入资金 拟投入金额 投入资金总额 资金投入 计划投入 计划投入资金 "  # noqa: E501
                "拟投入研发资金 预算 项目预算 资金预算 榜单金额 意向金额 投入金额 研发投入 总投入",
                "start_year": "开始年份 起始年份 起始年 开始年",
                "end_year": "结束年份 终止年份 截止年份 结束年 终止年",
                "cooperation": "合作方式 解决方式 技术需求解决方式 需求解决方式 拟解决方式 拟合作方式 技术解决方式 合作模式",  # noqa: E501
                "wanted_partners": "意向合作方 合作意向单位 意向合作单位 意向单位 拟合作单位 合作单位意向 希望合作单位",
                "field": "领域 需求技术所属领域 技术领域 所属领域 所属技术领域 需求领域 行业领域",
                "expires_on": "截止日期 揭榜截止 揭榜截止日期 有效期至 截止时间 有效期 需求截止日期 有效日期",
                "status": "状态 需求状态",
                "visibility": "可见性 公开范围",
                "id": "系统编号",
            }
        ),
        {
            "external_id": "编号",
            ORGANIZATION_NAME: "企业名称",
            "organization_external_id": "机构编号",
            "title": "需求名称",
            "problem": "主要问题",
            "key_technology": "关键技术",
            "expected_goal": "预期目标",
            "keywords": "关键词",
            "must_have": "必备",
            "nice_to_have": "优先",
            "region": "地区代码",
            "cluster": "产业集群",
            "field": "领域",
            "industry_code": "行业代码",
            "funding_wan": "投入资金（万元）",
            "start_year": "开始年份",
            "end_year": "结束年份",
            "cooperation": "合作方式",
            "wanted_partners": "意向合作方",
            "expires_on": "截止日期",
            "status": "状态",
            "visibility": "可见性",
            "source": "来源",
            "organization_id": "机构系统编号",
            "id": "系统编号",
        },
        {
            "cooperation": _names(
                {
                    "joint": "联合 联合开发 联合攻关 联合研发 合作 合作研发 合作开发 共同研发 共同开发 产学研合作 产学研联合",  # noqa: E501
                    "independent": "独立 独立研发 自主研发 自主开发 独立开发 自行研发 自行解决 自主攻关",
                    "commissioned": "委托 委托研发 委托开发 委托攻关 技术委托 揭榜挂帅 外包",
                    "other": "其他 其它 其他方式 技术转让 技术许可 技术入股 技术咨询 技术服务",
                }
            ),
            "status": {name: status.value for status, name in STATUS_NAMES.items()} | {"发榜": "published"},
            "visibility": _names({"public": "公开 完全公开", "restricted": "受限 限制公开 内部 不公开 有限公开"}),
        },
        extras=frozenset({ORGANIZATION_NAME}),
    ),
    "profiles": Form(
        ProfileImport,
        _names(
            _SHARED
            | _ORGANIZATION_NAME
            | {
                "external_id": "编号 外部编号 编码 专家编号 人员编号 成果编号",
                "name": "名称 姓名 title_words 专家姓名 学会名称 平台名称 成果名称 团队名称 专家 政策名称",
                "kind": "类别 类型 资源类别 资源类型 种类",
                "summary": "简介 个人简介 专家简介 研究方向 摘要 成果简介 主要研究方向 业务范围 介绍",
                "keywords": _KEYWORDS,
                "fields": "领域 研究领域 技术领域 学科 学科领域 专业领域 所属领域",
                "region": _REGION,
                "country": "国别 国家 国籍 国家地区 国家(地区) 所在国家",
                "language": "语言 语种",
                "title": "职称 专业技术职称 职务职称 头衔",
                "honours": "荣誉 人才称号 称号 荣誉称号 人才荣誉",
                "clusters": _CLUSTER,
                "capacity": "承接能力 可承接数 可承接项目数 可承接数量",
                "available_from": "可用开始日期 可承接开始日期",
                "available_until": "可用结束日期 可承接结束日期",
                "visibility": "可见性 公开范围",
                "works": "成果 代表性成果 代表成果 论文 代表作",
                "id": "系统编号",
            }
        ),
        {
            "external_id": "编号",
            "kind": "类别",
            "name": "名称",
            ORGANIZATION_NAME: "单位名称",
            "organization_external_id": "机构编号",
            "title": "职称",
            "summary": "简介",
            "keywords": "关键词",
            "fields": "领域",
            "clusters": "产业集群",
            "honours": "荣誉",
            "region": "地区代码",
            "country": "国别",
            "language": "语言",
            "capacity": "承接能力",
            "available_from": "可用开始日期",
            "available_until": "可用结束日期",
            "works": "成果",
            "visibility": "可见性",
            "source": "来源",
            "organization_id": "机构系统编号",
            "id": "系统编号",
        },
        {
            "kind": _names(
                {
                    "expert": "专家 院士 企业专家 高校专家 科技专家 个人 教授 专家学者 人才",
                    "society": "学会 协会 学会协会 科技社团 全国学会 省级学会",
                    "team": "科技服务团 服务团 团队 创新团队 科研团队 专家团队",
                    "platform": "科研平台 平台 创新平台 实验室 重点实验室 研究院 工程中心",
                    "achievement": "科技成果 成果 技术成果 专利 专利成果",
                    "policy": "政策 科技政策 扶持政策",
                }
            ),
            "visibility": _names(
                {
                    "public": "公开 完全公开",
                    "restricted": "受限 限制公开 内部",
                    "hidden": "隐藏 不公开",
                    "withdrawn": "已撤回 撤回",
                }
            ),
        },
        extras=frozenset({ORGANIZATION_NAME}),
    ),
    "organizations": Form(
        OrganizationImport,
        _names(
            {
                "external_id": "编号 外部编号 编码 机构编号 企业编号 单位编号",
                "source": "来源 数据来源 来源系统",
                "name": "名称 企业名称 单位名称 机构名称 企业全称 单位全称 全称 企业(单位)名称",
                "credit_code": "统一社会信用代码 信用代码 社会信用代码 统一信用代码 机构代码 社会统一信用代码",
                "region": _REGION,
                "kind": "类别 类型 单位性质 单位类型 企业类型 机构类型 机构性质 企业性质 单位类别 机构类别",
                "cluster": _CLUSTER,
                "introduction": "简介 单位简介 企业简介 机构简介 介绍",
                "id": "系统编号",
            }
        ),
        {
            "external_id": "编号",
            "name": "名称",
            "kind": "类别",
            "credit_code": "统一社会信用代码",
            "region": "地区代码",
            "cluster": "产业集群",
            "introduction": "简介",
            "source": "来源",
            "id": "系统编号",
        },
        {
            "kind": _names(
                {
                    "enterprise": "企业 公司 民营企业 国有企业 私营企业 外资企业 合资企业 中外合资企业 股份制企业 国企 民企 外企 上市公司 "  # noqa: E501
                    "有限责任公司 股份有限公司 高新技术企业 科技型企业 中小企业 个体工商户 集体企业 港澳台资企业",
                    "university": "高校 高等院校 大学 学院 高等学校 院校 本科院校 高职院校 大专院校",
                    "institute": "科研院所 研究机构 研究所 研究院 科研机构 科研单位 新型研发机构 科研事业单位",
                    "society": "学会 协会 社会团体 社会组织 行业协会 商会",
                    "government": "政府 政府部门 机关 政府机关 党政机关 行政机关",
                    "other": "其他 其它 事业单位 其他单位 医院 其他组织",
                }
            )
        },
    ),
    "programme": Form(
        ProgrammeRecordImport,
        _names(
            _SHARED
            | {
                "title": "名称 项目名称 标题",
                "kind": "类别 类型",
                "region": _REGION,
                "cluster": _CLUSTER,
                "started_on": "开始日期 起始日期 日期 开始时间 成立日期 建站日期",
                "ended_on": "结束日期 终止日期 截止日期 结束时间 有效期至",
                "note": "备注 说明",
                "profile_id": "画像系统编号",
                "id": "系统编号",
            }
        ),
        {
            "external_id": "编号",
            "kind": "类别",
            "title": "名称",
            "organization_external_id": "机构编号",
            "started_on": "开始日期",
            "ended_on": "结束日期",
            "region": "地区代码",
            "cluster": "产业集群",
            "note": "备注",
            "source": "来源",
            "organization_id": "机构系统编号",
            "profile_id": "画像系统编号",
            "id": "系统编号",
        },
        {"kind": {name: kind for kind, name in KIND_NAMES.items()}},
    ),
}
