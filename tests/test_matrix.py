"""Role × verb × scope, written out by hand: who may call what, and whose rows they see there.

A row for each verb, a column for each role; the columns of staff first, then patients and referring doctors with an
account, the same two with a link, the worker, and a request before anybody has signed in.
"""

import inspect
from dataclasses import replace
from uuid import uuid4

import pytest

from core.rules.access import Bounds, Reach, scope_of
from core.rules.roles import STAFF, Permission, Role, Scope
from core.store.work import AWAY, KEY_FIRST, NOT_YOURS, Actor, Work, nobody, system
from tests.fixtures.house import TestHouse, open_test_house
from tests.fixtures.rows import Rows, rows_of_a_patient
from tests.test_gate import dummy, reached, verbs

# What a cell says, and what becomes of it where a scope is set for one member of staff.
#   -  may not call it     A  all     S  site     N  none     O  their own     F  what they referred
#   L  the one study of the link
#   W  the whole table, whatever is set: it counts, works on pseudonyms, oversees who saw what, comes before anybody is
#      known, or is the worker's
SETTINGS = """
cell        nothing   all       site      assigned  none
A           all       all       site      assigned  none
S           site      all       site      assigned  none
N           none      all       site      assigned  none
W           all       all       all       all       all
O           own       own       own       own       own
F           referrer  referrer  referrer  referrer  referrer
L           link      link      link      link      link
"""

