"""Magnetic resonance."""

from __future__ import annotations

from reporting.starter.kit import Starter, starter

MR: tuple[Starter, ...] = (
    starter(
        "MR",
        "head, brain",
        (
            "MR brain",
            "MR of the brain{{contrast}}: T1, T2, FLAIR, diffusion.",
            "Brain: No restricted diffusion, no mass, no haemorrhage. Normal white matter for age.\n"
            "Ventricles: Normal.\nVessels: Normal flow voids.\nSinuses and orbits: Unremarkable.",
            "[[No intracranial abnormality.|As described.]]",
        ),
        (
            "MR ya ubongo",
            "MR ya ubongo{{contrast}}: T1, T2, FLAIR, diffusion.",
            "Ubongo: Hakuna dalili ya kiharusi kipya, uvimbe wala damu.\nVentrikali: Kawaida.\n"
            "Mishipa: Mtiririko wa kawaida.\nSinasi na macho: Kawaida.",
            "[[Hakuna dosari ya ubongo.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "MR",
        "head, brain",
        (
            "MR brain, seizures",
            "MR of the brain with the protocol for epilepsy: T1 volume, T2 and FLAIR coronal to the hippocampi, "
            "diffusion.",
            "Hippocampi: [[Symmetrical, normal signal|Asymmetrical]].\nCortex: No dysplasia or heterotopia.\n"
            "White matter: Normal.\nNo mass, no old haemorrhage.\nVentricles: Normal.",
            "[[No cause of seizures is seen.|As described.]]",
        ),
    ),
    starter(
        "MR",
        "pituitary, sella",
        (
            "MR pituitary",
            "MR of the pituitary gland, thin coronal and sagittal sections, dynamic series{{contrast}}.",
            "Gland: Height [1:mm] mm, even enhancement. Focal lesion: [[none|present]].\n"
            "Stalk: Midline.\nOptic chiasm and cavernous sinuses: Free.",
            "[[Normal pituitary gland.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "MR",
        "spine, lumbar spine, l-spine",
        (
            "MR lumbar spine",
            "MR of the lumbar spine{{contrast}}: sagittal T1, T2, STIR; axial T2.",
            "Alignment and vertebrae: Normal.\nConus: Normal, ends at L1.\n"
            "Discs: No protrusion, spinal canal and foramina free at every level.\nSoft tissues: Unremarkable.",
            "[[No nerve root compression.|As described.]]",
        ),
        (
            "MR ya uti wa mgongo",
            "MR ya uti wa mgongo wa chini{{contrast}}: T1, T2, STIR.",
            "Mpangilio na pingili: Kawaida.\nUti: Wa kawaida, unaishia L1.\n"
            "Diski: Hakuna kutokeza, nafasi za neva ziko wazi.\nTishu laini: Kawaida.",
            "[[Hakuna neva iliyobanwa.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "MR",
        "cervical spine, c-spine",
        (
            "MR cervical spine",
            "MR of the cervical spine{{contrast}}: sagittal T1, T2, STIR; axial T2.",
            "Alignment and vertebrae: Normal.\nCord: Normal calibre and signal.\n"
            "C2/3 to C7/T1: No disc protrusion, canal and foramina free.\nSoft tissues: Unremarkable.",
            "[[No narrowing of the canal or the foramina.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "MR",
        "thoracic spine, t-spine",
        (
            "MR thoracic spine",
            "MR of the thoracic spine{{contrast}}: sagittal T1, T2, STIR; axial T2.",
            "Alignment and vertebrae: Normal. No marrow lesion.\nCord: Normal signal.\nDiscs: No protrusion.\n"
            "Paravertebral soft tissues: No collection.",
            "[[Normal thoracic spine.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "MR",
        "knee",
        (
            "MR knee",
            "MR of the knee, {{exam.side}}: PD with fat saturation in three planes, T1 coronal.",
            "Menisci: [[Intact|Torn]].\nCruciate ligaments: [[Intact|Torn]].\nCollateral ligaments: Intact.\n"
            "Cartilage: No defect.\nExtensor mechanism: Intact.\nJoint fluid: [[None|Small amount|Effusion]].\n"
            "Bone marrow: Normal.",
            "[[No internal derangement.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "MR",
        "shoulder",
        (
            "MR shoulder",
            "MR of the shoulder, {{exam.side}}: PD with fat saturation in three planes, T1.",
            "Rotator cuff: Supraspinatus [[intact|torn]], infraspinatus [[intact|torn]], subscapularis "
            "[[intact|torn]].\n"
            "Long head of biceps: In its groove.\nLabrum: Intact on this examination.\n"
            "Acromioclavicular joint: [[Normal|Degenerative]].\nBursa and joint fluid: Normal.",
            "[[Rotator cuff intact.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "MR",
        "pelvis, prostate",
        (
            "MR prostate",
            "Multiparametric MR of the prostate: T2 in three planes, diffusion, dynamic series{{contrast}}.",
            "Prostate: [1:volume] ml. PSA [2:ng/ml] ng/ml.\nPeripheral zone: [[No lesion|Lesion]].\n"
            "Transition zone: [[No lesion|Lesion]].\nCapsule and seminal vesicles: Not involved.\n"
            "Lymph nodes and bones: Unremarkable.",
            "[[No suspicious lesion.|As described.]]",
        ),
        sex="M",
        is_default=True,
    ),
    starter(
        "MR",
        "pelvis, uterus",
        (
            "MR female pelvis",
            "MR of the pelvis{{contrast}}: T2 in three planes, T1 with and without fat saturation, diffusion.",
            "Uterus: Normal size and zonal anatomy. Endometrium [1:mm] mm.\nCervix: Normal.\n"
            "Right ovary: Normal.\nLeft ovary: Normal.\nBladder and rectum: Normal.\n"
            "Free fluid: [[None|Small amount]].\nLymph nodes: None enlarged.",
            "[[Normal pelvis.|As described.]]",
        ),
        sex="F",
        is_default=True,
    ),
    starter(
        "MR",
        "abdomen, liver, bile ducts",
        (
            "MR bile ducts and pancreas",
            "MRCP: thick and thin section T2, with T1 and diffusion of the upper abdomen.",
            "Bile ducts: Not dilated, common duct [1:mm] mm, no filling defect.\nGallbladder: [[No stone|Stones]].\n"
            "Pancreas and its duct: Normal.\nLiver and spleen: No focal lesion.",
            "[[No stone or stricture of the bile ducts.|As described.]]",
        ),
        is_default=True,
    ),
)
