"""A command names a file of a secret that it cannot read, in one line."""

from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from headrace_cli.errors import WRONG_CALL, explained
from headrace_worker.settings import CommonSettings


def test_a_file_that_is_not_there_is_a_wrong_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA__SASL_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError) as raised:
        CommonSettings()
    problem = explained(raised.value)
    assert problem is not None
    assert problem.status == WRONG_CALL
    assert problem.lines == [
        f"a setting cannot be read: HEADRACE_KAFKA__SASL_PASSWORD_FILE: {tmp_path / 'none'}: No such file or directory"
    ]
