"""Symbolic links that lead out of a folder."""

from pathlib import Path

from mlip_fw.io import links
from mlip_fw.io.links import links_out_of


def test_links_within_are_no_matter(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "loop").symlink_to("loop")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert not list(links_out_of(tmp_path))


def test_links_that_lead_out_are_found_at_any_depth(tmp_path):
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").symlink_to(tmp_path / "nothing-yet")
    (root / "beside").symlink_to(tmp_path / "root-2")
    (root / "chain").symlink_to("beside")
    found = {path.relative_to(root).as_posix() for path in links_out_of(root)}
    assert found == {"a/b/file", "beside", "chain"}


def test_own_links_are_those_of_the_pattern_alone(tmp_path):
    for place in ("work/x/tmp", "work/tmp", "tmp", "other/elsewhere/x/tmp"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to("/")
    found = {path.relative_to(tmp_path).as_posix() for path in links_out_of(tmp_path, ("work/*/tmp",))}
    assert found == {"work/tmp", "tmp", "other/elsewhere/x/tmp"}


def test_folder_that_goes_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    plain = links._links_and_folders

    def slowly(folder):
        found = plain(folder)
        if folder == tmp_path:
            (tmp_path / "a").rmdir()
        return found

    monkeypatch.setattr(links, "_links_and_folders", slowly)
    assert not list(links_out_of(tmp_path))


def test_root_may_be_a_link(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "c")
    (tmp_path / "c" / "self").symlink_to(tmp_path / "c")
    assert not list(links_out_of(Path(tmp_path / "link")))
