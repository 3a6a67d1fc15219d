# Everything runs in .venv, which manage.py makes by itself. State of the demo and of the tests: .ris/

PYTHON ?= python3
VENV := .venv/bin
# Commands that look at the code only: no database is asked.
OFFLINE := RIS_DEMO=1 DATABASE_URL=postgresql://nobody@127.0.0.1:1/none
CODE := manage.py ris orders worklist reporting dose peerreview interop tests

.PHONY: demo walk test lint format docs lock clean venv help chaos-numbers chaos-dicom bench-dicom chaos-hl7 bench-hl7 check-data check-api

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: ## Make everything that is missing, start it all, print addresses and sign-ins
	@$(PYTHON) manage.py demo

walk: ## Play one exam against the running demo, as scanner, sender and receiver
	@$(PYTHON) manage.py walk

test: ## The whole suite; brings its own database server and stops it again
	@$(PYTHON) manage.py test $(ARGS)

chaos-dicom: venv ## Break the imaging network on purpose, and print what held
	$(VENV)/python tests/chaos/dicom.py $(ARGS)

bench-dicom: venv ## Measure the imaging network against its floor and its peers; BENCH_REALTIME=1 among neighbours
	$(VENV)/python -m pytest -q -s $(addprefix tests/bench/dicom/bench_,mwl.py house.py store.py) $(ARGS)

chaos-hl7: venv ## Kill, starve and confuse the HL7 interface, and print what held
	$(VENV)/python tests/chaos/hl7.py $(ARGS)

bench-hl7: venv ## Measure the HL7 listener against one built on the hl7 library
	$(VENV)/python -m pytest -q -s tests/bench/bench_hl7.py $(ARGS)

check-data: venv ## Feed the HL7 messages of DIR to a house of their own, read its dose objects, print what became of each
	@CHECK_DATA="$(abspath $(DIR))" $(PYTHON) manage.py test tests/interop/hl7/feed.py -q -s $(ARGS)

check-api: venv ## Ask every REST operation what its document allows, and what not; EXAMPLES=20 of each
	@CHECK_API_EXAMPLES=$(or $(EXAMPLES),20) $(PYTHON) manage.py test tests/core/api/test_fuzzing.py -q -n 2 --dist load $(ARGS)

chaos-numbers: ## 64 threads race for 10,240 accession numbers
	@RACE_TURNS=16 $(PYTHON) manage.py test tests/orders/test_accession_numbers.py -k race

venv:
	@$(PYTHON) manage.py venv

lint: venv ## ruff, mypy, the import graph, migrations, templates, translations, generated pages
	$(VENV)/ruff check $(CODE)
	$(VENV)/ruff format --check $(CODE)
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(OFFLINE) $(VENV)/python manage.py makemigrations --check --dry-run
	$(OFFLINE) $(VENV)/python manage.py check_templates
	$(OFFLINE) $(VENV)/python manage.py check_catalogue
	$(OFFLINE) $(VENV)/python manage.py print_configuration | diff -u docs/configuration.md -
	$(OFFLINE) $(VENV)/python manage.py print_conformance | diff -u docs/dicom-conformance.md -
	$(OFFLINE) $(VENV)/python manage.py write_fhir_doc --check
	$(OFFLINE) $(VENV)/python manage.py document_hl7 --check

format: venv ## Put the code into ruff's shape
	$(VENV)/ruff check --fix $(CODE)
	$(VENV)/ruff format $(CODE)

docs: venv ## Make docs/configuration.md, docs/dicom-conformance.md and the tables of docs/fhir.md from the code
	@mkdir -p docs
	$(OFFLINE) $(VENV)/python manage.py print_configuration > docs/configuration.md
	$(OFFLINE) $(VENV)/python manage.py print_conformance > docs/dicom-conformance.md
	$(OFFLINE) $(VENV)/python manage.py write_fhir_doc
	$(OFFLINE) $(VENV)/python manage.py document_hl7

lock: venv ## Resolve requirements.in into requirements.txt, with hashes
	$(VENV)/uv pip compile -q --generate-hashes --universal --python-version 3.11 requirements.in -o requirements.txt

clean: ## Stop what runs from .ris and remove it
	@$(PYTHON) manage.py clean
