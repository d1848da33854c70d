"""Settings: defaults, file, environment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from kubetune_operator.settings import Settings


def test_the_defaults_need_no_environment() -> None:
    assert Settings.load({}).trainer_command == ["python", "-m", "kubetune_trainer"]


def test_each_field_is_a_variable() -> None:
    settings = Settings.load(
        {
            "KUBETUNE_TRAINER_COMMAND": "python -m 'my trainer'",
            "KUBETUNE_ALLOW_FILE_URIS": "true",
            "KUBETUNE_NAMESPACES": "a, b",
            "KUBETUNE_TRAINER_ENV": '{"HF_HUB_OFFLINE": "1"}',
            "KUBETUNE_TOLERATIONS": '[{"key": "gpu", "operator": "Exists"}]',
        }
    )
    assert settings.trainer_command == ["python", "-m", "my trainer"]
    assert settings.allow_file_uris
    assert settings.namespaces == ["a", "b"]
    assert settings.trainer_env == {"HF_HUB_OFFLINE": "1"}
    assert settings.tolerations[0].key == "gpu"


def test_the_environment_counts_more_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("trainer_image: from-file\nworkers: 4\n")
    settings = Settings.load({"KUBETUNE_SETTINGS": str(path), "KUBETUNE_TRAINER_IMAGE": "from-environment"})
    assert (settings.trainer_image, settings.workers) == ("from-environment", 4)


def test_a_field_that_is_no_setting_is_an_error_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("trainer_imag: typo\n")
    with pytest.raises(ValidationError, match="trainer_imag"):
        Settings.load({"KUBETUNE_SETTINGS": str(path)})


def test_variables_that_kubernetes_sets_for_services_are_left_alone() -> None:
    assert Settings.load({"KUBETUNE_SERVICE_HOST": "10.0.0.1", "KUBETUNE_PORT": "tcp://10.0.0.1:80"}) == Settings()


def test_pods_never_run_as_root() -> None:
    with pytest.raises(ValidationError, match="run_as_user"):
        Settings(run_as_user=0)
