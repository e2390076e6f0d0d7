from __future__ import annotations

import hashlib
import os
import stat

import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.serving.http.keys import Caller, Keyring, add_key, read_keys


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.txt"


def test_a_key_is_shown_once_and_kept_as_its_hash(path):
    key, id_ = add_key(path, "ana.garcia@lab")
    assert len(key) > 40
    assert key not in path.read_text()
    hashed = hashlib.sha256(key.encode()).hexdigest()
    assert read_keys(path) == {"ana.garcia@lab": hashed}
    assert id_ == hashed[:8]
    assert Keyring(keys_file=path).caller(bearer(key), "10.0.0.1") == Caller(id_, id_)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_only_its_owner_may_read_the_file(path):
    add_key(path, "ana")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_person_is_known_by_their_own_key(path):
    keys = {name: add_key(path, name) for name in ("ana", "bo", "chi")}
    ring = Keyring(keys_file=path)
    callers = {name: ring.caller(bearer(key), "").id for name, (key, _) in keys.items()}
    assert callers == {name: id_ for name, (_, id_) in keys.items()}
    assert len(set(callers.values())) == 3


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Bearer ", b"Basic {}", b"{}", b"Bearer {} ", b"Bearer \xff\xfe"]
)
def test_strangers_are_strangers(path, header):
    key, _ = add_key(path, "ana")
    ring = Keyring("a-token-of-all-people", path)
    assert ring.caller(header.replace(b"{}", key.encode()), "") is None
    hashed = hashlib.sha256(key.encode()).hexdigest()
    assert ring.caller(bearer(hashed), "") is None  # what is in the file is no key


def test_without_a_token_nothing_empty_passes_for_one(path):
    add_key(path, "ana")
    ring = Keyring("", path)
    assert ring.caller(b"Bearer ", "") is None
    assert ring.caller(b"", "") is None


def test_with_one_token_for_all_shares_go_by_address():
    ring = Keyring("a-token-of-all-people")
    first = ring.caller(bearer("a-token-of-all-people"), "10.0.0.1")
    second = ring.caller(b"bearer a-token-of-all-people", "10.0.0.2")
    assert first.id == second.id == "token"
    assert first.share != second.share


def test_a_key_works_and_stops_working_without_a_restart(path, caplog):
    caplog.set_level("INFO")
    ana, _ = add_key(path, "ana")
    ring = Keyring(keys_file=path)
    bo, _ = add_key(path, "bo")
    assert ring.caller(bearer(bo), "") is not None
    kept = [line for line in path.read_text().splitlines() if not line.startswith("ana ")]
    path.write_text("\n".join(kept))
    assert ring.caller(bearer(ana), "") is None
    assert ring.caller(bearer(bo), "") is not None
    assert "ana" not in caplog.text.replace("napari", "")
    assert "bo " not in caplog.text


def test_a_broken_file_changes_nothing_and_is_logged(path, caplog):
    key, _ = add_key(path, "ana")
    ring = Keyring(keys_file=path)
    path.write_text("half a li")
    assert ring.caller(bearer(key), "") is not None
    assert "Line 1" in caplog.text
    path.unlink()
    assert ring.caller(bearer(key), "") is not None


@pytest.mark.parametrize(
    "line",
    [
        "ana",
        "ana " + "g" * 64,
        "ana " + "a" * 63,
        "ana " + "a" * 64 + " extra",
        "two words " + "a" * 64,
        "bo " + "b" * 64,
        "other " + "0" * 64,
    ],
)
def test_a_line_that_is_no_key_is_named_by_its_number(path, line):
    path.write_text(f"# comment\n\nbo {'0' * 64}\n{line}\n")
    with pytest.raises(InputError, match="Line 4"):
        Keyring(keys_file=path)


def test_no_file_is_said(path):
    with pytest.raises(InputError, match="napari-nunext key"):
        Keyring(keys_file=path)


@pytest.mark.parametrize("name", ["", "two words", "a" * 65, "new\nline", "#"])
def test_a_name_that_could_break_the_file_is_refused(path, name):
    with pytest.raises(InputError, match="cannot be the name"):
        add_key(path, name)
    assert not path.exists()


def test_a_name_has_one_key(path):
    add_key(path, "ana")
    with pytest.raises(InputError, match="has a key already"):
        add_key(path, "ana")


def test_a_file_that_was_edited_without_a_last_line_end_is_continued(path):
    path.write_text(f"bo {'0' * 64}")
    add_key(path, "ana")
    assert list(read_keys(path)) == ["bo", "ana"]
