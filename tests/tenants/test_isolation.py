def test_facility(alpha, beta):
    from ris.tenants.context import current_schema
    assert current_schema() == "alpha"
