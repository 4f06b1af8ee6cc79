"""``keys``: create, renew, list and revoke API keys."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from matching_service.access import service as access
from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.cli.opening import open_database, run
from matching_service.cli.output import AsJson, print_json, print_line, print_rows, stdout

keys = typer.Typer(no_args_is_help=True)

Expires = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="失效日期（UTC）。Day from which it is refused.")
]
_MAX_KEY_NAME = 100
_SOURCE_OF_PORTALS = (
    "门户（--role portal）的密钥须写明来源，如 --source kexie，其他角色不写；门户只能读写该来源的记录。"
    "A portal's key needs the source of its records, such as --source kexie; other roles have none."
)


def _checked_name(name: str) -> str:
    if not name.strip() or len(name) > _MAX_KEY_NAME:
        raise typer.BadParameter(f"1 至 {_MAX_KEY_NAME} 个字符。1 to {_MAX_KEY_NAME} characters.")
    return name.strip()


def _in_utc(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=UTC) if day else None


def _print_key(key_id: str, key: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": key_id, "key": key})
    else:
        print_line(key)


def _checked_source(source: str | None) -> str | None:
    if source is None:
        return None
    if not source.strip() or len(source.strip()) > _MAX_KEY_NAME:
        raise typer.BadParameter(f"1 至 {_MAX_KEY_NAME} 个字符。1 to {_MAX_KEY_NAME} characters.")
    return source.strip()


@keys.command("create")
def create_key(
    role: Annotated[Role, typer.Option(help="portal 门户，staff 工作人员，batch 批处理，admin 管理员。")],
    name: Annotated[str, typer.Option(help="用途或持有人。What or whom it is for.", callback=_checked_name)],
    expires: Expires = None,
    source: Annotated[
        str | None,
        typer.Option(
            callback=_checked_source,
            help="来源：门户密钥只能读写此来源的记录。Source: a portal's key reads and writes its records only.",
        ),
    ] = None,
    organization: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="仅限这些机构的记录，可重复。Only records of these organizations; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """生成密钥，仅显示一次。Make a key; it is printed alone, this once."""
    if (role is Role.PORTAL) != (source is not None):
        raise typer.BadParameter(_SOURCE_OF_PORTALS, param_hint="--source")
    if organization and source is None:
        raise typer.BadParameter(_SOURCE_OF_PORTALS, param_hint="--organization")

    async def work() -> None:
        async with open_database(created=False) as database, database.transaction() as session:
            row, key = await access.create_key(
                session,
                name=name,
                role=role,
                expires_at=_in_utc(expires),
                actor=COMMAND_LINE,
                source=source,
                organization_ids=organization or (),
            )
        _print_key(row.id, key, as_json=as_json)

    run(work())


@keys.command("renew")
def renew_key(
    key_id: Annotated[str, typer.Argument(help="keys list 显示的 id。The id that keys list shows.")],
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """为同一持有人换发密钥；原密钥在吊销前仍有效。A key more for the same holder; the old one stays good."""

    async def work() -> None:
        async with open_database(created=False) as database, database.transaction() as session:
            row, key = await access.renew_key(session, key_id, expires_at=_in_utc(expires), actor=COMMAND_LINE)
        _print_key(row.id, key, as_json=as_json)

    run(work())


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """列出密钥（不含密钥本身）。List keys, without the keys themselves."""

    async def work() -> None:
        async with open_database(created=False) as database, database.reading() as session:
            rows = await access.list_keys(session)
        columns = (
            "id", "name", "role", "source", "organization_ids", "created_at", "expires_at", "revoked_at",
            "principal_id",
        )  # fmt: skip
        table = [
            [row.principal.name if column == "name" else getattr(row, column) for column in columns] for row in rows
        ]
        print_rows(columns, table, as_json=as_json)

    run(work())


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="keys list 显示的 id。The id that keys list shows.")],
) -> None:
    """吊销密钥。Revoke a key."""

    async def work() -> None:
        async with open_database(created=False) as database, database.transaction() as session:
            row = await access.revoke_key(session, key_id, actor=COMMAND_LINE)
        stdout().print(f"{row.id} revoked_at {row.revoked_at}")

    run(work())
