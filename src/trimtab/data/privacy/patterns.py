"""Texts that look like a person's: found by form, and where there is a checksum, only where it is right.

All are Polars expressions over linear-time regular expressions. Checksums: cards by Luhn (ISO/IEC 7812-1, annex B) with
the prefixes of networks in use; IBAN by mod 97 (ISO 13616, ISO 7064) with the length of its country; the Spanish
DNI/NIE by its letter (mod 23), the Brazilian CPF by its two digits (mod 11). The US social security number and the
British national insurance number have none: they count in the form with separators, and with the areas and prefixes
that are never given out left out.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence

import polars as pl

_BEFORE, _AFTER = r"(?:^|[^\pL\pN@._+-])", r"(?:$|[^\pL\pN@_-])"
_EMAIL = r"(?i)[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}\b"
_PHONE = (
    r"(?:^|[^\pL\pN+.-])(?:\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"
    r"|\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4})(?:$|[^\pL\pN-])"
)
_CARD = r"(?:\d[ -]?){12,18}\d"
_CARD_ALONE = rf"(?:^|[^\pL\pN.,-]){_CARD}(?:$|[^\pL\pN-])"
_NETWORKS = (
    r"^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d{2}|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d{2})\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17})$"
)
_IBAN = r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?"
_IBAN_ALONE = rf"{_BEFORE}{_IBAN}(?:$|[^\pL\pN])"
_SSN = (
    r"(?:^|[^\pL\pN.-])(?:00[1-9]|0[1-9]\d|[1-578]\d{2}|6[0-57-9]\d|66[0-57-9])-(?:0[1-9]|[1-9]\d)-"
    r"(?:000[1-9]|00[1-9]\d|0[1-9]\d{2}|[1-9]\d{3})(?:$|[^\pL\pN-])"
)
_NINO = (
    r"(?:^|[^\pL\pN])(?:[ACEHJLMOPRSWXY][A-CEGHJ-NPR-TW-Z]|B[A-CEHJ-NPR-TW-Z]|G[ACEGHJ-MPR-TW-Z]|[KT][A-CEGHJ-MPR-TW-Z]"
    r"|N[A-CEGHJLMPR-SW-Z]|Z[A-CEGHJ-NPR-TW-Y]) ?\d{2} ?\d{2} ?\d{2} ?[A-D](?:$|[^\pL\pN])"
)
_DNI = r"(?:\d{8}|[XYZ]\d{7})-?[TRWAGMYFPDXBNJZSQVHLCKE]"
_DNI_ALONE = rf"(?:^|[^\pL\pN.-]){_DNI}(?:$|[^\pL\pN-])"
_CPF = r"\d{3}\.\d{3}\.\d{3}-\d{2}"
_CPF_ALONE = rf"(?:^|[^\pL\pN.-]){_CPF}(?:$|[^\pL\pN-])"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d{2}|[1-9]?\d)"
_GROUP = r"[0-9A-Fa-f]{1,4}"
_IP = (
    rf"(?:^|[^\pL\pN.])(?:{_OCTET}\.){{3}}{_OCTET}(?:$|[^\pL\pN.]|\.(?:$|\s))"
    rf"|(?:^|[^\pL\pN:.])(?:(?:{_GROUP}:){{7}}{_GROUP}|(?:{_GROUP}:){{1,6}}:(?:{_GROUP}(?::{_GROUP}){{0,5}})?)"
    r"(?:$|[^\pL\pN:.])"
)
_IBAN_LENGTHS: Mapping[str, int] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_LONGEST_CARD, _LONGEST_IBAN = 19, 34


def tells(text: pl.Expr, kind: str) -> pl.Expr:
    """Whether a text holds something of this kind; false where it is null."""
    return _KINDS[kind](text).fill_null(value=False)


def masked(text: pl.Expr, kinds: Iterable[str]) -> pl.Expr:
    """A text with all that has the form of one of these kinds taken out."""
    for kind in kinds:
        for form in _FORMS[kind]:
            text = text.str.replace_all(form, f" [{kind}] ")
    return text


def forbidden(columns: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The columns whose name one of the patterns forbids, in lower or upper case; `*` stands for any letters."""
    return [name for name in columns if any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)]


