"""The database as migrated is the database as modelled, on both kinds, and only this version's is opened."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from core.errors import Unfit
from core.store import db, migrate
from core.store.append_only import APPEND_ONLY
from core.store.model import Base


@pytest.fixture(params=["sqlcipher", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path):
    """An empty database."""
    engine = (
        db.open_postgresql(request.getfixturevalue("postgres"))
        if request.param == "postgresql"
        else db.open_sqlcipher(tmp_path / "sorg.db", secrets.token_bytes(32))
    )
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str) -> None:
    with db.maintenance("test"), engine.execution_options(write=True).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_migrating_gives_exactly_the_tables_of_the_models(engine):
    migrate.upgrade(engine)
    with db.maintenance("test"), engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert [] == compare_metadata(context, Base.metadata)


def test_passwords_that_an_early_version_kept_on_slips_are_gone(engine):
    migrate.upgrade(engine, to="0002")
    kind = "blob" if engine.dialect.name == "sqlite" else "bytea"
    run(engine, f"alter table activation add column password_box {kind}")
    migrate.upgrade(engine)
    with db.maintenance("test"), engine.connect() as connection:
        assert [] == compare_metadata(MigrationContext.configure(connection), Base.metadata)


def test_migrating_again_changes_nothing(engine):
    migrate.upgrade(engine)
    migrate.upgrade(engine)
    migrate.require_current(engine)


def test_the_scripts_names_say_the_versions_as_alembic_knows_them():
    walked = [script.revision for script in ScriptDirectory.from_config(migrate.config()).walk_revisions()]
    assert walked[::-1] == migrate.versions()


def test_processes_that_migrate_at_once_wait_for_each_other(engine):
    with ThreadPoolExecutor(3) as threads:
        assert [None] * 3 == list(threads.map(lambda _: migrate.upgrade(engine), range(3)))
    migrate.require_current(engine)


def test_every_append_only_table_is_there_and_guarded(engine):
    migrate.upgrade(engine)
    query = (
        "select tbl_name from sqlite_master where type = 'trigger' and name like '%_no_%'"
        if engine.dialect.name == "sqlite"
        else "select event_object_table from information_schema.triggers where trigger_name like '%_append_only'"
    )
    with db.maintenance("test"), engine.connect() as connection:
        guarded = [row[0] for row in connection.execute(text(query))]
        assert set(APPEND_ONLY) == set(guarded)
        assert set(APPEND_ONLY) <= set(inspect(connection).get_table_names())
    # An update and a delete each, whichever the database.
    assert 2 * len(APPEND_ONLY) == len(guarded)


@pytest.mark.parametrize("change", ["update {} set origin = 'x'", "delete from {}", "truncate {} cascade"])
@pytest.mark.parametrize("table", ["posting", "study_event"])
def test_an_append_only_table_refuses_changes_even_while_it_is_empty_on_postgresql(postgres, table, change):
    engine = db.open_postgresql(postgres)
    migrate.upgrade(engine)
    with pytest.raises(Exception, match="append-only"):
        run(engine, change.format(table))
    engine.dispose()


def test_a_database_of_an_older_version_is_refused_with_the_way_out(engine):
    with pytest.raises(Unfit, match="at version none, .* run 'sorg upgrade'"):
        migrate.require_current(engine)


def test_a_database_of_a_newer_version_is_neither_opened_nor_migrated(engine):
    migrate.upgrade(engine)
    run(engine, "update alembic_version set version_num = '9999'")
    for attempt in (migrate.require_current, migrate.upgrade):
        with pytest.raises(Unfit, match="version 9999, which is newer than this program"):
            attempt(engine)


def test_a_migration_that_fails_leaves_the_database_as_it_was(engine):
    run(engine, "create table study (x integer)")
    with pytest.raises(Exception, match="study"):
        migrate.upgrade(engine)
    with db.maintenance("test"), engine.connect() as connection:
        assert ["study"] == inspect(connection).get_table_names()


def test_a_practice_of_the_first_version_goes_on_with_every_row_it_had(engine):
    """People refer to patients now, and sessions to people: making a table anew must take no row of another away."""
    migrate.upgrade(engine, to="0001")
    person, patient, session = (f"{n:032x}" for n in (1, 2, 3))
    when, true = "2026-11-20 08:00:00", "true" if engine.dialect.name == "postgresql" else "1"
    run(
        engine,
        "insert into person (id, origin, version, login, name, roles, registration, practice_number, email, directory, "
        "password_hash, totp_step, wrong_answers, is_active) values "
        f"('{person}', '01', 1, 'zinhle', 'Zinhle Dube', '[\"radiologist\"]', '', '', '', 'local', 'x', 7, 0, {true})",
        "insert into patient (id, origin, version, file_number, family_name, given_names, title, search_text, identity_kind, "
        "born_on, sex, phone, email, scheme_code, scheme_option, membership_number, dependant_code, member_surname, "
        f"member_initials, registered_at) values ('{patient}', '01', 1, '01000001', 'Nkosi', 'Thandô', '', 'nkosi', 'none', "
        f"'1980-01-01', 'F', '', '', '', '', '', '', '', '', '{when}')",
        "insert into sign_in_session (id, token_hash, person_id, stage, from_address, begun_at, seen_at, ends_at) values "
        f"('{session}', 'h', '{person}', 'open', '10.0.0.1', '{when}', '{when}', '{when}')",
    )
    migrate.upgrade(engine)
    with db.maintenance("test"), engine.connect() as connection:
        found = connection.execute(
            text(
                "select s.token_hash, p.login, p.totp_step, p.scope, s.channel, p.sites from sign_in_session s "
                "join person p on p.id = s.person_id"
            )
        ).one()
        assert ("h", "zinhle", 7, "", "console") == tuple(found)[:5]
        assert 1 == connection.execute(text("select count(*) from patient")).scalar()
        if engine.dialect.name == "sqlite":
            assert [] == connection.execute(text("pragma foreign_key_check")).all()
            assert 1 == connection.execute(text("pragma foreign_keys")).scalar()
