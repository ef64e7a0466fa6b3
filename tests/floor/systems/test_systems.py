import pytest

from auricle.core.errors import ConfigError
from auricle.core.names import PRESETS
from auricle.systems import HOME, NAMES, System, system


@pytest.mark.parametrize("name", NAMES)
def test_a_verb_is_a_function_or_one_clear_line(name):
    found = system(name)
    for verb in HOME:
        if found.has(verb):
            assert callable(found.verb(verb))
        else:
            with pytest.raises(ConfigError, match=f"'{name}' has no {verb}; it has prepare, train, evaluate"):
                found.verb(verb)
    assert {verb for verb in ("prepare", "train", "evaluate", "infer") if found.has(verb)} == set(found.spec.verbs)


def test_a_preset_that_a_system_lacks_is_told_from_one_that_nobody_has():
    with pytest.raises(ConfigError, match="there is no preset 'huge'; presets: smoke, laptop"):
        system("mambo").config("huge")
    lacking = [(name, preset) for name in NAMES for preset in PRESETS if preset not in known(name)]
    for name, preset in lacking:
        with pytest.raises(ConfigError, match=f"'{name}' has no preset '{preset}'; presets: "):
            system(name).config(preset)


def known(name):
    return System(name)._file(".config").PRESETS
