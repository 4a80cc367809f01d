"""One rule for the texts of an account, whoever writes them."""

import doctest

from core.rules import person_texts


def test_the_examples_beside_the_rules_hold():
    found = doctest.testmod(person_texts)
    assert found.attempted and 0 == found.failed