# adm admin, mgr manager, rec reception, rgr radiographer, rad radiologist, trn transcriptionist, bil billing, ana analyst,
# pat patient, ref referrer, lkp and lkr the same two by a link, sys system, nob nobody.
MATRIX = """
signin                      adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
check_password               -   -   -   -   -   -   -   -     -   -     -   -     -   W
check_identity               -   -   -   -   -   -   -   -     -   -     -   -     -   W
note_unproven                -   -   -   -   -   -   -   -     -   -     -   -     -   W
second_half                  -   -   -   -   -   -   -   -     -   -     -   -     -   W
check_code                   -   -   -   -   -   -   -   -     -   -     -   -     -   W
check_recovery               -   -   -   -   -   -   -   -     -   -     -   -     -   W
ask_key                      -   -   -   -   -   -   -   -     -   -     -   -     -   W
check_key                    -   -   -   -   -   -   -   -     -   -     -   -     -   W

sessions                    adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
actor_of                     -   -   -   -   -   -   -   -     -   -     -   -     -   W
why_over                     -   -   -   -   -   -   -   -     -   -     -   -     -   W
recheck                      -   -   -   -   -   -   -   -     -   -     -   -     -   W
keep_awake                   -   -   -   -   -   -   -   -     -   -     -   -     -   W
sign_out                     -   -   -   -   -   -   -   -     -   -     -   -     -   W
rotate                       -   -   -   -   -   -   -   -     -   -     -   -     -   W
end_session                  A   -   -   -   -   -   -   -     -   -     -   -     -   -
sessions                     A   A   -   -   -   -   -   -     -   -     -   -     -   -
end_my_session               A   A   S   S   S   S   S   N     O   F     -   -     -   -
my_sessions                  A   A   S   S   S   S   S   N     O   F     -   -     -   -
my_sign_ins                  A   A   S   S   S   S   S   N     O   F     -   -     -   -
end_my_other_sessions        A   A   S   S   S   S   S   N     O   F     -   -     -   -
my_half_sign_ins             A   A   S   S   S   S   S   N     O   F     -   -     -   -
sign_ins                     A   A   -   -   -   -   -   -     -   -     -   -     -   -

activation                  adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
change_password              A   A   S   S   S   S   S   N     O   F     -   -     -   -
who_keeps_my_password        A   A   S   S   S   S   S   N     O   F     -   -     -   -
look_at                      -   -   -   -   -   -   -   -     -   -     -   -     -   W
begin                        -   -   -   -   -   -   -   -     -   -     -   -     -   W
finish                       -   -   -   -   -   -   -   -     -   -     -   -     -   W

factors                     adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
mine                         A   A   S   S   S   S   S   N     O   F     -   -     -   -
begin_totp                   A   A   S   S   S   S   S   N     O   F     -   -     -   -
finish_totp                  A   A   S   S   S   S   S   N     O   F     -   -     -   -
renew_recovery_codes         A   A   S   S   S   S   S   N     O   F     -   -     -   -
begin_key                    A   A   S   S   S   S   S   N     O   F     -   -     -   -
finish_key                   A   A   S   S   S   S   S   N     O   F     -   -     -   -
remove_key                   A   A   S   S   S   S   S   N     O   F     -   -     -   -
prove_by_code                A   A   S   S   S   S   S   N     O   F     -   -     -   -
ask_key                      A   A   S   S   S   S   S   N     O   F     -   -     -   -
prove_by_key                 A   A   S   S   S   S   S   N     O   F     -   -     -   -
is_proved                    A   A   S   S   S   S   S   N     O   F     -   -     -   -
why_no_code                  A   A   S   S   S   S   S   N     O   F     -   -     -   -

people                      adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
people                       A   A   -   -   -   -   -   -     -   -     -   -     -   -
counts                       A   A   -   -   -   -   -   -     -   -     -   -     -   -
person                       A   A   -   -   -   -   -   -     -   -     -   -     -   -
me                           A   A   S   S   S   S   S   N     -   -     -   -     -   -
suspend                      A   -   -   -   -   -   -   -     -   -     -   -     -   -
wake                         A   -   -   -   -   -   -   -     -   -     -   -     -   -
make_slip                    A   -   -   -   -   -   -   -     -   -     -   -     -   -
add_person                   -   -   -   -   -   -   -   -     -   -     -   -     W   -
found_admin                  -   -   -   -   -   -   -   -     -   -     -   -     W   -
seal_break_glass             -   -   -   -   -   -   -   -     -   -     -   -     W   -

changes                     adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
ask                          A   -   -   -   -   -   -   -     -   -     -   -     -   -
approve                      A   -   -   -   -   -   -   -     -   -     -   -     -   -
refuse                       A   -   -   -   -   -   -   -     -   -     -   -     -   -
withdraw                     A   -   -   -   -   -   -   -     -   -     -   -     -   -
requests                     A   A   -   -   -   -   -   -     -   -     -   -     -   -
request                      A   A   -   -   -   -   -   -     -   -     -   -     -   -
waiting                      A   A   -   -   -   -   -   -     -   -     -   -     -   -
due                          -   -   -   -   -   -   -   -     -   -     -   -     W   -
apply_due                    -   -   -   -   -   -   -   -     -   -     -   -     W   -

directory_changes           adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
to_carry_out                 -   -   -   -   -   -   -   -     -   -     -   -     W   -
begin_making                 -   -   -   -   -   -   -   -     -   -     -   -     W   -
carried_out                  -   -   -   -   -   -   -   -     -   -     -   -     W   -

groups                      adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
mapping                      A   A   -   -   -   -   -   -     -   -     -   -     -   -
search                       A   -   -   -   -   -   -   -     -   -     -   -     -   -
search_people                A   -   -   -   -   -   -   -     -   -     -   -     -   -
directory_is_there           A   A   S   S   S   S   S   N     -   -     -   -     -   -
what_would                   A   -   -   -   -   -   -   -     -   -     -   -     -   -
look_closer                  A   -   -   -   -   -   -   -     -   -     -   -     -   -
limits_there                 A   A   -   -   -   -   -   -     -   -     -   -     -   -

staff_import                adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
plan                         A   -   -   -   -   -   -   -     -   -     -   -     -   -
ask                          A   -   -   -   -   -   -   -     -   -     -   -     -   -
staff_sheet                  A   -   -   -   -   -   -   -     -   -     -   -     -   -
slips_due                    A   -   -   -   -   -   -   -     -   -     -   -     -   -
make_slips                   A   -   -   -   -   -   -   -     -   -     -   -     -   -

access                      adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
break_glass                  -   -   W   W   W   -   -   -     -   -     -   -     -   -
open_already                 -   -   W   W   W   -   -   -     -   -     -   -     -   -
close_glass                  A   A   S   S   S   S   S   N     -   -     -   -     -   -
my_glass                     A   A   S   S   S   S   S   N     -   -     -   -     -   -
glass_to_review              W   W   -   -   -   -   -   -     -   -     -   -     -   -
review_glass                 W   W   -   -   -   -   -   -     -   -     -   -     -   -
look_up                      W   W   -   -   -   -   -   -     -   -     -   -     -   -
access_of                    W   W   -   -   -   -   -   -     -   -     -   -     -   -
access_of_person             W   W   -   -   -   -   -   -     -   -     -   -     -   -

alerts                      adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
alerts                       A   A   -   -   -   -   -   -     -   -     -   -     -   -
mark_seen                    A   A   -   -   -   -   -   -     -   -     -   -     -   -

practice                    adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
describe                     A   -   -   -   -   -   -   -     -   -     -   -     W   -
particulars                  A   A   S   S   S   S   S   N     -   -     -   -     -   -

patients                    adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
register                     -   -   S   S   -   -   -   -     -   -     -   -     -   -
correct                      -   -   S   S   -   -   -   -     -   -     -   -     -   -
record_consent               -   -   S   S   -   -   -   -     -   -     -   -     -   -
find                         A   A   S   S   S   -   S   -     -   -     -   -     -   -
open_patient                 A   A   S   S   S   -   S   -     -   -     -   -     -   -
add_referrer                 -   -   S   S   -   -   -   -     -   -     -   -     -   -
correct_referrer             -   -   S   S   -   -   -   -     -   -     -   -     -   -
referrers                    A   A   S   S   S   -   S   -     -   -     -   -     -   -

workflow                    adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
book                         -   -   S   S   -   -   -   -     -   -     -   -     -   -
arrive                       -   -   S   S   -   -   -   -     -   -     -   -     -   -
cancel                       -   -   S   S   -   -   -   -     -   -     -   -     -   -
take                         -   -   S   S   -   -   -   -     -   -     -   -     -   -
board                        A   A   S   S   S   -   S   -     -   -     -   -     -   -
reading_list                 -   A   -   -   S   -   -   -     -   -     -   -     -   -
open_study                   A   A   S   S   S   -   S   -     -   -     -   -     -   -
studies_of                   A   A   S   S   S   -   S   -     -   -     -   -     -   -
take_out                     A   A   S   S   S   -   S   -     -   -     -   -     -   -

pacs                        adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
open_images                  -   -   -   S   S   -   -   -     -   -     -   -     -   -
image_source                 -   -   -   S   S   -   -   -     -   -     -   -     -   -
feed_position                -   -   -   -   -   -   -   -     -   -     -   -     W   -
receive                      -   -   -   -   -   -   -   -     -   -     -   -     W   -
due                          -   -   -   -   -   -   -   -     -   -     -   -     W   -
judge                        -   -   -   -   -   -   -   -     -   -     -   -     W   -
tally                        -   -   -   -   -   -   -   -     -   -     -   -     W   -
counted                      -   -   -   -   -   -   -   -     -   -     -   -     W   -
touch                        -   -   -   -   -   -   -   -     -   -     -   -     W   -
quarantine                   A   A   -   S   S   -   -   -     -   -     -   -     -   -
open_arrival                 A   A   -   S   S   -   -   -     -   -     -   -     -   -
release                      -   -   -   S   S   -   -   -     -   -     -   -     -   -
reject                       -   -   -   S   S   -   -   -     -   -     -   -     -   -
recheck                      -   -   -   S   S   -   -   -     -   -     -   -     -   -
begin_sending                -   -   -   S   -   -   -   -     -   -     -   -     W   -
note_sent                    -   -   -   S   -   -   -   -     -   -     -   -     W   -
keep_unreadable              -   -   -   S   -   -   -   -     -   -     -   -     W   -
unreadable_file              -   -   -   S   S   -   -   -     -   -     -   -     -   -
to_attach                    -   -   -   -   -   -   -   -     -   -     -   -     W   -
note_attached                -   -   -   -   -   -   -   -     -   -     -   -     W   -
report_pdf                   -   A   -   -   S   S   S   -     -   -     -   -     -   -

reporting                   adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
begin                        -   -   -   -   S   -   -   -     -   -     -   -     -   -
take_over                    -   -   -   -   S   -   -   -     -   -     -   -     -   -
save                         -   -   -   -   S   -   -   -     -   -     -   -     -   -
pass_on                      -   -   -   -   S   -   -   -     -   -     -   -     -   -
skip_transcription           -   -   -   -   S   -   -   -     -   -     -   -     -   -
send_back                    -   -   -   -   S   -   -   -     -   -     -   -     -   -
proof_read                   -   -   -   -   S   -   -   -     -   -     -   -     -   -
sign                         -   -   -   -   S   -   -   -     -   -     -   -     -   -
open_desk                    -   -   -   -   S   -   -   -     -   -     -   -     -   -
queue                        -   A   -   -   -   S   -   -     -   -     -   -     -   -
take                         -   -   -   -   -   S   -   -     -   -     -   -     -   -
keep                         -   -   -   -   -   S   -   -     -   -     -   -     -   -
put_back                     -   -   -   -   -   S   -   -     -   -     -   -     -   -
pass_back                    -   -   -   -   -   S   -   -     -   -     -   -     -   -
open_draft                   -   -   -   -   -   S   -   -     -   -     -   -     -   -
read_signed                  -   A   -   -   S   S   S   -     -   -     -   -     -   -

own_studies                 adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
my_studies                   -   -   -   -   -   -   -   -     O   F     -   -     -   -
open_own_study               -   -   -   -   -   -   -   -     O   F     -   -     -   -
own_report_pdf               -   -   -   -   -   -   -   -     O   F     -   -     -   -
own_image                    -   -   -   -   -   -   -   -     O   F     -   -     -   -

sharing                     adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
mint                         -   -   S   -   S   -   -   -     -   -     -   -     -   -
revoke                       A   A   S   -   S   -   -   -     -   -     -   -     -   -
shares                       A   A   S   -   S   -   -   -     -   -     -   -     -   -
front_door                   -   -   -   -   -   -   -   -     -   -     -   -     -   W
look_at                      -   -   -   -   -   -   -   -     -   -     -   -     -   W
redeem                       -   -   -   -   -   -   -   -     -   -     -   -     -   W
actor_of                     -   -   -   -   -   -   -   -     -   -     -   -     -   W
image_behind                 -   -   -   -   -   -   -   -     -   -     -   -     -   W
why_shut                     -   -   -   -   -   -   -   -     -   -     -   -     -   W
open_shared                  -   -   -   -   -   -   -   -     -   -     L   L     -   -
shared_report_pdf            -   -   -   -   -   -   -   -     -   -     L   L     -   -
leave                        -   -   -   -   -   -   -   -     -   -     L   L     -   -

billing                     adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
queue                        -   A   -   -   -   -   S   -     -   -     -   -     -   -
claims                       -   A   -   -   -   -   S   -     -   -     -   -     -   -
unread_answers               -   A   -   -   -   -   S   -     -   -     -   -     -   -
mark_read                    -   -   -   -   -   -   S   -     -   -     -   -     -   -
open_claim                   -   A   -   -   -   -   S   -     -   -     -   -     -   -
price                        -   A   -   -   -   -   S   -     -   -     -   -     -   -
code                         -   -   -   -   -   -   S   -     -   -     -   -     -   -
submit                       -   -   -   -   -   -   S   -     -   -     -   -     -   -
recall                       -   -   -   -   -   -   S   -     -   -     -   -     -   -
charge_patient               -   -   -   -   -   -   S   -     -   -     -   -     -   -
message_of                   -   A   -   -   -   -   S   -     -   -     -   -     -   -

remittances                 adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
remittances                  -   A   -   -   -   -   S   -     -   -     -   -     -   -
open_remittance              -   A   -   -   -   -   S   -     -   -     -   -     -   -
suspense                     -   A   -   -   -   -   S   -     -   -     -   -     -   -
surpluses                    -   A   -   -   -   -   S   -     -   -     -   -     -   -
preview_remittances          -   -   -   -   -   -   S   -     -   -     -   -     -   -
import_remittances           -   -   -   -   -   -   S   -     -   -     -   -     -   -
post                         -   -   -   -   -   -   S   -     -   -     -   -     -   -
assign                       -   -   -   -   -   -   S   -     -   -     -   -     -   -

ledger                      adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
balances                     -   A   -   -   -   -   S   -     -   -     -   -     -   -

code_tables                 adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
tables                       A   A   -   -   -   -   S   -     -   -     -   -     -   -
find_codes                   -   A   -   -   -   -   S   -     -   -     -   -     -   -
find_tariffs                 -   A   -   -   -   -   S   -     -   -     -   -     -   -
preview_icd10                A   -   -   -   -   -   S   -     -   -     -   -     -   -
import_icd10                 A   -   -   -   -   -   S   -     -   -     -   -     -   -
preview_tariff               A   -   -   -   -   -   S   -     -   -     -   -     -   -
import_tariff                A   -   -   -   -   -   S   -     -   -     -   -     -   -

analytics                   adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
export                       -   W   -   -   -   -   -   W     -   -     -   -     -   -
insight                      W   W   -   -   -   -   -   W     -   -     -   -     -   -
activity                     W   W   -   -   -   -   -   W     -   -     -   -     -   -
open_for_analysis            -   W   -   -   -   -   -   W     -   -     -   -     -   -

privacy                     adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
who_looked                   W   W   -   -   -   -   -   -     -   -     -   -     -   -
entries                      W   W   -   -   -   -   -   -     -   -     -   -     -   -
verify_chain                 A   A   -   -   -   -   -   -     -   -     -   -     W   -
checkpoint                   A   A   -   -   -   -   -   -     -   -     -   -     W   -
take_out                     W   W   -   -   -   -   -   -     -   -     -   -     -   -

errands                     adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
take_due                     -   -   -   -   -   -   -   -     -   -     -   -     W   -
done                         -   -   -   -   -   -   -   -     -   -     -   -     W   -
failed                       -   -   -   -   -   -   -   -     -   -     -   -     W   -
open_errands                 A   A   -   -   -   -   -   -     -   -     -   -     W   -
counts                       A   A   -   -   -   -   -   -     -   -     -   -     W   -
try_again                    A   -   -   -   -   -   -   -     -   -     -   -     W   -
regain                       -   -   -   -   -   -   -   -     -   -     -   -     W   -

health                      adm mgr rec rgr rad trn bil ana   pat ref   lkp lkr   sys nob
beat                         -   -   -   -   -   -   -   -     -   -     -   -     W   -
beats                        A   A   -   -   -   -   -   -     -   -     -   -     W   -
ground                       A   A   -   -   -   -   -   -     -   -     -   -     W   -
image_store                  A   A   -   -   -   -   -   -     -   -     -   -     W   -
sweep_sessions               -   -   -   -   -   -   -   -     -   -     -   -     W   -
sweep_limits                 -   -   -   -   -   -   -   -     -   -     -   -     W   -
"""

