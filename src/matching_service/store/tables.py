"""Imports every table, so that the metadata is complete for migrations and mappers."""

from matching_service.store.access import AnsweredProfileRow, ApiKeyRow, IdempotentAnswerRow, PrincipalRow
from matching_service.store.audit import AuditRow
from matching_service.store.base import Table
from matching_service.store.claims import ClaimRow, ClaimScoreRow
from matching_service.store.demands import DeadlineNoticeRow, DemandContactRow, DemandRow, DemandTransitionRow
from matching_service.store.embeddings import EmbeddingRow
from matching_service.store.engagements import EngagementRow
from matching_service.store.feeds import FeedRejectionRow, FeedRow
from matching_service.store.imports import ImportedRecordRow, ImportRow
from matching_service.store.organizations import ExclusionRow, OrganizationRow
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import ProfileContactRow, ProfileRow, WorkRow
from matching_service.store.programme import ProgrammeRecordRow
from matching_service.store.projects import MilestoneRow, ProjectPartnerRow, ProjectRow
from matching_service.store.shortlists import DecisionRow, MatchListRow, MatchRow, MatchRunRow
from matching_service.store.suggestions import SuggestionRow, SuggestionTransitionRow
from matching_service.store.webhooks import DeliveryRow, WebhookRow, WebhookStateRow

__all__ = [
    "AnsweredProfileRow",
    "ApiKeyRow",
    "AuditRow",
    "ClaimRow",
    "ClaimScoreRow",
    "DeadlineNoticeRow",
    "DecisionRow",
    "DeliveryRow",
    "DemandContactRow",
    "DemandRow",
    "DemandTransitionRow",
    "EmbeddingRow",
    "EngagementRow",
    "ExclusionRow",
    "FeedRejectionRow",
    "FeedRow",
    "IdempotentAnswerRow",
    "ImportRow",
    "ImportedRecordRow",
    "MatchListRow",
    "MatchRow",
    "MatchRunRow",
    "MilestoneRow",
    "OrganizationRow",
    "OutboxRow",
    "PrincipalRow",
    "ProfileContactRow",
    "ProfileRow",
    "ProgrammeRecordRow",
    "ProjectPartnerRow",
    "ProjectRow",
    "SuggestionRow",
    "SuggestionTransitionRow",
    "Table",
    "WebhookRow",
    "WebhookStateRow",
    "WorkRow",
]
