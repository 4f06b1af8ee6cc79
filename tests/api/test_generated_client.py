"""A client that a tool generates from the description is used against the real server, as a portal's programmer would."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Server
from http_checks import UNKNOWN_ID

from matching_service.app import create_app


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the package that openapi-python-client generates."""
    folder: Path = tmp_path_factory.mktemp("client")
    description = folder / "openapi.json"
    description.write_text(json.dumps(create_app().openapi()), encoding="utf-8")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(description)]
    target = ["--meta", "none", "--output-path", str(folder / "portal_client")]
    done = subprocess.run([*command, *target], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ERROR" not in done.stdout
    sys.path.insert(0, str(folder))
    return "portal_client"


def test_a_generated_client_posts_a_demand_and_reads_its_state(server: Server, source: str, generated: str) -> None:
    def part(name: str) -> Any:
        return importlib.import_module(f"{generated}.{name}")

    models = part("models")
    with part("client").AuthenticatedClient(base_url=server.base_url, token=server.keys["staff"]) as client:
        organization = part("api.organizations.create_organization").sync(
            client=client, body=models.OrganizationCreate(name=f"佛山市{source}传动有限公司", source=source)
        )
        made = part("api.demands.create_demand").sync_detailed(
            client=client,
            body=models.DemandCreate(title="谐波减速器柔轮开裂", source=source, organization_id=organization.id, funding_wan=80.5),
        )  # fmt: skip
        assert made.status_code == 201
        demand = made.parsed
        read = part("api.demands.read_demand").sync(demand.id, client=client)
        assert (read.title, read.status, read.funding_wan) == ("谐波减速器柔轮开裂", models.DemandStatus.DRAFT, 80.5)
        listed = part("api.demands.list_demands").sync(client=client, source=source)
        assert [item.id for item in listed.items] == [demand.id]
        missing = part("api.demands.read_demand").sync_detailed(UNKNOWN_ID, client=client)
        assert (missing.status_code, missing.parsed.code) == (404, "demand_not_found")
        refused = part("api.demands.transition_demand").sync_detailed(
            demand.id, client=client, body=models.TransitionBody(to=models.DemandStatus.SUBMITTED)
        )
        assert refused.status_code == 422
        assert {error.pointer for error in refused.parsed.errors} >= {"/problem", "/key_technology"}
        found = part("api.matches.rank_now").sync(
            client=client, body=models.MatchBody(query=models.QueryBody(title="谐波减速器"))
        )
        assert found.index.encoder_available
