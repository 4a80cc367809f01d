"""What stands in the record as an address is one, whatever a header said."""

import doctest

import pytest

from core.rules import addresses


def test_the_examples_hold():
    assert 0 == doctest.testmod(addresses).failed


@pytest.mark.parametrize(
    "said", ["10.0.0.7, 10.0.0.8", "localhost", "1.2.3", "x" * 5000, "10.0.0.7\n", "\x00", "", "<b>"]
)
def test_whatever_is_no_address_shares_one_name(said):
    assert addresses.UNKNOWN == addresses.plain_address(said)


def test_an_interface_is_no_part_of_an_address():
    assert "fe80::1" == addresses.plain_address("fe80::1%<b>eth0")
