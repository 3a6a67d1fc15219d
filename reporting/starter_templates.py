"""The templates that a facility begins with, in English and Swahili. ``[...]`` is to be filled before signing.

``{indication}`` and the other merge fields of ``reporting.services.templates`` are filled when a report is opened.
"""

from __future__ import annotations

from typing import NamedTuple


class Starter(NamedTuple):
    modality: str
    regions: tuple[str, ...]
    en: tuple[str, dict[str, str]]
    sw: tuple[str, dict[str, str]]


def _text(technique: str, findings: str) -> dict[str, str]:
    return {
        "clinical_information": "{indication}",
        "technique": technique,
        "comparison": "{comparison}",
        "findings": findings,
    }


STARTERS: tuple[Starter, ...] = (
    Starter(
        "",
        (),
        ("General report", _text("{exam}{contrast}.", "")),
        ("Ripoti ya jumla", _text("{exam}{contrast}.", "")),
    ),
    Starter(
        "CT",
        ("head", "brain"),
        (
            "CT head",
            _text(
                "Axial CT of the head{contrast}, soft tissue and bone reconstructions.",
                "Brain: No intracranial haemorrhage, mass effect or loss of grey-white differentiation.\n"
                "Ventricles and cisterns: Normal size and shape.\nBones and sinuses: No fracture. Sinuses clear.",
            ),
        ),
        (
            "CT ya kichwa",
            _text(
                "CT ya kichwa{contrast}, picha za tishu laini na mifupa.",
                "Ubongo: Hakuna kutoka damu ndani ya fuvu, uvimbe wala dalili ya kiharusi.\n"
                "Ventrikali: Ukubwa na umbo la kawaida.\nMifupa na sinasi: Hakuna mvunjiko. Sinasi ni safi.",
            ),
        ),
    ),
    Starter(
        "CT",
        ("chest", "thorax"),
        (
            "CT chest",
            _text(
                "CT of the chest{contrast}, lung and mediastinal reconstructions.",
                "Lungs: Clear. No nodule or consolidation.\nPleura: No effusion or pneumothorax.\n"
                "Mediastinum: No enlarged lymph node. Heart and great vessels of normal size.\n"
                "Upper abdomen: Unremarkable as far as included.\nBones: No suspicious lesion.",
            ),
        ),
        (
            "CT ya kifua",
            _text(
                "CT ya kifua{contrast}, picha za mapafu na mediastina.",
                "Mapafu: Safi. Hakuna kinundu wala nimonia.\nPleura: Hakuna maji wala hewa.\n"
                "Mediastina: Hakuna tezi zilizovimba. Moyo na mishipa mikubwa ni ya ukubwa wa kawaida.\n"
                "Tumbo la juu: La kawaida kwa sehemu inayoonekana.\nMifupa: Hakuna dosari.",
            ),
        ),
    ),
    Starter(
        "CT",
        ("abdomen", "pelvis", "abdomen and pelvis"),
        (
            "CT abdomen and pelvis",
            _text(
                "CT of the abdomen and pelvis{contrast}, portal venous phase.",
                "Liver, gallbladder, pancreas, spleen: Normal.\nKidneys and ureters: No stone, no dilatation.\n"
                "Bowel: No obstruction or wall thickening. Appendix normal.\nVessels and lymph nodes: Normal.\n"
                "Pelvis: No mass, no free fluid.\nBones: No suspicious lesion.",
            ),
        ),
        (
            "CT ya tumbo na nyonga",
            _text(
                "CT ya tumbo na nyonga{contrast}, awamu ya vena ya ini.",
                "Ini, kibofu cha nyongo, kongosho, wengu: Kawaida.\nFigo na ureta: Hakuna mawe wala kupanuka.\n"
                "Utumbo: Hakuna kuziba wala unene wa ukuta. Kidole tumbo cha kawaida.\nMishipa na tezi: Kawaida.\n"
                "Nyonga: Hakuna uvimbe wala maji.\nMifupa: Hakuna dosari.",
            ),
        ),
    ),
    Starter(
        "DX",
        ("chest", "thorax"),
        (
            "Chest radiograph",
            _text(
                "Chest radiograph.",
                "Lungs: Clear.\nPleura: No effusion or pneumothorax.\n"
                "Heart and mediastinum: Normal size and contour.\nBones: No fracture seen.",
            ),
        ),
        (
            "Eksirei ya kifua",
            _text(
                "Eksirei ya kifua.",
                "Mapafu: Safi.\nPleura: Hakuna maji wala hewa.\nMoyo na mediastina: Ukubwa na umbo la kawaida.\n"
                "Mifupa: Hakuna mvunjiko unaoonekana.",
            ),
        ),
    ),
    Starter(
        "DX",
        ("extremity", "knee", "hand", "wrist", "ankle", "foot", "hip", "shoulder", "elbow", "spine"),
        (
            "Skeletal radiograph",
            _text(
                "{exam}, two views.",
                "Bones: No fracture or destructive lesion.\nJoints: Normal alignment, joint space kept.\n"
                "Soft tissues: Unremarkable.",
            ),
        ),
        (
            "Eksirei ya mifupa",
            _text(
                "{exam}, pande mbili.",
                "Mifupa: Hakuna mvunjiko wala uharibifu.\nViungo: Mpangilio wa kawaida.\nTishu laini: Kawaida.",
            ),
        ),
    ),
    Starter(
        "US",
        ("abdomen",),
        (
            "Ultrasound abdomen",
            _text(
                "Ultrasound of the abdomen.",
                "Liver: Normal size and echotexture, no focal lesion.\n"
                "Gallbladder and bile ducts: No stone, no dilatation.\n"
                "Pancreas, spleen: Normal as far as seen.\nKidneys: Normal size, no stone, no hydronephrosis.\n"
                "Free fluid: None.",
            ),
        ),
        (
            "Ultrasound ya tumbo",
            _text(
                "Ultrasound ya tumbo.",
                "Ini: Ukubwa na mwonekano wa kawaida, hakuna uvimbe.\nKibofu na mirija ya nyongo: Hakuna mawe.\n"
                "Kongosho, wengu: Kawaida kwa sehemu inayoonekana.\n"
                "Figo: Ukubwa wa kawaida, hakuna mawe wala kupanuka.\n"
                "Maji tumboni: Hakuna.",
            ),
        ),
    ),
    Starter(
        "US",
        ("obstetric", "uterus", "pelvis"),
        (
            "Obstetric ultrasound",
            _text(
                "Transabdominal obstetric ultrasound.",
                "Fetus: Single, live, heart rate [rate] beats per minute.\nPresentation: [presentation].\n"
                "Gestational age by measurements: [weeks].\nPlacenta: [site], clear of the internal os.\n"
                "Amniotic fluid: Normal amount.",
            ),
        ),
        (
            "Ultrasound ya ujauzito",
            _text(
                "Ultrasound ya ujauzito kupitia tumbo.",
                "Mtoto: Mmoja, hai, mapigo ya moyo [kasi] kwa dakika.\nMkao: [mkao].\nUmri wa mimba: [wiki].\n"
                "Kondo la nyuma: [mahali], mbali na mlango wa kizazi.\nMaji ya uzazi: Kiasi cha kawaida.",
            ),
        ),
    ),
    Starter(
        "MR",
        ("head", "brain"),
        (
            "MR brain",
            _text(
                "MR of the brain{contrast}: T1, T2, FLAIR, diffusion.",
                "Brain: No restricted diffusion, no mass, no haemorrhage. Normal white matter for age.\n"
                "Ventricles: Normal.\nVessels: Normal flow voids.\nSinuses and orbits: Unremarkable.",
            ),
        ),
        (
            "MR ya ubongo",
            _text(
                "MR ya ubongo{contrast}: T1, T2, FLAIR, diffusion.",
                "Ubongo: Hakuna dalili ya kiharusi kipya, uvimbe wala damu.\nVentrikali: Kawaida.\n"
                "Mishipa: Mtiririko wa kawaida.\nSinasi na macho: Kawaida.",
            ),
        ),
    ),
    Starter(
        "MR",
        ("spine", "lumbar spine", "l-spine"),
        (
            "MR lumbar spine",
            _text(
                "MR of the lumbar spine{contrast}: sagittal T1, T2, STIR; axial T2.",
                "Alignment and vertebrae: Normal.\nConus: Normal, ends at L1.\n"
                "Discs: No protrusion, spinal canal and foramina free at every level.\nSoft tissues: Unremarkable.",
            ),
        ),
        (
            "MR ya uti wa mgongo",
            _text(
                "MR ya uti wa mgongo wa chini{contrast}: T1, T2, STIR.",
                "Mpangilio na pingili: Kawaida.\nUti: Wa kawaida, unaishia L1.\n"
                "Diski: Hakuna kutokeza, nafasi za neva ziko wazi.\nTishu laini: Kawaida.",
            ),
        ),
    ),
    Starter(
        "MG",
        (),
        (
            "Mammography",
            _text(
                "Mammography of both breasts, craniocaudal and mediolateral oblique.",
                "Breast composition: [a-d].\nRight breast: No mass, distortion or suspicious calcification.\n"
                "Left breast: No mass, distortion or suspicious calcification.\nAxillae: No enlarged lymph node.",
            ),
        ),
        (
            "Mammografia",
            _text(
                "Mammografia ya matiti yote mawili, pande mbili.",
                "Muundo wa matiti: [a-d].\nTiti la kulia: Hakuna uvimbe wala dosari.\n"
                "Titi la kushoto: Hakuna uvimbe wala dosari.\nMakwapa: Hakuna tezi zilizovimba.",
            ),
        ),
    ),
)
