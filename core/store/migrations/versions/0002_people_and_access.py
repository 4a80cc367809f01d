"""Directories, second factors, requests, and who may see which patient."""

import sqlalchemy as sa
from alembic import op

from core.store.model.base import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("sentence", sa.String(length=300), nullable=False),
        sa.Column("about", sa.String(length=64), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=True),
        sa.Column("seen_by", sa.Uuid(), nullable=True),
        sa.Column("seen_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
    )
    with op.batch_alter_table("alert", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_at"), ["at"], unique=False)

    op.create_table(
        "change_request",
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("why", sa.String(length=300), nullable=False),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column("asked_at", UtcTime(), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", UtcTime(), nullable=True),
        sa.Column("remark", sa.String(length=300), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_request")),
    )
    with op.batch_alter_table("change_request", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_change_request_patient_id"), ["patient_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_change_request_person_id"), ["person_id"], unique=False)
        batch_op.create_index("ix_change_request_state_asked", ["state", "asked_at"], unique=False)

    op.create_table(
        "group_role",
        sa.Column("group_id", sa.String(length=80), nullable=False),
        sa.Column("group_name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_role")),
    )
    with op.batch_alter_table("group_role", schema=None) as batch_op:
        batch_op.create_index("ix_group_role_group_role", ["group_id", "role"], unique=True)

    op.create_table(
        "throttle",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("since_at", UtcTime(), nullable=False),
        sa.Column("rests_until", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttle")),
    )
    op.create_table(
        "activation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("sets_password", sa.Boolean(), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", UtcTime(), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.Column("proved_at", UtcTime(), nullable=True),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_activation_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activation")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_activation_code_hash")),
    )
    with op.batch_alter_table("activation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_activation_person_id"), ["person_id"], unique=False)

    op.create_table(
        "glass_break",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("until_at", UtcTime(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("reviewed_by", sa.Uuid(), nullable=True),
        sa.Column("reviewed_at", UtcTime(), nullable=True),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patient.id"], name=op.f("fk_glass_break_patient_id_patient")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_glass_break_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_glass_break")),
    )
    with op.batch_alter_table("glass_break", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_glass_break_patient_id"), ["patient_id"], unique=False)
        batch_op.create_index("ix_glass_break_person_until", ["person_id", "until_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_glass_break_reviewed_at"), ["reviewed_at"], unique=False)

    op.create_table(
        "patient_block",
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("why", sa.String(length=300), nullable=False),
        sa.Column("from_at", UtcTime(), nullable=False),
        sa.Column("until_at", UtcTime(), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patient.id"], name=op.f("fk_patient_block_patient_id_patient")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_patient_block_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_block")),
    )
    with op.batch_alter_table("patient_block", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_block_patient_id"), ["patient_id"], unique=False)
        batch_op.create_index("ix_patient_block_person_until", ["person_id", "until_at"], unique=False)

    op.create_table(
        "patient_grant",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("why", sa.String(length=300), nullable=False),
        sa.Column("from_at", UtcTime(), nullable=False),
        sa.Column("until_at", UtcTime(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patient.id"], name=op.f("fk_patient_grant_patient_id_patient")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_patient_grant_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_grant")),
    )
    with op.batch_alter_table("patient_grant", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_grant_patient_id"), ["patient_id"], unique=False)
        batch_op.create_index("ix_patient_grant_person_until", ["person_id", "until_at"], unique=False)

    op.create_table(
        "recovery_code",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("made_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_recovery_code_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_code")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_recovery_code_code_hash")),
    )
    with op.batch_alter_table("recovery_code", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recovery_code_person_id"), ["person_id"], unique=False)

    op.create_table(
        "security_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(length=1024), nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=2048), nullable=False),
        sa.Column("sign_count", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("transports", sa.JSON(), nullable=False),
        sa.Column("made_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_security_key_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_key")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_security_key_credential_id")),
    )
    with op.batch_alter_table("security_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_security_key_person_id"), ["person_id"], unique=False)

    op.create_table(
        "challenge",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=160), nullable=False),
        sa.Column("challenge", sa.LargeBinary(length=64), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sign_in_session.id"], name=op.f("fk_challenge_session_id_sign_in_session")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_challenge")),
    )
    with op.batch_alter_table("challenge", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_challenge_session_id"), ["session_id"], unique=False)

    op.create_table(
        "step_up",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=160), nullable=False),
        sa.Column("method", sa.String(length=12), nullable=False),
        sa.Column("proved_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sign_in_session.id"], name=op.f("fk_step_up_session_id_sign_in_session")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_up")),
    )
    with op.batch_alter_table("step_up", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_step_up_session_id"), ["session_id"], unique=False)

    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.add_column(sa.Column("wrong_codes", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("codes_rest_until", UtcTime(), nullable=True))
        batch_op.add_column(sa.Column("totp_pending", sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column("scope", sa.String(length=10), server_default="", nullable=False))
        batch_op.add_column(sa.Column("sites", sa.JSON(), server_default="[]", nullable=False))
        batch_op.add_column(sa.Column("patient_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("referrer_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("is_break_glass", sa.Boolean(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("closes_at", UtcTime(), nullable=True))
        batch_op.add_column(sa.Column("shut_at", UtcTime(), nullable=True))
        batch_op.add_column(sa.Column("away_hash", sa.String(length=200), server_default="", nullable=False))
        batch_op.add_column(sa.Column("away_until", UtcTime(), nullable=True))
        batch_op.add_column(sa.Column("away_tries", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("password_set_at", UtcTime(), nullable=True))
        batch_op.add_column(sa.Column("checked_at", UtcTime(), nullable=True))
        batch_op.add_column(sa.Column("groups", sa.JSON(), server_default="[]", nullable=False))
        batch_op.add_column(sa.Column("slip_sets_password", sa.Boolean(), server_default="0", nullable=False))
        batch_op.create_index("ix_person_directory_id", ["directory", "directory_id"], unique=True)
        batch_op.create_foreign_key(
            batch_op.f("fk_person_referrer_id_referrer"), "referrer", ["referrer_id"], ["id"]
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_person_patient_id_patient"), "patient", ["patient_id"], ["id"]
        )

    with op.batch_alter_table("sign_in_session", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("channel", sa.String(length=12), server_default="console", nullable=False)
        )
        batch_op.add_column(sa.Column("method", sa.String(length=12), server_default="", nullable=False))
        batch_op.add_column(sa.Column("is_away", sa.Boolean(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("reason", sa.String(length=300), server_default="", nullable=False))
        batch_op.add_column(sa.Column("ended_why", sa.String(length=40), server_default="", nullable=False))

    with op.batch_alter_table("study_event", schema=None) as batch_op:
        batch_op.create_index("ix_study_event_by_study", ["by", "study_id"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("Going back would lose who approved what: restore a backup instead.")
