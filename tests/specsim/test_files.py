"""Nothing half-written ever remains."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import specsim
from specsim.errors import InputError
from specsim.support.files import read_file, replacing, write_text

ROOT = str(Path(specsim.__file__).resolve().parent.parent)


def fail_half_way(path, error):
    with replacing(path) as temporary:
        assert temporary.suffix == path.suffix
        assert temporary.parent == path.parent
        temporary.write_text("half")
        raise error


def test_write_text__writes_utf_8_and_makes_the_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "note.txt"
    write_text(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_replacing__keeps_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "data.nc"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="boom"):
        fail_half_way(path, RuntimeError("boom"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing__cleans_up_when_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fail_half_way(tmp_path / "data.nc", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_replacing__a_full_disk_is_one_line(tmp_path):
    with (
        pytest.raises(InputError, match=r"cannot write .*data\.nc: No space left on device; free some space"),
        replacing(tmp_path / "data.nc"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_replacing__refuses_a_folder(tmp_path):
    with pytest.raises(InputError, match="it is a folder; give a file name"), replacing(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_replacing__leaves_devices_and_pipes_alone(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="device or a pipe"):
        write_text(pipe, "text")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_replacing__an_impossible_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"cannot write .*; choose a writable folder"),
        replacing(tmp_path / "file" / "data.nc"),
    ):
        pass


@pytest.mark.skipif(os.name == "nt", reason="POSIX rights")
def test_replacing__gives_the_usual_rights(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "note.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == 0o640


def test_read_file__takes_regular_files_of_bounded_size_only(tmp_path):
    (tmp_path / "text").write_text("abc")
    assert read_file(tmp_path / "text", "give a text") == b"abc"
    for path, reason in (
        (tmp_path, "it is a folder"),
        (tmp_path / "none", "No such file"),
        ("a\0b", "null byte"),
        (os.devnull, "it is a device or a pipe"),
    ):
        with pytest.raises(InputError, match=f"cannot read .*{reason}.*; give a text"):
            read_file(path, "give a text")
    with pytest.raises(InputError, match="it has 3 bytes, more than 2"):
        read_file(tmp_path / "text", "give a text", most_bytes=2)


def test_replacing__removes_what_a_killed_writer_left(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from specsim.support.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "o3.nc"
    subprocess.run([sys.executable, "-c", code, path], env={**os.environ, "PYTHONPATH": ROOT}, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    # Another writer that is still at work keeps its file.
    with replacing(path) as other, replacing(path) as temporary:
        temporary.write_text("whole")
        assert other.exists()
        other.write_text("other")
    assert [item.name for item in tmp_path.iterdir()] == ["o3.nc"]
