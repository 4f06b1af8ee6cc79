"""The sample city: invented demands, profiles and judgements for the demo and the tests.

Persons and companies are invented. Real laboratories appear only with generally known facts.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
ORGANIZATIONS = FOLDER / "organizations.jsonl"
DEMANDS = FOLDER / "demands.jsonl"
PROFILES = FOLDER / "profiles.jsonl"
RELEVANCE = FOLDER / "relevance.tsv"
