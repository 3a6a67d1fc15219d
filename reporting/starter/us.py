"""Ultrasound."""

from __future__ import annotations

from reporting.starter.kit import Starter, starter

US: tuple[Starter, ...] = (
    starter(
        "US",
        "abdomen",
        (
            "Ultrasound abdomen",
            "Ultrasound of the abdomen.",
            "Liver: Normal size and echotexture, no focal lesion.\n"
            "Gallbladder and bile ducts: No stone, no dilatation.\n"
            "Pancreas, spleen: Normal as far as seen.\nKidneys: Normal size, no stone, no hydronephrosis.\n"
            "Free fluid: None.",
            "[[Normal ultrasound of the abdomen.|As described.]]",
        ),
        (
            "Ultrasound ya tumbo",
            "Ultrasound ya tumbo.",
            "Ini: Ukubwa na mwonekano wa kawaida, hakuna uvimbe.\nKibofu na mirija ya nyongo: Hakuna mawe.\n"
            "Kongosho, wengu: Kawaida kwa sehemu inayoonekana.\n"
            "Figo: Ukubwa wa kawaida, hakuna mawe wala kupanuka.\nMaji tumboni: Hakuna.",
            "[[Ultrasound ya tumbo ya kawaida.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "US",
        "abdomen",
        (
            "Ultrasound right upper quadrant",
            "Ultrasound of the liver, gallbladder and bile ducts.",
            "Liver: [1:cm] cm, echotexture [[normal|fatty|coarse]].\nGallbladder: [[No stone|Stones]], wall "
            "[2:mm] mm.\n"
            "Common bile duct: [3:mm] mm.\nPortal vein: Open.\nRight kidney: Normal.",
            "[[No stone, no dilated bile duct.|As described.]]",
        ),
    ),
    starter(
        "US",
        "kidney, urinary tract, renal",
        (
            "Ultrasound kidneys and bladder",
            "Ultrasound of the kidneys and bladder.",
            "Right kidney: [1:cm] cm, normal cortex, [[no|mild|marked]] dilatation.\n"
            "Left kidney: [2:cm] cm, normal cortex, [[no|mild|marked]] dilatation.\n"
            "Stones: [[None|Present]].\nBladder: Thin wall. After voiding [3:ml] ml remain.",
            "[[Normal kidneys and bladder.|As described.]]",
        ),
        (
            "Ultrasound ya figo na kibofu",
            "Ultrasound ya figo na kibofu cha mkojo.",
            "Figo ya kulia: [1:sm] sm, [[haijapanuka|imepanuka]].\nFigo ya kushoto: [2:sm] sm, "
            "[[haijapanuka|imepanuka]].\n"
            "Mawe: [[Hakuna|Yapo]].\nKibofu: Ukuta mwembamba. Mkojo unaobaki [3:ml] ml.",
            "[[Figo na kibofu vya kawaida.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "US",
        "obstetric",
        (
            "Obstetric ultrasound",
            "Transabdominal obstetric ultrasound.",
            "Fetus: Single, live, heart rate [1:rate] beats per minute.\n"
            "Presentation: [[cephalic|breech|transverse]].\n"
            "Gestational age by measurements: [2:weeks].\nPlacenta: [3:site], clear of the internal os.\n"
            "Amniotic fluid: Normal amount.",
            "[[Single live fetus, age as stated.|As described.]]",
        ),
        (
            "Ultrasound ya ujauzito",
            "Ultrasound ya ujauzito kupitia tumbo.",
            "Mtoto: Mmoja, hai, mapigo ya moyo [1:kasi] kwa dakika.\nMkao: [[kichwa chini|matako chini|amelala "
            "kando]].\n"
            "Umri wa mimba: [2:wiki].\nKondo la nyuma: [3:mahali], mbali na mlango wa kizazi.\n"
            "Maji ya uzazi: Kiasi cha kawaida.",
            "[[Mtoto mmoja, hai, umri kama ilivyotajwa.|Kama ilivyoelezwa.]]",
        ),
        sex="F",
        is_default=True,
    ),
    starter(
        "US",
        "obstetric",
        (
            "Obstetric ultrasound, first trimester",
            "[[Transabdominal|Transvaginal]] ultrasound of the early pregnancy.",
            "Gestational sac: In the uterus, [[one|two]].\nCrown-rump length: [1:mm] mm, [2:weeks and days].\n"
            "Heart action: [[Seen|Not seen]].\nYolk sac: Normal.\nAdnexa: No mass.\nFree fluid: [[None|Present]].",
            "[[Live pregnancy in the uterus.|As described.]]",
        ),
        (
            "Ultrasound ya mimba changa",
            "Ultrasound ya miezi mitatu ya kwanza.",
            "Mfuko wa mimba: Ndani ya mji wa mimba.\nUrefu wa mtoto: [1:mm] mm, [2:wiki na siku].\n"
            "Mapigo ya moyo: [[Yanaonekana|Hayaonekani]].\nMaji nje ya mji: [[Hakuna|Yapo]].",
            "[[Mimba hai ndani ya mji wa mimba.|Kama ilivyoelezwa.]]",
        ),
        sex="F",
    ),
    starter(
        "US",
        "obstetric",
        (
            "Obstetric ultrasound, anatomy",
            "Transabdominal ultrasound of fetal anatomy at [1:weeks].",
            "Biometry: BPD [2:mm] mm, HC [3:mm] mm, AC [4:mm] mm, FL [5:mm] mm.\nHead and spine: Normal.\n"
            "Face: Normal.\nHeart: Four chambers, outflow tracts seen.\nAbdominal wall, stomach, kidneys, "
            "bladder: Normal.\n"
            "Limbs: Four seen.\nPlacenta: [6:site].\nCervix: [7:mm] mm.\nFluid: Normal.",
            "[[No abnormality of fetal anatomy is seen.|As described.]]",
        ),
        sex="F",
    ),
    starter(
        "US",
        "pelvis, uterus",
        (
            "Ultrasound female pelvis",
            "[[Transabdominal|Transvaginal]] ultrasound of the pelvis.",
            "Uterus: [1:cm] cm, [[no fibroid|fibroids]]. Endometrium [2:mm] mm.\nRight ovary: Normal.\n"
            "Left ovary: Normal.\nFree fluid: [[None|Small amount|Present]].",
            "[[Normal uterus and ovaries.|As described.]]",
        ),
        (
            "Ultrasound ya nyonga ya mwanamke",
            "Ultrasound ya nyonga.",
            "Mji wa mimba: [1:sm] sm, [[hakuna fibroidi|kuna fibroidi]].\nOvari ya kulia: Ya kawaida.\n"
            "Ovari ya kushoto: Ya kawaida.\nMaji: [[Hakuna|Yapo]].",
            "[[Mji wa mimba na ovari za kawaida.|Kama ilivyoelezwa.]]",
        ),
        sex="F",
        is_default=True,
    ),
    starter(
        "US",
        "pelvis, prostate",
        (
            "Ultrasound prostate and bladder",
            "Transabdominal ultrasound of the bladder and prostate.",
            "Prostate: [1:ml] ml.\nBladder: Wall [[thin|thickened]], no stone.\nAfter voiding [2:ml] ml remain.\n"
            "Kidneys: No dilatation.",
            "[[Prostate not enlarged.|Enlarged prostate.|As described.]]",
        ),
        (
            "Ultrasound ya tezi dume",
            "Ultrasound ya kibofu na tezi dume.",
            "Tezi dume: [1:ml] ml.\nKibofu: Hakuna jiwe.\nMkojo unaobaki: [2:ml] ml.\nFigo: Hazijapanuka.",
            "[[Tezi dume ya kawaida.|Tezi dume imekua.|Kama ilivyoelezwa.]]",
        ),
        sex="M",
        is_default=True,
    ),
    starter(
        "US",
        "scrotum, testis",
        (
            "Ultrasound scrotum",
            "Ultrasound of the scrotum with colour Doppler.",
            "Right testis: Normal echotexture and flow.\nLeft testis: Normal echotexture and flow.\n"
            "Epididymides: Normal.\nFluid: [[None|Hydrocele]].\nVeins: [[Not dilated|Varicocele]].",
            "[[Normal testes with normal flow.|As described.]]",
        ),
        sex="M",
        is_default=True,
    ),
    starter(
        "US",
        "neck, thyroid",
        (
            "Ultrasound thyroid",
            "Ultrasound of the thyroid and neck.",
            "Right lobe: [1:ml] ml, even echotexture.\nLeft lobe: [2:ml] ml, even echotexture.\nIsthmus: Normal.\n"
            "Nodules: [[None|As listed]].\nLymph nodes: None suspicious.",
            "[[Normal thyroid.|As described.]]",
        ),
        (
            "Ultrasound ya tezi ya shingo",
            "Ultrasound ya tezi dundumio na shingo.",
            "Upande wa kulia: [1:ml] ml.\nUpande wa kushoto: [2:ml] ml.\nVinundu: [[Hakuna|Vipo]].\nTezi za "
            "limfu: Kawaida.",
            "[[Tezi ya kawaida.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "US",
        "breast",
        (
            "Ultrasound breast",
            "Ultrasound of both breasts and axillae.",
            "Right breast: [[No focal lesion|Cyst|Solid lesion]].\nLeft breast: [[No focal lesion|Cyst|Solid "
            "lesion]].\n"
            "Axillae: Lymph nodes of normal shape.",
            "[[No suspicious lesion.|As described.]]",
        ),
        (
            "Ultrasound ya matiti",
            "Ultrasound ya matiti na makwapa.",
            "Titi la kulia: [[Hakuna uvimbe|Kuna uvimbe]].\nTiti la kushoto: [[Hakuna uvimbe|Kuna uvimbe]].\n"
            "Makwapa: Tezi za kawaida.",
            "[[Hakuna uvimbe wa kutilia shaka.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "US",
        "leg, extremity, veins",
        (
            "Ultrasound leg veins",
            "Compression ultrasound and Doppler of the deep veins of the leg, {{exam.side}}.",
            "Common femoral, femoral and popliteal vein: [[Compressible, normal flow|Not compressible]].\n"
            "Calf veins: [[Compressible as far as seen|Not compressible]].\nSuperficial veins: Free.\n"
            "Popliteal fossa: No cyst.",
            "[[No deep vein thrombosis.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "US",
        "neck, carotid",
        (
            "Ultrasound carotid arteries",
            "Duplex ultrasound of the carotid and vertebral arteries.",
            "Right internal carotid: [1:cm/s] cm/s, stenosis [[none|below 50 %|50 to 69 %|70 % or more]].\n"
            "Left internal carotid: [2:cm/s] cm/s, stenosis [[none|below 50 %|50 to 69 %|70 % or more]].\n"
            "Vertebral arteries: Flow towards the head on both sides.\nPlaque: [[None|Calcified|Soft]].",
            "[[No significant stenosis.|As described.]]",
        ),
    ),
    starter(
        "US",
        "head, brain",
        (
            "Ultrasound of the newborn's head",
            "Cranial ultrasound through the anterior fontanelle.",
            "Ventricles: Not dilated.\nGerminal matrix: [[No haemorrhage|Haemorrhage]].\n"
            "Periventricular white matter: Normal.\nMidline: Not shifted.\nPosterior fossa: Normal as far as seen.",
            "[[Normal cranial ultrasound.|As described.]]",
        ),
        ages=(0, 1),
        is_default=True,
    ),
    starter(
        "US",
        "hip",
        (
            "Ultrasound of the infant's hip",
            "Ultrasound of both hips, coronal plane, with stress.",
            "Right hip: Alpha angle [1:degrees] degrees, [[stable|unstable]].\n"
            "Left hip: Alpha angle [2:degrees] degrees, [[stable|unstable]].",
            "[[Both hips mature.|As described.]]",
        ),
        ages=(0, 1),
        is_default=True,
    ),
)
