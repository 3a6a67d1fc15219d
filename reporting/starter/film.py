"""Radiographs, fluoroscopy, mammography, bone density, nuclear medicine."""

from __future__ import annotations

from reporting.starter.kit import Starter, starter

LIMBS = "extremity, hand, wrist, forearm, elbow, humerus, foot, ankle, leg, femur"
FILM: tuple[Starter, ...] = (
    starter(
        "DX",
        "chest, thorax",
        (
            "Chest radiograph",
            "Chest radiograph.",
            "Lungs: Clear.\nPleura: No effusion or pneumothorax.\n"
            "Heart and mediastinum: Normal size and contour.\nBones: No fracture seen.",
            "[[Normal chest.|No acute abnormality.|As described.]]",
        ),
        (
            "Eksirei ya kifua",
            "Eksirei ya kifua.",
            "Mapafu: Safi.\nPleura: Hakuna maji wala hewa.\nMoyo na mediastina: Ukubwa na umbo la kawaida.\n"
            "Mifupa: Hakuna mvunjiko unaoonekana.",
            "[[Kifua cha kawaida.|Hakuna dosari ya ghafla.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "DX",
        "chest, thorax",
        (
            "Chest radiograph, child",
            "Chest radiograph, [[frontal|frontal and lateral]].",
            "Lungs: Clear, evenly inflated. Perihilar markings normal.\nPleura: No effusion.\n"
            "Heart and thymus: Normal for age.\nAirway: Midline.\nBones: No rib fracture.",
            "[[Normal chest for age.|As described.]]",
        ),
        (
            "Eksirei ya kifua, mtoto",
            "Eksirei ya kifua cha mtoto.",
            "Mapafu: Safi, yamejaa hewa sawasawa.\nPleura: Hakuna maji.\nMoyo na thimasi: Kawaida kwa umri.\n"
            "Mifupa: Hakuna mvunjiko wa mbavu.",
            "[[Kifua cha kawaida kwa umri.|Kama ilivyoelezwa.]]",
        ),
        ages=(0, 12),
        is_default=True,
    ),
    starter(
        "DX",
        "chest, thorax",
        (
            "Chest radiograph, tuberculosis",
            "Chest radiograph, frontal.",
            "Upper zones: [[Clear|Opacity|Cavity]].\nOther zones: [[Clear|Opacity|Miliary nodules]].\n"
            "Hila and mediastinum: [[No enlarged lymph nodes|Enlarged lymph nodes]].\n"
            "Pleura: [[No effusion|Effusion]].\nScars or calcification: [[None|Present]].",
            "[[No sign of active tuberculosis.|Findings suggest active tuberculosis.|"
            "Old changes, no sign of activity.]]",
        ),
        (
            "Eksirei ya kifua, kifua kikuu",
            "Eksirei ya kifua.",
            "Sehemu za juu: [[Safi|Kivuli|Shimo]].\nSehemu nyingine: [[Safi|Kivuli|Vinundu vidogo]].\n"
            "Tezi: [[Hazijavimba|Zimevimba]].\nPleura: [[Hakuna maji|Kuna maji]].\nMakovu: [[Hakuna|Yapo]].",
            "[[Hakuna dalili ya kifua kikuu.|Dalili za kifua kikuu.|Mabadiliko ya zamani tu.]]",
        ),
    ),
    starter(
        "DX",
        "chest, thorax",
        (
            "Chest radiograph, at the bedside",
            "Chest radiograph at the bedside, [[supine|half sitting]].",
            "Tubes and lines: [[None|Endotracheal tube in place|Central line in place|As listed]].\n"
            "Lungs: [[Clear|Opacity]].\nPleura: No pneumothorax or large effusion.\n"
            "Heart: Size hard to judge in this position.",
            "[[No change.|No acute abnormality.|As described.]]",
        ),
    ),
    starter(
        "DX",
        LIMBS,
        (
            "Skeletal radiograph",
            "{{exam}}, two views.",
            "Bones: No fracture or destructive lesion.\nJoints: Normal alignment, joint space kept.\n"
            "Soft tissues: Unremarkable.",
            "[[No fracture.|As described.]]",
        ),
        (
            "Eksirei ya mifupa",
            "{{exam}}, pande mbili.",
            "Mifupa: Hakuna mvunjiko wala uharibifu.\nViungo: Mpangilio wa kawaida.\nTishu laini: Kawaida.",
            "[[Hakuna mvunjiko.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "DX",
        LIMBS,
        (
            "Skeletal radiograph, child",
            "{{exam}}, two views.",
            "Bones: No fracture, no buckle of the cortex.\nGrowth plates: Normal for age.\n"
            "Joints: Aligned, no effusion.\nSoft tissues: Unremarkable.",
            "[[No fracture.|As described.]]",
        ),
        (
            "Eksirei ya mifupa, mtoto",
            "{{exam}}, pande mbili.",
            "Mifupa: Hakuna mvunjiko.\nSehemu za kukua: Kawaida kwa umri.\nViungo: Vimepangika.\nTishu laini: Kawaida.",
            "[[Hakuna mvunjiko.|Kama ilivyoelezwa.]]",
        ),
        ages=(0, 15),
        is_default=True,
    ),
    starter(
        "DX",
        "knee, hip, shoulder",
        (
            "Joint radiograph",
            "{{exam}}, two views.",
            "Alignment: Normal.\nJoint space: [[Kept|Narrowed]].\nOsteophytes: [[None|Small|Marked]].\n"
            "Bones: No fracture or erosion.\nSoft tissues: [[No effusion|Effusion]].",
            "[[Normal joint.|Osteoarthritis.|As described.]]",
        ),
        (
            "Eksirei ya kiungo",
            "{{exam}}, pande mbili.",
            "Mpangilio: Kawaida.\nNafasi ya kiungo: [[Imehifadhiwa|Imepungua]].\nMifupa: Hakuna mvunjiko.\n"
            "Tishu laini: [[Hakuna maji|Kuna maji]].",
            "[[Kiungo cha kawaida.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "DX",
        "spine, lumbar spine, l-spine, cervical spine, c-spine, thoracic spine, t-spine",
        (
            "Spine radiograph",
            "{{exam}}, frontal and lateral.",
            "Alignment: Normal curve, no slip.\nVertebrae: Height kept, no fracture.\nDisc spaces: [[Kept|Narrowed]].\n"
            "Facet joints and soft tissues: Unremarkable.",
            "[[No fracture or slip.|As described.]]",
        ),
        (
            "Eksirei ya uti wa mgongo",
            "{{exam}}, mbele na upande.",
            "Mpangilio: Kawaida.\nPingili: Kimo cha kawaida, hakuna mvunjiko.\nNafasi za diski: [[Kawaida|"
            "Zimepungua]].",
            "[[Hakuna mvunjiko.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "DX",
        "abdomen",
        (
            "Abdominal radiograph",
            "Abdominal radiograph, [[supine|supine and erect]].",
            "Bowel gas: Normal pattern, no dilated loop, no fluid level.\nAir outside the bowel: [[None|Present]].\n"
            "Calcification: [[None|Present]].\nBones: Unremarkable.",
            "[[No obstruction, no perforation seen.|As described.]]",
        ),
        (
            "Eksirei ya tumbo",
            "Eksirei ya tumbo.",
            "Gesi ya utumbo: Kawaida, hakuna kupanuka.\nHewa nje ya utumbo: [[Hakuna|Ipo]].\nMifupa: Kawaida.",
            "[[Utumbo haujaziba.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "DX",
        "pelvis",
        (
            "Pelvis radiograph",
            "Pelvis, frontal.",
            "Pelvic ring and acetabula: No fracture.\nHips: In joint, joint space kept.\n"
            "Sacroiliac joints: Normal.\nSoft tissues: Unremarkable.",
            "[[No fracture of the pelvis or hips.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "DX",
        "skull, face, sinuses",
        (
            "Skull and face radiograph",
            "{{exam}}.",
            "Vault: No fracture.\nOrbits and cheek bones: Intact.\nSinuses: [[Aerated|Opaque]].\nMandible: Intact.",
            "[[No fracture.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "RF",
        "abdomen, oesophagus, stomach",
        (
            "Barium swallow",
            "Fluoroscopy of swallowing with barium, erect and lying.",
            "Swallowing: Normal, no aspiration.\nOesophagus: No stricture, no filling defect, normal motility.\n"
            "Junction: [[Normal|Hiatus hernia|Reflux]].\nStomach as far as filled: Normal.",
            "[[Normal swallow.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "RF",
        "pelvis, uterus",
        (
            "Hysterosalpingogram",
            "Hysterosalpingography{{contrast}}.",
            "Uterine cavity: Normal shape, no filling defect.\nRight tube: [[Open, free spill|Blocked]].\n"
            "Left tube: [[Open, free spill|Blocked]].",
            "[[Both tubes open.|As described.]]",
        ),
        (
            "HSG ya mji wa mimba",
            "HSG{{contrast}}.",
            "Mji wa mimba: Umbo la kawaida.\nMrija wa kulia: [[Uko wazi|Umeziba]].\nMrija wa kushoto: [[Uko wazi|"
            "Umeziba]].",
            "[[Mirija yote iko wazi.|Kama ilivyoelezwa.]]",
        ),
        sex="F",
        is_default=True,
    ),
    starter(
        "MG",
        "",
        (
            "Mammography",
            "Mammography of both breasts, craniocaudal and mediolateral oblique.",
            "Breast composition: [[a|b|c|d]].\nRight breast: No mass, distortion or suspicious calcification.\n"
            "Left breast: No mass, distortion or suspicious calcification.\nAxillae: No enlarged lymph node.",
            "[[No sign of malignancy in either breast.|As described.]]",
        ),
        (
            "Mammografia",
            "Mammografia ya matiti yote mawili, pande mbili.",
            "Muundo wa matiti: [[a|b|c|d]].\nTiti la kulia: Hakuna uvimbe wala dosari.\n"
            "Titi la kushoto: Hakuna uvimbe wala dosari.\nMakwapa: Hakuna tezi zilizovimba.",
            "[[Hakuna dalili ya saratani.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "NM",
        "",
        (
            "Bone scan",
            "Whole body bone scan, three hours after injection of [1:MBq] MBq.",
            "Skeleton: Even uptake, no focus.\nKidneys and bladder: Normal excretion.\nSoft tissues: No uptake.",
            "[[No sign of bone metastases.|As described.]]",
        ),
        is_default=True,
    ),
)