COLUMNS = ("adm", "mgr", "rec", "rgr", "rad", "trn", "bil", "ana", "pat", "ref", "lkp", "lkr", "sys", "nob")
# What a closed door says. Whatever else a verb answers was said behind it.
CLOSED = {
    NOT_YOURS,
    "This is for people with an account. A link opens one study and nothing else.",
    "This opens with an account only.",
    "This opens with a link only.",
}


def read(table: str) -> dict[str, dict[str, str]]:
    """{verb: {column: cell}} of the table above."""
    found, module, columns = {}, "", []
    for line in filter(None, table.split("\n")):
        first, *rest = line.split()
        if "adm" in rest:
            module, columns = first, rest
            continue
        assert len(rest) == len(columns), line
        found[f"{module}.{first}"] = dict(zip(columns, rest, strict=True))
    return found


MAY = read(MATRIX)
BY_SETTING = {line.split()[0]: tuple(line.split()[1:]) for line in SETTINGS.strip().split("\n")[1:]}
SETTINGS_IN_TURN = (None, Scope.ALL, Scope.SITE, Scope.ASSIGNED, Scope.NONE)


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    test = open_test_house(tmp_path_factory.mktemp("matrix") / "home")
    yield test, rows_of_a_patient(test)
    test.house.engine.dispose()


