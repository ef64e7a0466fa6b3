import numpy as np

from auricle.report.spectrogram import Box, Spectrogram, draw, save_png


def test_the_axis_and_the_boxes_are_in_seconds_of_the_file():
    wave = np.sin(np.arange(8000) * 0.3)
    box = Box("click", 100, 3000, 0.25, 0.5)
    assert "click, 100 to 3000 Hz, 0.25 to 0.50 s" in draw(Spectrogram("a", wave, 8000, [box])).alt
    later = draw(Spectrogram("a", wave, 8000, [box], start_s=2.0))
    assert "click, 100 to 3000 Hz, 2.25 to 2.50 s" in later.alt
    assert later.svg != draw(Spectrogram("a", wave, 8000, [box])).svg


def test_a_title_in_a_script_that_the_font_lacks_warns_nobody(tmp_path, recwarn):
    wave = np.sin(np.arange(8000) * 0.3)
    save_png(Spectrogram("\u97f3\u58f0 \U0001f3a7.wav", wave, 8000), tmp_path / "a.png")
    assert [str(one.message) for one in recwarn if "Glyph" in str(one.message)] == []
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