def _any_of(text: pl.Expr, form: str, inner: str, sound: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """Whether any part of this form is sound. Parts that touch are each looked at."""
    bare = pl.element().str.extract(f"({inner})", 1)
    return text.str.extract_all(form).list.eval(sound(bare)).list.any()


def _card(digits: pl.Expr) -> pl.Expr:
    bare = digits.str.replace_all(r"[ -]", "")
    padded = bare.str.zfill(_LONGEST_CARD)
    total = pl.lit(0)
    for place in range(_LONGEST_CARD):
        digit = padded.str.slice(_LONGEST_CARD - 1 - place, 1).cast(pl.Int32)
        total = total + (digit if place % 2 == 0 else 2 * digit - 9 * (digit > 4))
    same = bare.str.contains(r"^(?:0+|1+|2+|3+|4+|5+|6+|7+|8+|9+)$")
    return bare.str.contains(_NETWORKS) & (total % 10 == 0) & ~same


def _iban(text: pl.Expr) -> pl.Expr:
    bare = text.str.replace_all(" ", "", literal=True)
    right = bare.str.len_chars() == bare.str.slice(0, 2).replace_strict(
        _IBAN_LENGTHS, default=0, return_dtype=pl.UInt32
    )
    digits = (bare.str.slice(4) + bare.str.slice(0, 4)).str.replace_many(_VALUES)
    rest = digits.str.slice(0, 9).cast(pl.Int64, strict=False) % 97
    for begin in range(9, 2 * _LONGEST_IBAN, 7):  # a piece at a time, so that each fits a 64-bit number
        rest = (rest.cast(pl.String) + digits.str.slice(begin, 7)).cast(pl.Int64, strict=False) % 97
    return right & (rest == 1)


def _dni(text: pl.Expr) -> pl.Expr:
    number = text.str.extract(r"^([XYZ]?\d+)", 1).str.replace_many(["X", "Y", "Z"], ["0", "1", "2"]).cast(pl.Int64)
    letters = dict(enumerate(_DNI_LETTERS))
    return text.str.slice(-1) == (number % 23).replace_strict(letters, default="", return_dtype=pl.String)


def _cpf(text: pl.Expr) -> pl.Expr:
    bare = text.str.replace_all(r"[.-]", "")
    digits = [bare.str.slice(place, 1).cast(pl.Int32) for place in range(11)]

    def check(count: int) -> pl.Expr:
        total = pl.lit(0)
        for place in range(count):
            total = total + digits[place] * (count + 1 - place)
        return (total * 10 % 11) % 10

    same = bare.str.contains(r"^(?:0+|1+|2+|3+|4+|5+|6+|7+|8+|9+)$")
    return (check(9) == digits[9]) & (check(10) == digits[10]) & ~same


def _national(text: pl.Expr) -> pl.Expr:
    return (
        text.str.contains(_SSN)
        | text.str.contains(_NINO)
        | _any_of(text, _DNI_ALONE, _DNI, _dni)
        | _any_of(text, _CPF_ALONE, _CPF, _cpf)
    )


_VALUES = {chr(55 + value): str(value) for value in range(10, 36)}
_KINDS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "email": lambda text: text.str.contains(_EMAIL),
    "phone": lambda text: text.str.contains(_PHONE),
    "card": lambda text: _any_of(text, _CARD_ALONE, _CARD, _card),
    "iban": lambda text: _any_of(text, _IBAN_ALONE, _IBAN, _iban),
    "national_id": _national,
    "ip": lambda text: text.str.contains(_IP),
}
KINDS = tuple(_KINDS)
"""Every kind that is known."""
_FORMS: Mapping[str, tuple[str, ...]] = {
    "email": (_EMAIL,),
    "phone": (_PHONE,),
    "card": (_CARD_ALONE,),
    "iban": (_IBAN_ALONE,),
    "national_id": (_SSN, _NINO, _DNI_ALONE, _CPF_ALONE),
    "ip": (_IP,),
}
