"""The `open` of snippets."""

import json

import pytest

from bert4keras3.snippets import open as open_text

TEXT = "第一行\nsecond\r\n\nlast, no end"
LINES = ["第一行\n", "second\n", "\n", "last, no end"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode("utf-8"))
    return path


def test_file_reads_as_the_builtin_does(path):
    with open_text(path, encoding="utf-8") as file:
        assert list(file) == LINES
        file.seek()
        assert [next(file), file.next()] == LINES[:2]
        file.seek(0)
        assert file.readline() == LINES[0]
        place = file.tell()
        assert file.readlines() == LINES[1:]
        file.seek(place)
        assert file.read() == "".join(LINES[1:])
    assert file.file.closed


@pytest.mark.parametrize("mode", ["r", "rb"])
def test_indexed_lines_are_found_in_any_order(path, mode):
    expected = TEXT.splitlines(True) if mode == "rb" else LINES
    with open_text(path, mode, encoding="utf-8", indexable=True) as file:
        assert len(file) == 4
        assert [file[i] for i in (3, 0, 2, 1, -1)] == [expected[i] for i in (3, 0, 2, 1, -1)]


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-8-sig"])
def test_lines_of_other_encodings_are_indexed(tmp_path, encoding):
    path = tmp_path / "other.txt"
    path.write_bytes(TEXT.encode(encoding))
    with open_text(path, encoding=encoding, indexable=True) as file:
        assert [file[i] for i in (1, 0, 3, 2)] == [LINES[i] for i in (1, 0, 3, 2)]


@pytest.mark.parametrize("text", [TEXT, "a\rb\r\r\nc\n\rd\r", "\r", "", "a\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_line_ends_of_any_system_are_found(tmp_path, text, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(encoding))
    with open_text(path, encoding=encoding, indexable=True) as file:
        lines = [file[i] for i in range(len(file))]
        file.seek(0)
        assert lines == list(file)


def test_file_without_index_says_how_to_get_one(path):
    with open_text(path, encoding="utf-8") as file:
        with pytest.raises(TypeError, match="indexable"):
            file[0]
        with pytest.raises(TypeError, match="indexable"):
            len(file)


def test_index_is_saved_and_read(path):
    saved = path.with_name("index.json")
    with open_text(path, encoding="utf-8", indexable=str(saved)) as file:
        offsets = file.offsets
    assert json.loads(saved.read_text()) == offsets == [0, 10, 18, 19]
    saved.write_text("[10]")
    with open_text(path, encoding="utf-8", indexable=str(saved)) as file:
        assert (len(file), file[0]) == (1, "second\n")


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_written_text_is_encoded(tmp_path, mode):
    with open_text(tmp_path / "new.txt", mode, encoding="gbk") as file:
        file.write("中文")
        file.write("中文".encode("gbk"))
        file.flush()
    assert (tmp_path / "new.txt").read_bytes() == "中文中文".encode("gbk")


def test_errors_are_those_that_were_asked_for(path):
    with open_text(path, encoding="ascii", errors="ignore") as file:
        assert file.readline() == "\n"
    with pytest.raises(UnicodeDecodeError):
        open_text(path, encoding="ascii").read()


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        open_text(tmp_path / "nowhere.txt")
