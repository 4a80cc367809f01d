"""Which key opened a session, and why a key is no more; what people were called when they signed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sign_in_session", schema=None) as batch_op:
        # Nobody's session of before was opened by a key that is known: an admin touches theirs once more.
        batch_op.add_column(sa.Column("key_id", sa.Uuid(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_sign_in_session_key_id_security_key"), "security_key", ["key_id"], ["id"]
        )
    with op.batch_alter_table("security_key", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ended_why", sa.String(length=12), server_default="", nullable=False))
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.add_column(sa.Column("former_names", sa.JSON(), server_default="[]", nullable=False))
        batch_op.add_column(sa.Column("sso_id", sa.String(length=64), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_person_sso_id"), ["sso_id"])
    # An early 0002 kept chosen passwords on the slip, sealed. They wait in the browser now, and should not lie here.
    if "password_box" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("activation")}:
        with op.batch_alter_table("activation", schema=None) as batch_op:
            batch_op.drop_column("password_box")


def downgrade() -> None:
    raise NotImplementedError(
        "Going back would lose what a session was opened with: restore a backup instead."
    )
