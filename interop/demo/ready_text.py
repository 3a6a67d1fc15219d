"""Macros, and a form (MRRT) of our own: what the demo's readers find ready."""

from __future__ import annotations

from reporting.models import Macro, ReportTemplate
from reporting.services import import_template
from ris.core.actor import Actor

MACROS = (
    ("nad", "en", "No acute abnormality."),
    ("nonod", "en", "No suspicious nodule. No enlarged lymph node."),
    ("stone", "en", "Stone of [1:mm] mm in the [[upper|middle|lower]] third of the [[right|left]] ureter."),
    ("fu", "en", "Follow-up [[CT|ultrasound|MR]] in [1:months] months."),
    ("cmp", "en", "Compared with {{comparison.exam}} of {{comparison.date}}."),
    ("kawaida", "sw", "Hakuna dosari ya ghafla."),
)
FORM = """<!DOCTYPE html>
<html lang="en"><head><title>Thyroid ultrasound, form</title><meta charset="UTF-8">
<meta name="dcterms.title" content="Thyroid ultrasound, form">
<meta name="dcterms.description" content="Volumes and one nodule, as data">
<meta name="dcterms.language" content="en"><meta name="dcterms.type" content="IMAGE_REPORT_TEMPLATE">
<script type="text/xml"><template_attributes>
<term><code meaning="thyroid gland" value="RID7578" scheme="RADLEX"/></term>
<coded_content>
<entry ORIGTXT="cystic"><term><code meaning="cystic" value="RID34302" scheme="RADLEX"/></term></entry>
<entry ORIGTXT="solid"><term><code meaning="solid" value="RID5741" scheme="RADLEX"/></term></entry>
</coded_content></template_attributes></script></head>
<body>
<section id="technique" class="level1" data-section-name="Technique"><header class="level1">Technique</header>
<p><textarea id="how" name="Technique" data-field-type="TEXTAREA">Ultrasound of the thyroid and neck.</textarea></p>
</section>
<section id="findings" class="level1" data-section-name="Findings"><header class="level1">Findings</header>
<p>Right lobe: <input type="number" id="right" name="Volume of the right lobe" min="0" max="300" data-field-units="ml"
 data-field-completion-action="PROHIBIT"></p>
<p>Left lobe: <input type="number" id="left" name="Volume of the left lobe" min="0" max="300" data-field-units="ml"
 data-field-completion-action="PROHIBIT"></p>
<section id="nodule" data-section-name="Nodule"><p>Composition: <select id="made" name="Composition">
<option value="none" selected>no nodule</option><option id="cystic" value="cystic">cystic</option>
<option id="solid" value="solid">solid</option></select></p>
<p>Largest diameter: <input type="number" id="size" name="Diameter" min="0" max="150" data-field-units="mm"></p>
<p><input type="checkbox" id="calcified" value="yes"><label for="calcified">Punctate echogenic foci</label></p>
</section>
<p>Lymph nodes: <select id="nodes" name="Lymph nodes"><option value="none" selected>none suspicious</option>
<option value="some">suspicious</option></select></p></section>
<section id="impression" class="level1" data-section-name="Impression"><header class="level1">Impression</header>
<p><textarea id="end" name="Impression" data-field-type="TEXTAREA"
 data-field-completion-action="ALERT"></textarea></p>
</section></body></html>
"""


def ensure_ready_text(actor: Actor) -> None:
    """Once; what people changed stays."""
    for code, language, text in MACROS:
        if not Macro.objects.filter(code=code, language=language, owner=None).exists():
            Macro(code=code, language=language, text=text).save_as(actor, "Demo")
    if not ReportTemplate.objects.filter(name="Thyroid ultrasound, form").exists():
        import_template(FORM, modality="US", body_region="neck, thyroid", actor=actor)
