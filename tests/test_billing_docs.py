"""docs/billing.md and docs/roles/billing.md say what the code says."""

from pathlib import Path

import pytest

from core.billing import STATES
from core.ledger import ACCOUNTS
from core.ports.switch_simulator import RULES
from core.rules.claim_states import ITEM, TRACKING
from core.rules.icd10 import REDUCED_COLUMNS
from core.rules.remittance import REMITTANCE_COLUMNS
from core.rules.tariff import COLUMNS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "billing.md").read_text()


@pytest.mark.parametrize("state", STATES)
def test_every_state_of_a_claim_is_explained_under_its_name(state):
    assert f"| `{state}` | {STATES[state]} |" in PAGE


@pytest.mark.parametrize("account", ACCOUNTS)
def test_every_account_is_named(account):
    assert f"| `{account}` | {ACCOUNTS[account]} |" in PAGE


@pytest.mark.parametrize("ending", RULES)
def test_every_rule_of_the_simulator_is_told_in_its_own_words(ending):
    assert f"| {ending} | {RULES[ending]} |" in PAGE


@pytest.mark.parametrize("columns", [REMITTANCE_COLUMNS, COLUMNS, REDUCED_COLUMNS])
def test_every_column_of_a_file_is_listed_in_order(columns):
    assert ", ".join(f"`{column}`" for column in columns) in PAGE


@pytest.mark.parametrize("word", [*TRACKING, *ITEM])
def test_every_word_of_the_payer_is_there(word):
    assert word in PAGE


def test_every_picture_of_the_clerks_page_is_there():
    page = ROOT / "docs" / "roles" / "billing.md"
    names = [
        line.split("](")[1].rstrip(")") for line in page.read_text().splitlines() if line.startswith("![")
    ]
    assert [] == [name for name in names if not (page.parent / name).exists()]
