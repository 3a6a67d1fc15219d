"""The words of the names that are there already, for the search for typing errors."""

from django.db import migrations

LEARN = """
insert into orders_namepart (word)
select distinct word from orders_patient p, unnest(tsvector_to_array(p.name_words)) word order by 1
on conflict do nothing
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_words_of_names_and_rules_of_money")]
    operations = [migrations.RunSQL(LEARN, migrations.RunSQL.noop)]
