"""A hundred names that files have: dots, quotes, formulas, every script, bytes that are no text, the longest there are."""

from __future__ import annotations

import os
from pathlib import Path

from tests.sound import tune, write

_PLAIN = [
    "...And Justice.wav", "..Bis.wav", ".5 The Gray Chapter.wav", "- dash.wav", "--help.wav", "=1+1.wav", "+49.wav",
    "@home.wav", "#1.wav", "~.wav", "50% off.wav", "a&b.wav", "a;b.wav", "a|b.wav", "a,b.wav", "a'b.wav", 'a"b.wav',
    '"Heroes".wav', '"quoted', "`ls`.wav", "$HOME.wav", "$(x).wav", "a\\b.wav", "a\\n.wav", "C:x.wav", "<b>.wav",
    "a>b.wav", "a*b?.wav", "[x].wav", "{x}.wav", "(x).wav", "a=b.wav", "a:b.wav", "a b  c.wav", " lead.wav",
    "trail .wav", "tab\there.wav", "line\nbreak.wav", "cr\rhere.wav", "bell\x07.wav", "esc\x1b[31m.wav",
    "del\x7f.wav", "null.wav", "nan.wav", "None.wav", "True.wav", "2020.wav", "1e5.wav", "0x10.wav", "path.wav",
    "labels.wav", "con.wav", "aux.wav", "CON.WAV", "con.Wav", "a.wav.wav", "a..wav", "a.b.c.d.wav", "naïve café.wav",
    "naïve.wav", "Björk.wav", "Sigur Rós – ( ).wav", "Мумий Тролль.wav", "椎名林檎.wav", "방탄소년단.wav", "فيروز.wav",
    "עברית.wav", "\u202eltr.wav", "\ufeffbom.wav", "zero\u200bwidth.wav", "nb\xa0sp.wav", "line\u2028sep.wav",
    "next\x85line.wav", "emoji 🎸🔥.wav", "flag🇧🇷.wav", "ﬁ ligature.wav", "ＦＵＬＬ.wav", "İstanbul.wav", "straße.wav",
    "STRASSE.wav", "x̶̢͠.wav", "%00.wav", "%2e%2e.wav", "a%20b.wav", "&amp;.wav", "é" * 125 + ".wav",
    "漢" * 83 + ".wav", "x" * 251 + ".wav", "y" * 200 + " 1.wav", "y" * 200 + " 2.wav", "settings.json.wav",
    ".part.wav", "index.html.wav", "manifest.wav",
]  # fmt: skip
_DEEP = ["...Trail of Dead/1.wav", "A/CD1/1.wav", "B/CD1/1.wav", "tracks/index.wav", "d" * 255 + "/" + "e" * 251 + ".wav"]
_BYTES = [b"latin \xe9.wav", b"\xff\xfe.wav"]
NAMES = (
    [name + "" if name.lower().endswith(".wav") else f"{name}.wav" for name in _PLAIN]
    + _DEEP
    + [os.fsdecode(name) for name in _BYTES]
)


def write_all(root: Path) -> list[str]:
    """Write a file of each name below `root`; return the names."""
    for k, name in enumerate(NAMES):
        write(root / "x.wav", tune(0.2 + 0.001 * k, 16000, 1, seed=k), 16000)
        target = os.path.join(root, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(root / "x.wav", target)
    return NAMES
