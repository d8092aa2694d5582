"""Words of any script, for references that the published scorer is blind to."""

import unicodedata

_NO_BLANKS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "YI")
"""First words of the Unicode names of characters in scripts that put no blanks between words."""


def foreign(text: str) -> bool:
    """Whether most letters and digits are none of ASCII's."""
    held = [char for char in text if unicodedata.category(char)[0] in "LN"]
    return 2 * sum(char.isascii() for char in held) < len(held)


def wordless(text: str) -> bool:
    """Whether there is something, and in it no letter and no digit."""
    return bool(text.strip()) and not any(unicodedata.category(char)[0] in "LN" for char in text)


class UnicodeWords:
    """Tokenizer for rouge_score: runs of letters, digits and their marks, whatever the case and
    Unicode form; characters of scripts without blanks one by one, with their marks."""

    def tokenize(self, text: str) -> list[str]:
        """The words in order."""
        words: list[str] = []
        inside = False
        for char in unicodedata.normalize("NFKC", text).casefold():
            kind = unicodedata.category(char)[0]
            if kind == "M" and inside:
                words[-1] += char
            elif kind in "LN":
                alone = unicodedata.name(char, "").startswith(_NO_BLANKS)
                if inside and not alone and not _alone(words[-1]):
                    words[-1] += char
                else:
                    words.append(char)
                inside = True
            else:
                inside = False
        return words


def _alone(word: str) -> bool:
    return unicodedata.name(word[0], "").startswith(_NO_BLANKS)
