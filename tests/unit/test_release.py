"""Version, changelog and citation of a release say the same."""

import re
from datetime import date

from ruamel.yaml import YAML

import mlip_fw
from tests.helpers.programs import ROOT

HEADING = re.compile(r"^## \[(.+?)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
CFF_KEYS = {
    *("abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords"),
    *("license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact"),
    *("repository-code", "title", "type", "url", "version"),
}
"""All that a file may hold at its top level (schema 1.2.0 of the Citation File Format)."""
ENTITY_KEYS = {
    *("address", "alias", "city", "country", "date-end", "date-start", "email", "fax", "location", "name", "orcid"),
    *("post-code", "region", "tel", "website"),
}


def headings() -> list[tuple[str, str]]:
    """Return (version, date) of each section of the changelog, the newest first."""
    return HEADING.findall((ROOT / "CHANGELOG.md").read_text())


def citation() -> dict:
    """Return CITATION.cff."""
    return YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())


class TestChangelog:
    def test_released_sections_have_dates_that_fall(self):
        (first, none), *released = headings()
        assert (first, none) == ("Unreleased", "")
        dates = [date.fromisoformat(when) for _, when in released]
        assert len(dates) >= 2
        assert dates == sorted(dates, reverse=True)

    def test_newest_release_is_the_version_of_the_package(self):
        assert headings()[1][0] == mlip_fw.__version__
        assert re.fullmatch(r"\d+\.\d+\.\d+", mlip_fw.__version__)


class TestCitation:
    def test_version_and_date_are_those_of_the_release(self):
        found = citation()
        assert (found["version"], str(found["date-released"])) == headings()[1]

    def test_file_is_valid_cff(self):
        found = citation()
        assert found["cff-version"] == "1.2.0"
        assert set(found) - CFF_KEYS == set()
        assert found["type"] == "software"
        assert all(isinstance(found[key], str) and found[key] for key in ("message", "title", "version", "license"))
        assert isinstance(found["date-released"], date)
        assert len(found["authors"]) >= 1
        assert all("name" in author and set(author) <= ENTITY_KEYS for author in found["authors"])
        assert len(found["keywords"]) == len(set(found["keywords"])) >= 3

    def test_licence_is_that_of_the_package(self):
        assert f"license = {citation()['license']}" in (ROOT / "setup.cfg").read_text().splitlines()
