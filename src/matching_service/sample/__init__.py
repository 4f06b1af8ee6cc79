"""The sample city: our own invented demands, profiles and judgements, for the demo and for tests.

Persons and companies are invented; laboratories that exist are named with generally known facts only.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
ORGANIZATIONS = FOLDER / "organizations.jsonl"
DEMANDS = FOLDER / "demands.jsonl"
PROFILES = FOLDER / "profiles.jsonl"
RELEVANCE = FOLDER / "relevance.tsv"
