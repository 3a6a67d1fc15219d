"""The people of the demo: staff, referrers, patients. All invented, of many places, with the letters of their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class Member:
    username: str
    role: str
    prefix: str
    given_name: str
    family_name: str
    specialty: str = ""


STAFF = (
    Member("clerk", "clerk", "", "Mercy", "Wafula"),
    Member("technologist", "technologist", "", "Brian", "Kiprono"),
    Member("radiologist", "radiologist", "Dr", "Naliaka", "Wekesa", "Radiology"),
    Member("resident", "resident", "Dr", "Ruth", "Chebet", "Radiology"),
    Member("referrer", "referring_physician", "Dr", "Sarah", "Atieno", "Internal medicine"),
    Member("qa", "qa_lead", "Dr", "Esther", "Nakato", "Quality"),
    Member("physicist", "medical_physicist", "", "Tomas", "Lindqvist", "Medical physics"),
    Member("admin", "it_admin", "", "Juma", "Mrisho"),
)

#: A second radiologist, so that peer review and take-over have somebody to meet
SECOND_READER = Member("mutua", "radiologist", "Dr", "Josphat", "Mutua", "Radiology")


@dataclass(frozen=True)
class Referrer:
    given_name: str
    family_name: str
    specialty: str
    organisation: str


REFERRERS = (
    Referrer("David", "Were", "Emergency medicine", "Emergency department"),
    Referrer("Rajesh", "Desai", "Oncology", "Oncology clinic"),
    Referrer("Lucy", "Kariuki", "Orthopaedics", "Orthopaedic clinic"),
    Referrer("Jean-Bosco", "Habimana", "Neurology", "Neuro ward"),
)


@dataclass(frozen=True)
class Person:
    family_name: str
    given_name: str
    sex: str
    birth_date: date | None
    middle_name: str = ""
    prefix: str = ""
    ideographic_name: str = ""
    phonetic_name: str = ""
    phone: str = ""
    language: str = "en"
    weight_kg: float | None = None
    is_estimated: bool = False
    is_restricted: bool = False
    alerts: tuple[tuple[str, str], ...] = field(default=())


PATIENTS = (
    Person(
        "Wanjiru", "Achieng", "F", date(1990, 3, 14), "Grace", phone="+254 722 000 101", language="sw", weight_kg=64
    ),
    Person("Kiplagat", "Daniel", "M", date(1965, 7, 2), phone="+254 733 000 102", weight_kg=81),
    Person("Hassan", "Amina", "F", date(2018, 1, 30), "Yusuf", phone="+254 711 000 103", language="sw", weight_kg=23),
    Person("Tesfaye", "Selamawit", "F", date(1974, 5, 19), phone="+251 911 000 104"),
    Person(
        "Mwangi", "Peter", "M", date(1959, 11, 8), "Kamau", alerts=(("allergy", "Iodinated contrast: hives, 2023"),)
    ),
    Person("Nakato", "Prossy", "F", date(1997, 9, 23), alerts=(("pregnancy", "Possibly pregnant"),)),
    Person("van der Berg", "Johan", "M", date(1982, 2, 11), weight_kg=94),
    Person("Uwimana", "Claudine", "F", date(1993, 6, 5)),
    Person("Patel", "Hemantkumar", "M", date(1968, 4, 27), "Rameshbhai", phone="+254 700 000 109"),
    Person(
        "Müller",
        "Jürgen",
        "M",
        date(1951, 12, 24),
        prefix="Prof",
        alerts=(("mr_unsafe", "Pacemaker, not MR conditional"),),
    ),
    Person("Żółkiewska", "Małgorzata", "F", date(1979, 8, 16)),
    Person("Ólafsdóttir", "Guðrún", "F", date(1986, 10, 3)),
    Person("Nguyễn", "Hòa", "F", date(1971, 1, 9), "Thị"),
    Person("Παπαδόπουλος", "Σταύρος", "M", date(1962, 3, 31)),
    Person("Иванова", "Наталья", "F", date(1984, 5, 12), "Сергеевна"),
    Person("Yamada", "Tarou", "M", date(1976, 7, 7), ideographic_name="山田^太郎", phonetic_name="やまだ^たろう"),
    Person("O'Brien", "Siobhán", "F", date(2001, 2, 28)),
    Person(
        "Çelik", "Ayşe", "F", date(1948, 1, 1), is_estimated=True, alerts=(("isolation", "MRSA, contact precautions"),)
    ),
    Person("Andrianarisoa", "Hery", "M", date(1955, 6, 26), "Njaka", is_restricted=True),
    Person("Muñoz Ibáñez", "Íñigo", "M", date(2010, 11, 15), weight_kg=41),
)


@dataclass(frozen=True)
class Machine:
    room: str
    room_name: str
    ae_title: str
    modality: str
    manufacturer: str


MACHINES = (
    Machine("ct1", "CT 1", "CT1", "CT", "Invented Imaging"),
    Machine("ct2", "CT 2", "CT2", "CT", "Invented Imaging"),
    Machine("mr1", "MR 1", "MR1", "MR", "Invented Imaging"),
    Machine("dx1", "X-ray 1", "DX1", "DX", "Invented Imaging"),
    Machine("us1", "Ultrasound 1", "US1", "US", "Invented Imaging"),
    Machine("mg1", "Mammography", "MG1", "MG", "Invented Imaging"),
)
