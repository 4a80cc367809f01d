"""The first tables of the practice."""

import sqlalchemy as sa
from alembic import op

from core.store.append_only import triggers
from core.store.model.base import UtcTime

revision = "0001"
down_revision = None
branch_labels = depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_entry",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("actor_id", sa.String(length=64), nullable=False),
        sa.Column("act", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.Column("subject_kind", sa.String(length=16), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("patient_id", sa.String(length=36), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_entry")),
    )
    op.create_index("ix_audit_entry_actor_seq", "audit_entry", ["actor_id", "seq"], unique=False)
    op.create_index(op.f("ix_audit_entry_at"), "audit_entry", ["at"], unique=False)
    op.create_index("ix_audit_entry_patient_seq", "audit_entry", ["patient_id", "seq"], unique=False)
    op.create_table(
        "code_table",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("is_starter", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("loaded_at", UtcTime(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_code_table")),
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
    )
    op.create_index(op.f("ix_document_owner_id"), "document", ["owner_id"], unique=False)
    op.create_table(
        "errand",
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("made_at", UtcTime(), nullable=False),
        sa.Column("lease_until", UtcTime(), nullable=True),
        sa.Column("done_at", UtcTime(), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_errand")),
        sa.UniqueConstraint("key", name=op.f("uq_errand_key")),
    )
    op.create_index("ix_errand_state_due", "errand", ["state", "due_at"], unique=False)
    op.create_table(
        "feed_cursor",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("moved_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed_cursor")),
    )
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("trouble", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "patient",
        sa.Column("file_number", sa.String(length=20), nullable=False),
        sa.Column("family_name", sa.String(length=64), nullable=False),
        sa.Column("given_names", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=16), nullable=False),
        sa.Column("search_text", sa.String(length=300), nullable=False),
        sa.Column("identity_kind", sa.String(length=10), nullable=False),
        sa.Column("identity_number", sa.String(length=30), nullable=True),
        sa.Column("born_on", sa.Date(), nullable=False),
        sa.Column("sex", sa.String(length=1), nullable=False),
        sa.Column("phone", sa.String(length=30), nullable=False),
        sa.Column("email", sa.String(length=120), nullable=False),
        sa.Column("scheme_code", sa.String(length=12), nullable=False),
        sa.Column("scheme_option", sa.String(length=60), nullable=False),
        sa.Column("membership_number", sa.String(length=30), nullable=False),
        sa.Column("dependant_code", sa.String(length=3), nullable=False),
        sa.Column("member_surname", sa.String(length=64), nullable=False),
        sa.Column("member_initials", sa.String(length=10), nullable=False),
        sa.Column("registered_at", UtcTime(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient")),
        sa.UniqueConstraint("file_number", name=op.f("uq_patient_file_number")),
    )
    op.create_index(op.f("ix_patient_identity_number"), "patient", ["identity_number"], unique=False)
    op.create_index(op.f("ix_patient_search_text"), "patient", ["search_text"], unique=False)
    op.create_table(
        "person",
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("registration", sa.String(length=40), nullable=False),
        sa.Column("practice_number", sa.String(length=13), nullable=False),
        sa.Column("email", sa.String(length=120), nullable=False),
        sa.Column("directory", sa.String(length=20), nullable=False),
        sa.Column("directory_id", sa.String(length=64), nullable=True),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("totp_box", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.Integer(), nullable=False),
        sa.Column("wrong_answers", sa.Integer(), nullable=False),
        sa.Column("locked_until", UtcTime(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("last_sign_in_at", UtcTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("login", name=op.f("uq_person_login")),
    )
    op.create_table(
        "practice",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("address", sa.String(length=300), nullable=False),
        sa.Column("phone", sa.String(length=40), nullable=False),
        sa.Column("email", sa.String(length=120), nullable=False),
        sa.Column("pcns", sa.String(length=13), nullable=False),
        sa.Column("vat_number", sa.String(length=20), nullable=False),
        sa.Column("is_demo", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practice")),
    )
    op.create_table(
        "referrer",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("practice_number", sa.String(length=13), nullable=False),
        sa.Column("phone", sa.String(length=30), nullable=False),
        sa.Column("email", sa.String(length=120), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referrer")),
    )
    op.create_table(
        "remittance",
        sa.Column("number", sa.String(length=60), nullable=False),
        sa.Column("payer", sa.String(length=120), nullable=False),
        sa.Column("paid_on", sa.Date(), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("posted_at", UtcTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remittance")),
    )
    op.create_index("ix_remittance_payer_number", "remittance", ["payer", "number"], unique=True)
    op.create_table(
        "switch_position",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("cursor", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_switch_position")),
    )
    op.create_table(
        "tariff_row",
        sa.Column("code", sa.String(length=10), nullable=False),
        sa.Column("description", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("cents", sa.BigInteger(), nullable=True),
        sa.Column("factor", sa.String(length=20), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("scheme", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("is_demo", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tariff_row")),
    )
    op.create_index(op.f("ix_tariff_row_code"), "tariff_row", ["code"], unique=False)
    op.create_index("ix_tariff_row_key", "tariff_row", ["scheme", "code", "valid_from"], unique=True)
    op.create_table(
        "consent",
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("given", sa.Boolean(), nullable=False),
        sa.Column("how", sa.String(length=20), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_consent_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index(op.f("ix_consent_patient_id"), "consent", ["patient_id"], unique=False)
    op.create_table(
        "icd10_row",
        sa.Column("table_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(length=10), nullable=False),
        sa.Column("description", sa.String(length=300), nullable=False),
        sa.Column("search_text", sa.String(length=320), nullable=False),
        sa.Column("chapter", sa.String(length=6), nullable=False),
        sa.Column("clinical", sa.Boolean(), nullable=False),
        sa.Column("primary", sa.Boolean(), nullable=False),
        sa.Column("asterisk", sa.Boolean(), nullable=False),
        sa.Column("dagger", sa.Boolean(), nullable=False),
        sa.Column("sequelae", sa.Boolean(), nullable=False),
        sa.Column("ages", sa.String(length=12), nullable=False),
        sa.Column("sex", sa.String(length=1), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["table_id"], ["code_table.id"], name=op.f("fk_icd10_row_table_id_code_table")
        ),
        sa.PrimaryKeyConstraint("table_id", "code", name=op.f("pk_icd10_row")),
    )
    op.create_table(
        "sign_in_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.String(length=10), nullable=False),
        sa.Column("from_address", sa.String(length=64), nullable=False),
        sa.Column("begun_at", UtcTime(), nullable=False),
        sa.Column("seen_at", UtcTime(), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_sign_in_session_person_id_person")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_session")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_sign_in_session_token_hash")),
    )
    op.create_index(op.f("ix_sign_in_session_person_id"), "sign_in_session", ["person_id"], unique=False)
    op.create_table(
        "study",
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("referrer_id", sa.Uuid(), nullable=True),
        sa.Column("accession", sa.String(length=16), nullable=False),
        sa.Column("study_uid", sa.String(length=64), nullable=False),
        sa.Column("examination", sa.String(length=40), nullable=False),
        sa.Column("description", sa.String(length=64), nullable=False),
        sa.Column("modality", sa.String(length=4), nullable=False),
        sa.Column("clinical_history", sa.Text(), nullable=False),
        sa.Column("urgency", sa.String(length=8), nullable=False),
        sa.Column("place_of_service", sa.String(length=2), nullable=False),
        sa.Column("booked_for_at", UtcTime(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_at", UtcTime(), nullable=False),
        sa.Column("orthanc_id", sa.String(length=44), nullable=True),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("image_digest", sa.String(length=64), nullable=False),
        sa.Column("radiologist_id", sa.Uuid(), nullable=True),
        sa.Column("lease_by", sa.Uuid(), nullable=True),
        sa.Column("lease_until", UtcTime(), nullable=True),
        sa.Column("current_version_id", sa.Uuid(), nullable=True),
        sa.Column("signed_version_id", sa.Uuid(), nullable=True),
        sa.Column("attached_instance", sa.String(length=64), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_study_patient_id_patient")),
        sa.ForeignKeyConstraint(
            ["radiologist_id"], ["person.id"], name=op.f("fk_study_radiologist_id_person")
        ),
        sa.ForeignKeyConstraint(["referrer_id"], ["referrer.id"], name=op.f("fk_study_referrer_id_referrer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
        sa.UniqueConstraint("accession", name=op.f("uq_study_accession")),
        sa.UniqueConstraint("study_uid", name=op.f("uq_study_study_uid")),
    )
    op.create_index(op.f("ix_study_booked_for_at"), "study", ["booked_for_at"], unique=False)
    op.create_index(op.f("ix_study_orthanc_id"), "study", ["orthanc_id"], unique=False)
    op.create_index(op.f("ix_study_patient_id"), "study", ["patient_id"], unique=False)
    op.create_index(op.f("ix_study_referrer_id"), "study", ["referrer_id"], unique=False)
    op.create_index("ix_study_status_booked", "study", ["status", "booked_for_at"], unique=False)
    op.create_table(
        "arrival",
        sa.Column("orthanc_id", sa.String(length=44), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=True),
        sa.Column("study_uid", sa.String(length=64), nullable=False),
        sa.Column("accession", sa.String(length=64), nullable=False),
        sa.Column("patient_number", sa.String(length=64), nullable=False),
        sa.Column("patient_name", sa.String(length=200), nullable=False),
        sa.Column("birth_date", sa.String(length=32), nullable=False),
        sa.Column("sex", sa.String(length=16), nullable=False),
        sa.Column("study_date", sa.String(length=32), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("modality", sa.String(length=40), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("first_seen_at", UtcTime(), nullable=False),
        sa.Column("last_change_at", UtcTime(), nullable=False),
        sa.Column("settles_at", UtcTime(), nullable=True),
        sa.Column("resolved_by", sa.Uuid(), nullable=True),
        sa.Column("resolved_at", UtcTime(), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_arrival_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrival")),
        sa.UniqueConstraint("orthanc_id", name=op.f("uq_arrival_orthanc_id")),
    )
    op.create_index(op.f("ix_arrival_accession"), "arrival", ["accession"], unique=False)
    op.create_index(op.f("ix_arrival_settles_at"), "arrival", ["settles_at"], unique=False)
    op.create_index("ix_arrival_state_changed", "arrival", ["state", "last_change_at"], unique=False)
    op.create_index(op.f("ix_arrival_study_id"), "arrival", ["study_id"], unique=False)
    op.create_index(op.f("ix_arrival_study_uid"), "arrival", ["study_uid"], unique=False)
    op.create_table(
        "report_version",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("previous_id", sa.Uuid(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("image_digest", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["author_id"], ["person.id"], name=op.f("fk_report_version_author_id_person")
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_report_version_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_version")),
    )
    op.create_index("ix_report_version_study_number", "report_version", ["study_id", "number"], unique=True)
    op.create_table(
        "study_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.String(length=20), nullable=False),
        sa.Column("before", sa.String(length=16), nullable=False),
        sa.Column("after", sa.String(length=16), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_event_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_event")),
    )
    op.create_index(op.f("ix_study_event_at"), "study_event", ["at"], unique=False)
    op.create_index("ix_study_event_study_at", "study_event", ["study_id", "at"], unique=False)
    op.create_table(
        "claim",
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("report_version_id", sa.Uuid(), nullable=True),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("scheme", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("tracking", sa.String(length=20), nullable=False),
        sa.Column("correction", sa.String(length=3), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("coding", sa.JSON(), nullable=False),
        sa.Column("service_on", sa.Date(), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("paid_cents", sa.BigInteger(), nullable=False),
        sa.Column("batch_number", sa.Integer(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("why", sa.String(length=300), nullable=False),
        sa.Column("submitted_at", UtcTime(), nullable=True),
        sa.Column("received_at", UtcTime(), nullable=True),
        sa.Column("answered_at", UtcTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_claim_patient_id_patient")),
        sa.ForeignKeyConstraint(
            ["report_version_id"],
            ["report_version.id"],
            name=op.f("fk_claim_report_version_id_report_version"),
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_claim_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim")),
        sa.UniqueConstraint("number", name=op.f("uq_claim_number")),
        sa.UniqueConstraint("study_id", name=op.f("uq_claim_study_id")),
    )
    op.create_index(op.f("ix_claim_patient_id"), "claim", ["patient_id"], unique=False)
    op.create_index(op.f("ix_claim_service_on"), "claim", ["service_on"], unique=False)
    op.create_index(op.f("ix_claim_state"), "claim", ["state"], unique=False)
    op.create_index(op.f("ix_claim_submitted_at"), "claim", ["submitted_at"], unique=False)
    op.create_table(
        "instance",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("arrival_id", sa.Uuid(), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=True),
        sa.Column("orthanc_id", sa.String(length=44), nullable=False),
        sa.Column("sop_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_class", sa.String(length=64), nullable=False),
        sa.Column("series_uid", sa.String(length=64), nullable=False),
        sa.Column("series_number", sa.Integer(), nullable=True),
        sa.Column("series_description", sa.String(length=200), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("columns", sa.Integer(), nullable=True),
        sa.Column("syntax", sa.String(length=64), nullable=False),
        sa.Column("is_image", sa.Boolean(), nullable=False),
        sa.Column("patient_number", sa.String(length=64), nullable=False),
        sa.Column("patient_name", sa.String(length=200), nullable=False),
        sa.Column("birth_date", sa.String(length=32), nullable=False),
        sa.Column("sex", sa.String(length=16), nullable=False),
        sa.Column("accession", sa.String(length=64), nullable=False),
        sa.Column("study_uid", sa.String(length=64), nullable=False),
        sa.Column("study_date", sa.String(length=32), nullable=False),
        sa.Column("turned_away", sa.Boolean(), nullable=False),
        sa.Column("gone_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_instance_arrival_id_arrival")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_instance_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        sa.UniqueConstraint("orthanc_id", name=op.f("uq_instance_orthanc_id")),
    )
    op.create_index(op.f("ix_instance_arrival_id"), "instance", ["arrival_id"], unique=False)
    op.create_index(op.f("ix_instance_sop_uid"), "instance", ["sop_uid"], unique=False)
    op.create_index("ix_instance_study_series", "instance", ["study_id", "series_uid"], unique=False)
    op.create_table(
        "share",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("signed_by", sa.String(length=120), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("minted_by", sa.Uuid(), nullable=False),
        sa.Column("minted_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("session_hash", sa.String(length=64), nullable=True),
        sa.Column("opened_at", UtcTime(), nullable=True),
        sa.Column("opened_with", sa.String(length=60), nullable=False),
        sa.Column("left_at", UtcTime(), nullable=True),
        sa.Column("wrong_answers", sa.Integer(), nullable=False),
        sa.Column("closed_at", UtcTime(), nullable=True),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.Column("revoked_by", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["minted_by"], ["person.id"], name=op.f("fk_share_minted_by_person")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_share_patient_id_patient")),
        sa.ForeignKeyConstraint(["revoked_by"], ["person.id"], name=op.f("fk_share_revoked_by_person")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_share_study_id_study")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["report_version.id"], name=op.f("fk_share_version_id_report_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share")),
        sa.UniqueConstraint("session_hash", name=op.f("uq_share_session_hash")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_share_token_hash")),
    )
    op.create_index(op.f("ix_share_minted_at"), "share", ["minted_at"], unique=False)
    op.create_index(op.f("ix_share_patient_id"), "share", ["patient_id"], unique=False)
    op.create_index(op.f("ix_share_study_id"), "share", ["study_id"], unique=False)
    op.create_table(
        "claim_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=True),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("what", sa.String(length=20), nullable=False),
        sa.Column("source_key", sa.String(length=120), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name=op.f("fk_claim_event_claim_id_claim")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim_event")),
        sa.UniqueConstraint("source_key", name=op.f("uq_claim_event_source_key")),
    )
    op.create_index(op.f("ix_claim_event_claim_id"), "claim_event", ["claim_id"], unique=False)
    op.create_table(
        "claim_line",
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("code", sa.String(length=10), nullable=False),
        sa.Column("description", sa.String(length=300), nullable=False),
        sa.Column("quantity", sa.String(length=12), nullable=False),
        sa.Column("cents", sa.BigInteger(), nullable=True),
        sa.Column("icd10", sa.JSON(), nullable=False),
        sa.Column("tracer", sa.String(length=35), nullable=False),
        sa.Column("is_demo", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("approved_cents", sa.BigInteger(), nullable=True),
        sa.Column("paid_cents", sa.BigInteger(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name=op.f("fk_claim_line_claim_id_claim")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim_line")),
    )
    op.create_index("ix_claim_line_claim_number", "claim_line", ["claim_id", "number"], unique=True)
    op.create_table(
        "posting",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("account", sa.String(length=24), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=True),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("cents", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name=op.f("fk_posting_claim_id_claim")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_posting_patient_id_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posting")),
    )
    op.create_index(op.f("ix_posting_account"), "posting", ["account"], unique=False)
    op.create_index(op.f("ix_posting_claim_id"), "posting", ["claim_id"], unique=False)
    op.create_index(op.f("ix_posting_entry_id"), "posting", ["entry_id"], unique=False)
    op.create_index(op.f("ix_posting_patient_id"), "posting", ["patient_id"], unique=False)
    op.create_table(
        "remittance_line",
        sa.Column("remittance_id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=True),
        sa.Column("claim_number", sa.String(length=35), nullable=False),
        sa.Column("line_number", sa.Integer(), nullable=False),
        sa.Column("tracer", sa.String(length=35), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("submitted_cents", sa.BigInteger(), nullable=False),
        sa.Column("calculated_cents", sa.BigInteger(), nullable=False),
        sa.Column("levy_cents", sa.BigInteger(), nullable=False),
        sa.Column("co_payment_cents", sa.BigInteger(), nullable=False),
        sa.Column("paid_cents", sa.BigInteger(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name=op.f("fk_remittance_line_claim_id_claim")),
        sa.ForeignKeyConstraint(
            ["remittance_id"], ["remittance.id"], name=op.f("fk_remittance_line_remittance_id_remittance")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remittance_line")),
    )
    op.create_index(op.f("ix_remittance_line_claim_id"), "remittance_line", ["claim_id"], unique=False)
    op.create_index(
        op.f("ix_remittance_line_remittance_id"), "remittance_line", ["remittance_id"], unique=False
    )
    op.create_table(
        "share_instance",
        sa.Column("share_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_share_instance_instance_id_instance")
        ),
        sa.ForeignKeyConstraint(["share_id"], ["share.id"], name=op.f("fk_share_instance_share_id_share")),
        sa.PrimaryKeyConstraint("share_id", "instance_id", name=op.f("pk_share_instance")),
    )
    dialect = op.get_bind().dialect.name
    for table in ("audit_entry", "consent", "report_version", "study_event", "claim_event", "posting"):
        for statement in triggers(table, dialect):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    raise NotImplementedError("The first version has nothing before it: restore a backup instead.")