def columns(test: TestHouse, rows: Rows) -> dict[str, Actor]:
    """Somebody for each column; whoever comes from outside comes for the one patient's signed study."""
    staff = [test.actors[role] for role in STAFF]
    link = Reach(rows.share_id, rows.study_id, rows.patient_id, rows.version_id, rows.referrer_id)
    outside = [
        Actor(
            str(uuid4()),
            "An account",
            frozenset({role}),
            "gateway",
            session=uuid4(),
            bounds=Bounds(patient_id=rows.patient_id, referrer_id=rows.referrer_id),
        )
        for role in (Role.PATIENT, Role.REFERRER)
    ]
    by_link = [
        Actor(f"link:{role}", "A link", frozenset({role}), "gateway", reach=link)
        for role in (Role.PATIENT, Role.REFERRER)
    ]
    everybody = (*staff, *outside, *by_link, system(), nobody(channel="test"))
    return dict(zip(COLUMNS, everybody, strict=True))


@pytest.fixture(scope="module")
def walked(practice) -> dict[str, dict[str, str]]:
    """Each verb called by each of them: the cell that the gate and the scope in force really make."""
    test, rows = practice
    asked, require, cells = [], Work._require, {}

    def heard(work, permission, subject):
        asked.append(permission)
        return require(work, permission, subject)

    def scopes(actor: Actor, permission) -> tuple[str, ...]:
        """What the gate makes of each setting for this person."""
        found = []
        for scope in SETTINGS_IN_TURN:
            with test.house.work(replace(actor, bounds=replace(actor.bounds, scope=scope))) as work:
                with work.look(permission):
                    found.append(str(work._view().scope))
        return tuple(found)

    def cell(column: str, actor: Actor, verb) -> str:
        asked.clear()
        if reached(test, actor, verb, arguments(verb, rows)) in CLOSED:
            return "-"
        if not asked:
            return "no gate"
        key = (column, asked[0])
        if key not in cells:
            measured = scopes(actor, asked[0])
            cells[key] = next((c for c, by_hand in BY_SETTING.items() if by_hand == measured), str(measured))
        return cells[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "_require", heard)
        everybody = columns(test, rows)
        return {
            name: {column: cell(column, actor, verb) for column, actor in everybody.items()}
            for name, verb in verbs().items()
        }


