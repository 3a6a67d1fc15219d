"""Computed tomography."""

from __future__ import annotations

from reporting.starter.kit import Starter, starter

NO_ACUTE = "[[No acute abnormality.|No acute abnormality. Chronic changes as described.|As described.]]"
HAKUNA = (
    "[[Hakuna dosari ya ghafla.|Hakuna dosari ya ghafla. Mabadiliko ya zamani kama ilivyoelezwa.|Kama ilivyoelezwa.]]"
)

CT: tuple[Starter, ...] = (
    starter(
        "CT",
        "head, brain",
        (
            "CT head",
            "Axial CT of the head{{contrast}}, soft tissue and bone reconstructions.",
            "Brain: No intracranial haemorrhage, mass effect or loss of grey-white differentiation.\n"
            "Ventricles and cisterns: Normal size and shape.\nBones and sinuses: No fracture. Sinuses clear.",
            "[[No acute intracranial abnormality.|No acute intracranial abnormality. Involution in keeping with "
            "age.|As described.]]",
        ),
        (
            "CT ya kichwa",
            "CT ya kichwa{{contrast}}, picha za tishu laini na mifupa.",
            "Ubongo: Hakuna kutoka damu ndani ya fuvu, uvimbe wala dalili ya kiharusi.\n"
            "Ventrikali: Ukubwa na umbo la kawaida.\nMifupa na sinasi: Hakuna mvunjiko. Sinasi ni safi.",
            "[[Hakuna dosari ya ghafla ndani ya fuvu.|Kama ilivyoelezwa.]]",
        ),
        is_default=True,
    ),
    starter(
        "CT",
        "head, brain",
        (
            "CT head, injury",
            "Axial CT of the head without contrast, soft tissue and thin bone reconstructions.",
            "Scalp: [[No swelling|Swelling]].\nSkull and skull base: [[No fracture|Fracture]].\n"
            "Extra-axial spaces: No extradural, subdural or subarachnoid blood.\n"
            "Brain: No contusion or diffuse swelling. Midline shift [[none|present]].\n"
            "Ventricles and basal cisterns: Open, symmetrical.\nFacial bones as far as included: Intact.",
            "[[No sign of injury to the skull or brain.|As described.]]",
        ),
        (
            "CT ya kichwa, ajali",
            "CT ya kichwa bila dawa ya utofauti, picha za tishu laini na mifupa.",
            "Ngozi ya kichwa: [[Haijavimba|Imevimba]].\nFuvu: [[Hakuna mvunjiko|Kuna mvunjiko]].\n"
            "Nje ya ubongo: Hakuna damu.\nUbongo: Hakuna jeraha wala kuvimba. Mstari wa kati haujasogea.\n"
            "Ventrikali: Ziko wazi, zimelingana.",
            "[[Hakuna dalili ya jeraha la fuvu au ubongo.|Kama ilivyoelezwa.]]",
        ),
    ),
    starter(
        "CT",
        "head, brain",
        (
            "CT head, stroke",
            "CT of the head without contrast, then CT angiography of the neck and head{{contrast}}.",
            "Brain: No haemorrhage. Early ischaemic change: [[none|present]]. ASPECTS [1:score 0 to 10].\n"
            "Old infarcts: [[None|Present]].\nIntracranial arteries: No occlusion of a large vessel.\n"
            "Neck arteries: No significant stenosis or dissection.\nVentricles and cisterns: Normal.",
            "[[No haemorrhage, no large vessel occlusion.|As described.]] Onset of symptoms: [2:time].",
        ),
    ),
    starter(
        "CT",
        "sinuses, face, orbit",
        (
            "CT paranasal sinuses",
            "Low dose CT of the paranasal sinuses, coronal and sagittal reconstructions.",
            "Frontal, ethmoid, maxillary and sphenoid sinuses: Aerated, no fluid level.\n"
            "Ostiomeatal units: Open on both sides.\nNasal septum: [[Midline|Deviated to the right|Deviated to the "
            "left]].\n"
            "Orbits and teeth as far as included: Unremarkable.",
            "[[No sinus disease.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "CT",
        "neck",
        (
            "CT neck",
            "CT of the neck{{contrast}}, from the skull base to the aortic arch.",
            "Pharynx and larynx: No mass, airway patent.\nSalivary and thyroid glands: Normal.\n"
            "Lymph nodes: None enlarged.\nVessels: Opacify normally.\nLung apices and bones: No suspicious lesion.",
            NO_ACUTE,
        ),
        is_default=True,
    ),
    starter(
        "CT",
        "cervical spine, c-spine",
        (
            "CT cervical spine",
            "CT of the cervical spine without contrast, sagittal and coronal reconstructions.",
            "Alignment: Kept at every level.\nVertebrae: No fracture. Dens intact.\nDiscs and canal: No narrowing.\n"
            "Prevertebral soft tissues: Not widened.\nLung apices: Clear.",
            "[[No fracture or malalignment of the cervical spine.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "CT",
        "chest, thorax",
        (
            "CT chest",
            "CT of the chest{{contrast}}, lung and mediastinal reconstructions.",
            "Lungs: Clear. No nodule or consolidation.\nPleura: No effusion or pneumothorax.\n"
            "Mediastinum: No enlarged lymph node. Heart and great vessels of normal size.\n"
            "Upper abdomen: Unremarkable as far as included.\nBones: No suspicious lesion.",
            NO_ACUTE,
        ),
        (
            "CT ya kifua",
            "CT ya kifua{{contrast}}, picha za mapafu na mediastina.",
            "Mapafu: Safi. Hakuna kinundu wala nimonia.\nPleura: Hakuna maji wala hewa.\n"
            "Mediastina: Hakuna tezi zilizovimba. Moyo na mishipa mikubwa ni ya ukubwa wa kawaida.\n"
            "Tumbo la juu: La kawaida kwa sehemu inayoonekana.\nMifupa: Hakuna dosari.",
            HAKUNA,
        ),
        is_default=True,
    ),
    starter(
        "CT",
        "chest, thorax",
        (
            "CT pulmonary angiogram",
            "CT angiography of the pulmonary arteries{{contrast}}. Opacification [[good|sufficient|limited]].",
            "Pulmonary arteries: No filling defect down to the [[segmental|subsegmental]] level.\n"
            "Right heart: Not enlarged, septum straight.\nLungs: Clear.\nPleura: No effusion.\n"
            "Mediastinum: No enlarged lymph node.\nUpper abdomen and bones: Unremarkable.",
            "[[No filling defect in the pulmonary arteries.|As described.]]",
        ),
    ),
    starter(
        "CT",
        "chest, thorax",
        (
            "CT chest, lung cancer screening",
            "Low dose CT of the chest without contrast.",
            "Nodules: [[None|As listed]].\nLungs: Emphysema [[none|mild|moderate|severe]].\n"
            "Airways and pleura: Unremarkable.\nMediastinum: No enlarged lymph node.\n"
            "Coronary calcification: [[none|mild|moderate|severe]].\nUpper abdomen and bones: Unremarkable.",
            "[[No nodule.|As described.]]",
        ),
        ages=(45, None),
    ),
    starter(
        "CT",
        "chest, thorax",
        (
            "CT chest, high resolution",
            "Thin section CT of the chest in inspiration, with views in expiration. No contrast.",
            "Pattern: [[No interstitial abnormality|Reticulation|Ground glass|Nodules|Cysts]].\n"
            "Distribution: [where].\nTraction bronchiectasis, honeycombing: [[None|Present]].\n"
            "Air trapping: [[None|Present]].\nMediastinum and pleura: Unremarkable.",
            "[[No sign of interstitial lung disease.|As described.]]",
        ),
    ),
    starter(
        "CT",
        "abdomen, pelvis, abdomen and pelvis",
        (
            "CT abdomen and pelvis",
            "CT of the abdomen and pelvis{{contrast}}, portal venous phase.",
            "Liver, gallbladder, pancreas, spleen: Normal.\nKidneys and ureters: No stone, no dilatation.\n"
            "Bowel: No obstruction or wall thickening. Appendix normal.\nVessels and lymph nodes: Normal.\n"
            "Pelvis: No mass, no free fluid.\nBones: No suspicious lesion.",
            NO_ACUTE,
        ),
        (
            "CT ya tumbo na nyonga",
            "CT ya tumbo na nyonga{{contrast}}, awamu ya vena ya ini.",
            "Ini, kibofu cha nyongo, kongosho, wengu: Kawaida.\nFigo na ureta: Hakuna mawe wala kupanuka.\n"
            "Utumbo: Hakuna kuziba wala unene wa ukuta. Kidole tumbo cha kawaida.\nMishipa na tezi: Kawaida.\n"
            "Nyonga: Hakuna uvimbe wala maji.\nMifupa: Hakuna dosari.",
            HAKUNA,
        ),
        is_default=True,
    ),
    starter(
        "CT",
        "abdomen, pelvis, abdomen and pelvis, kidney",
        (
            "CT kidneys and ureters, stone",
            "Low dose CT of the abdomen and pelvis without contrast.",
            "Right kidney and ureter: [[No stone, no dilatation|Stone]].\n"
            "Left kidney and ureter: [[No stone, no dilatation|Stone]].\nBladder: Unremarkable.\n"
            "Appendix, bowel and other organs as far as seen without contrast: Unremarkable.",
            "[[No urinary stone.|As described.]]",
        ),
        (
            "CT ya figo, mawe",
            "CT ya tumbo na nyonga kwa mionzi kidogo, bila dawa ya utofauti.",
            "Figo na ureta ya kulia: [[Hakuna mawe wala kupanuka|Kuna jiwe]].\n"
            "Figo na ureta ya kushoto: [[Hakuna mawe wala kupanuka|Kuna jiwe]].\nKibofu: Cha kawaida.\n"
            "Utumbo na viungo vingine: Kawaida kwa sehemu inayoonekana.",
            "[[Hakuna mawe ya mkojo.|Kama ilivyoelezwa.]]",
        ),
    ),
    starter(
        "CT",
        "liver, abdomen",
        (
            "CT liver, three phases",
            "CT of the liver{{contrast}}, arterial, portal venous and late phase.",
            "Liver: Size [[normal|enlarged|small]], contour [[smooth|nodular]]. Focal lesions: [[none|as listed]].\n"
            "Portal and hepatic veins: Open.\nBile ducts and gallbladder: Normal.\n"
            "Spleen, pancreas, kidneys: Normal.\nAscites: [[None|Present]].",
            "[[No focal liver lesion.|As described.]]",
        ),
    ),
    starter(
        "CT",
        "aorta, chest, abdomen",
        (
            "CT aorta",
            "CT angiography of the aorta{{contrast}}, with a series before contrast.",
            "Thoracic aorta: Ascending [1:mm] mm, descending [2:mm] mm. No dissection or intramural haematoma.\n"
            "Abdominal aorta: [3:mm] mm. No aneurysm.\nBranches: Open.\nOther organs: Unremarkable in this phase.",
            "[[Aorta of normal width without dissection.|As described.]]",
        ),
        is_default=False,
    ),
    starter(
        "CT",
        "body, whole body",
        (
            "CT major injury",
            "CT from the vertex to the thighs{{contrast}}.",
            "Head and face: No haemorrhage, no fracture.\nNeck and cervical spine: No fracture.\n"
            "Chest: No pneumothorax, haemothorax or aortic injury.\nLiver, spleen, kidneys, pancreas: Intact.\n"
            "Bowel and mesentery: No free air, no free fluid.\nSpine, pelvis and limbs as far as included: No "
            "fracture.",
            "[[No sign of injury.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "CT",
        "spine, lumbar spine, l-spine",
        (
            "CT lumbar spine",
            "CT of the lumbar spine without contrast, sagittal and coronal reconstructions.",
            "Alignment: Normal.\nVertebrae: No fracture or destructive lesion.\n"
            "Discs and canal: No significant narrowing at any level.\nSacroiliac joints and soft "
            "tissues: Unremarkable.",
            "[[No fracture of the lumbar spine.|As described.]]",
        ),
        is_default=True,
    ),
    starter(
        "CT",
        "heart, coronary",
        (
            "CT coronary arteries",
            "ECG-gated CT angiography of the coronary arteries{{contrast}}. Heart rate [1:per minute] per minute.",
            "Calcium score: [2:Agatston units].\nOrigins and course: Normal, [[right|left|balanced]] dominance.\n"
            "Left main: No stenosis.\nLeft anterior descending: [[No stenosis|Stenosis]].\n"
            "Circumflex: [[No stenosis|Stenosis]].\nRight coronary artery: [[No stenosis|Stenosis]].\n"
            "Heart, valves and pericardium: Unremarkable.\nLungs as far as included: Clear.",
            "[[No coronary stenosis.|As described.]]",
        ),
        ages=(18, None),
        is_default=True,
    ),
)
