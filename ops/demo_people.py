"""The invented people of the demo practice, and what is said about them. Nobody here exists."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from core.patients import Particulars
from core.rules.roles import Role

PRACTICE = {
    "name": "Ubuntu Radiology (demo)",
    "address": "12 Kerk Street, Bloemfontein, 9301",
    "phone": "051 555 0100",
    "email": "desk@ubuntu-radiology.example",
    "pcns": "0380000123456",
    "vat_number": "4000000000",
}


@dataclass(frozen=True)
class Staff:
    """One demo account."""

    login: str
    name: str
    role: Role
    registration: str = ""
    practice_number: str = ""


STAFF = (
    Staff("admin", "Zanele Khumalo", Role.ADMIN),
    Staff("admin2", "Gideon Naudé", Role.ADMIN),
    Staff("manager", "Pieter Joubert", Role.MANAGER),
    Staff("reception", "Lerato Mokoena", Role.RECEPTION),
    Staff("radiographer", "Johan Botha", Role.RADIOGRAPHER, "DR 0054321"),
    Staff("radiologist", "Dr Priya Naidoo", Role.RADIOLOGIST, "MP 0612345", "0380000712345"),
    Staff("radiologist2", "Dr Sibusiso Dlamini", Role.RADIOLOGIST, "MP 0698765", "0380000798765"),
    Staff("transcriptionist", "Annelise van Wyk", Role.TRANSCRIPTIONIST),
    Staff("transcriptionist2", "Thabo Sithole", Role.TRANSCRIPTIONIST),
    Staff("transcriptionist3", "Fatima Adams", Role.TRANSCRIPTIONIST),
    Staff("billing", "Nomvula Zulu", Role.BILLING),
    Staff("analyst", "Rajesh Govender", Role.ANALYST),
)

# Accounts at the gateway, made once there is something to see there: the first of CASES, the first of REFERRERS.
PATIENT_LOGIN, REFERRER_LOGIN = "patient", "referrer"

REFERRERS = (
    ("Dr Amahle van der Merwe", "0140000123457", "051 555 0201", "rooms@vdmerwe.example"),
    ("Dr Kagiso Molefe", "0140000765432", "051 555 0202", "rooms@molefe.example"),
    ("Dr Inge Strauß", "0240000456789", "051 555 0203", "rooms@strauss.example"),
)


@dataclass(frozen=True)
class Case:
    """One patient's study: who, which examination (data/examinations.csv), which images (ops.demo_images), what was found.

    draft: what the radiologist typed; corrected: what the transcriptionist made of it; codes: ICD-10, primary first.
    """

    patient: Particulars
    examination: str
    images: str
    history: str
    draft: str
    corrected: str
    codes: tuple[str, ...]
    urgency: str = "routine"


def _member(family: str, given: str, born_on: date, sex: str, membership: str, **more: str) -> Particulars:
    initials = "".join(word[0] for word in given.replace("-", " ").split())
    return Particulars(
        family_name=family,
        given_names=given,
        born_on=born_on,
        sex=sex,
        membership_number=membership,
        scheme_code=more.pop("scheme_code", "ubuntu-demo"),
        scheme_option="Classic",
        dependant_code="00",
        member_surname=family,
        member_initials=initials,
        **more,
    )


CASES = (
    Case(
        _member("Nkosi-Müller", "Thandô Grace", date(1980, 1, 1), "F", "800101001", identity_kind="sa-id",
                identity_number="8001010150084", title="Ms", phone="082 555 0101"),
        "brain-ct", "ct_head_j2k", "Headache for two weeks, worse in the morning. No trauma.",
        "TECHNIQUE\nNon-contrast axial CT of the brain.\n\nFINDINGS\nNo acute bleed. Ventricals and sulci normal for age. "
        "No midline shift. Left maxilary sinus mucosal thickening.\n\nCONCLUSION\nNo acute intracranial abnormality. Left maxillary sinusitis.",
        "TECHNIQUE\nNon-contrast axial CT of the brain.\n\nFINDINGS\nNo acute haemorrhage. Ventricles and sulci are normal for age. "
        "No midline shift. Left maxillary sinus mucosal thickening.\n\nCONCLUSION\n1. No acute intracranial abnormality.\n2. Left maxillary sinusitis.",
        ("J32.9",),
    ),
    Case(
        _member("van der Westhuizen-Ngcobo", "Siyabonga", date(1957, 6, 16), "M", "570616010", title="Mr", phone="083 555 0102"),
        "lumbar-spine-mr", "mr", "Low back pain with right sciatica for six weeks.",
        "TECHNIQUE\nSagittal and axial T1 and T2.\n\nFINDINGS\nDisk dessication L4/5 and L5/S1. Right paracentral protrusion L5/S1 touching S1 root.\n\nCONCLUSION\nL5/S1 right paracentral disc protrusion with S1 root contact.",
        "TECHNIQUE\nSagittal and axial T1- and T2-weighted sequences.\n\nFINDINGS\nDisc desiccation at L4/5 and L5/S1. Right paracentral protrusion at L5/S1, touching the right S1 nerve root.\n\nCONCLUSION\nRight paracentral disc protrusion at L5/S1 in contact with the right S1 nerve root.",
        ("M51.1",), "urgent",
    ),
    Case(
        _member("Pillay", "Keshnee", date(1991, 11, 30), "F", "911130020", title="Mrs", phone="084 555 0103"),
        "shoulder-right-us", "us_cine", "Right shoulder pain on lifting the arm.",
        "FINDINGS\nSupraspinatus tendon intact. Mild subacromial bursitus.\n\nCONCLUSION\nMild subacromial bursitis. No cuff tear.",
        "FINDINGS\nThe supraspinatus tendon is intact. Mild subacromial bursitis.\n\nCONCLUSION\nMild subacromial bursitis. No rotator cuff tear.",
        ("M75.1",),
    ),
    Case(
        _member("Fourie", "Hendrik Jacobus", date(1949, 3, 21), "M", "490321001", title="Mr", phone="082 555 0104"),
        "brain-ct", "ct", "Fell from a ladder yesterday; confused since this morning.",
        "TECHNIQUE\nNon-contrast CT.\n\nFINDINGS\nNo fracture. No subdural. Age related atrophy.\n\nCONCLUSION\nNo acute traumatic abnormality.",
        "TECHNIQUE\nNon-contrast CT of the brain.\n\nFINDINGS\nNo fracture. No subdural collection. Age-related atrophy.\n\nCONCLUSION\nNo acute traumatic abnormality.",
        ("S06.00", "W19.99"), "stat",
    ),
    Case(
        _member("Mahlangu", "Nomsa", date(1973, 8, 9), "F", "730809002", title="Ms", phone="082 555 0105"),
        "brain-mr", "mr_abdomen", "Known migraine, change in pattern.",
        "FINDINGS\nNo mass. No restricted diffusion.\n\nCONCLUSION\nNormal MR of the brain.",
        "FINDINGS\nNo mass lesion. No restricted diffusion.\n\nCONCLUSION\nNormal MR of the brain.",
        ("R51",),
    ),
    Case(
        _member("October", "Jean-Pierre", date(1988, 12, 2), "M", "881202008", title="Mr", phone="084 555 0106"),
        "knee-left-us", "us_colour", "Swelling behind the left knee.",
        "FINDINGS\nPopliteal cyst 3 cm. No DVT.\n\nCONCLUSION\nBaker cyst left knee.",
        "FINDINGS\nPopliteal cyst of 3 cm. No deep-vein thrombosis.\n\nCONCLUSION\nBaker's cyst of the left knee.",
        ("M25.56",),
    ),
    Case(
        _member("Mbeki", "Lindiwe", date(2001, 4, 27), "F", "010427004", title="Ms", phone="083 555 0107"),
        "brain-ct", "ct", "First seizure.",
        "FINDINGS\nNormal.\n\nCONCLUSION\nNormal CT brain.", "FINDINGS\nNormal study.\n\nCONCLUSION\nNormal CT of the brain.", ("R56.8",),
    ),
    Case(
        _member("O'Connor", "Siobhán", date(1966, 10, 13), "F", "661013006", title="Prof", phone="082 555 0108"),
        "cervical-spine-mr", "mr", "Neck pain with tingling in the left hand.",
        "FINDINGS\nC5/6 disc osteophyte.\n\nCONCLUSION\nC5/6 spondylosis.", "FINDINGS\nDisc-osteophyte complex at C5/6.\n\nCONCLUSION\nC5/6 spondylosis.", ("M47.22",),
    ),
    Case(
        _member("Ndlovu", "Bongani Themba", date(1979, 2, 14), "M", "", title="Mr", phone="083 555 0109", scheme_code=""),
        "shoulder-right-us", "us_cine", "Rotator cuff injury?", "", "", (),
    ),
    Case(
        _member("Smit", "Elsabé", date(1995, 5, 5), "F", "950505009", title="Ms", phone="084 555 0110"),
        "brain-ct", "ct", "Head injury, vomiting.", "", "", (), "urgent",
    ),
)  # fmt: skip


def _earlier(family: str, given: str, born_on: date, sex: str, membership: str, like: int) -> Case:
    """A patient of the last two weeks, with the examination and the findings of one of CASES."""
    return replace(CASES[like], patient=_member(family, given, born_on, sex, membership))


EARLIER = (
    _earlier("Motaung", "Refilwe", date(1984, 7, 3), "F", "840703001", 0),
    _earlier("Venter", "Christiaan", date(1962, 2, 11), "M", "620211010", 1),
    _earlier("Jacobs", "Aaliyah", date(1999, 9, 19), "F", "990919001", 2),
    _earlier("Cele", "Mduduzi", date(1975, 12, 25), "M", "751225000", 3),  # rejected: the member is unknown
    _earlier("Naicker", "Thirusha", date(1990, 3, 8), "F", "900308020", 0),
    _earlier("Bezuidenhout", "André", date(1954, 10, 1), "M", "541001001", 1),
    _earlier("Radebe", "Nokuthula", date(1987, 5, 17), "F", "870517001", 5),
    _earlier("Swanepoel", "Mariëtte", date(1969, 8, 30), "F", "690830010", 7),
)