def arguments(verb, rows: Rows) -> dict[str, object]:
    """The patient's own rows for the ids of a patient, something of the right kind for everything else."""
    hints = inspect.get_annotations(verb, eval_str=True)
    return {
        p.name: getattr(rows, p.name, None) or dummy(hints.get(p.name), p.name)
        for p in list(inspect.signature(verb).parameters.values())[1:]
        if p.default is p.empty
    }


def test_every_verb_is_in_the_matrix():
    assert set() == set(MAY) ^ set(verbs())


def test_role_by_verb_by_scope_is_the_matrix_of_the_hand(walked):
    """As rows of cells, so that what differs is read beside its neighbours."""
    assert {verb: " ".join(row.values()) for verb, row in MAY.items()} == {
        verb: " ".join(row.values()) for verb, row in walked.items()
    }


# Two kinds of session have less. One that began while the directory was away has none of these, whoever it belongs to:
WHILE_AWAY = {
    "access.glass_to_review", "access.review_glass", "analytics.export", "analytics.open_for_analysis", "changes.approve",
    "changes.ask", "changes.refuse", "changes.withdraw", "code_tables.import_icd10", "code_tables.import_tariff",
    "code_tables.preview_icd10", "code_tables.preview_tariff", "errands.try_again", "groups.look_closer", "groups.search",
    "groups.search_people", "groups.what_would", "people.make_slip", "people.suspend", "people.wake", "practice.describe",
    "sessions.end_session", "staff_import.ask", "staff_import.make_slips", "staff_import.plan", "staff_import.slips_due",
    "staff_import.staff_sheet",
}  # fmt: skip
# And an admin's without the key that it needs keeps only these; whoever is no admin needs none.
WITHOUT_THE_KEY = {
    "access.close_glass", "access.my_glass", "activation.change_password", "activation.who_keeps_my_password",
    "factors.ask_key", "factors.begin_key",
    "factors.begin_totp", "factors.finish_key", "factors.finish_totp", "factors.is_proved", "factors.mine",
    "factors.prove_by_code", "factors.prove_by_key", "factors.remove_key", "factors.renew_recovery_codes",
    "factors.why_no_code", "groups.directory_is_there", "people.me", "practice.particulars", "sessions.end_my_other_sessions",
    "sessions.end_my_session", "sessions.my_half_sign_ins", "sessions.my_sessions", "sessions.my_sign_ins",
}  # fmt: skip


