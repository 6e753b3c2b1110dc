import subprocess
import zipfile

import pytest

from tfrs_models.data import recbole_archive
from tfrs_models.data.recbole_archive import find_archive, read_atomic_file


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """No recbole package and an empty cache folder."""
    monkeypatch.setattr(recbole_archive, "_installed", lambda: None)
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("TFRS_MODELS_CACHE", str(cache))
    return cache


def test_a_wheel_in_the_cache_is_found(nothing_installed, wheel):
    moved = wheel.rename(nothing_installed / wheel.name)
    assert find_archive() == moved


def test_the_wheel_is_downloaded_into_the_cache(nothing_installed, wheel, monkeypatch):
    def download(command, **_):
        assert "recbole==1.2.1" in command
        assert "--no-deps" in command
        wheel.rename(nothing_installed / wheel.name)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(recbole_archive.subprocess, "run", download)
    assert find_archive() == nothing_installed / wheel.name


def test_a_failed_download_says_how_to_get_the_wheel(nothing_installed, monkeypatch):
    def fail(command, **_):
        return subprocess.CompletedProcess(
            command, 1, "", "ERROR: a\nERROR: no network"
        )

    monkeypatch.setattr(recbole_archive.subprocess, "run", fail)
    with pytest.raises(FileNotFoundError, match="no network") as error:
        find_archive()
    assert "pip download --no-deps recbole==1.2.1" in str(error.value)
    assert str(nothing_installed) in str(error.value)


def test_an_installed_package_is_read_from_its_folder(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as files:
        files.extractall(tmp_path / "site")
    for suffix in ("inter", "item", "user"):
        installed = read_atomic_file(tmp_path / "site", suffix)
        assert installed.equals(read_atomic_file(wheel, suffix))


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`path` must be .*none\.whl"):
        find_archive(tmp_path / "none.whl")


def test_another_archive_is_refused(tmp_path):
    empty, text = tmp_path / "empty.whl", tmp_path / "text.whl"
    zipfile.ZipFile(empty, "w").close()
    text.write_text("no archive")
    for path in (empty, text):
        with pytest.raises(
            ValueError, match=r"`path` must be a wheel of recbole==1\.2\.1"
        ):
            read_atomic_file(path, "item")