def test_a_session_from_while_the_directory_was_away_lacks_exactly_these(practice):
    def shut(column: str) -> set[str]:
        return {v for v, said in answers(practice, column, reduced=True).items() if said == AWAY}

    found = {column: shut(column) for column in COLUMNS[:8]}
    assert {c: {v for v in WHILE_AWAY if MAY[v][c] != "-"} for c in found} == found


def test_an_admin_without_the_key_keeps_exactly_these(practice):
    said = answers(practice, "adm", keyless=True)
    assert WITHOUT_THE_KEY == {
        verb for verb, sentence in said.items() if sentence not in CLOSED | {KEY_FIRST}
    }


def answers(practice, column: str, **bounds: bool) -> dict[str, str]:
    """What each verb of this column says to a session of that kind."""
    test, rows = practice
    actor = columns(test, rows)[column]
    actor = replace(actor, bounds=replace(actor.bounds, **bounds))
    return {
        name: reached(test, actor, verb, arguments(verb, rows))
        for name, verb in verbs().items()
        if MAY[name][column] != "-"
    }


def test_every_word_of_the_settings_is_used_and_every_verb_is_somebodys():
    used = {cell for row in MAY.values() for cell in row.values()}
    assert set(BY_SETTING) == used - {"-"}
    assert [] == [verb for verb, row in MAY.items() if set(row.values()) == {"-"}]


@pytest.mark.parametrize(
    ("roles", "permission", "scope"),
    [
        (("analyst", "radiologist"), "study-read", "site"),
        (("manager", "radiologist"), "reading-list-see", "all"),
        (("manager", "radiologist"), "report-sign", "site"),
        (("admin", "billing"), "billing-see", "site"),
        (("admin", "billing"), "board-see", "all"),
        (("analyst", "transcriptionist"), "transcription-see", "site"),
    ],
)
def test_of_several_roles_only_those_that_carry_the_permission_widen_it(roles, permission, scope):
    assert scope == scope_of(frozenset(map(Role, roles)), Permission(permission), Bounds())
