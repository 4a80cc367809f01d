"""What every test may ask for; tests/fixtures/ says how."""

pytest_plugins = [
    "tests.fixtures.manners",
    "tests.fixtures.postgres",
    "tests.fixtures.browser",
    "tests.fixtures.orthanc",
    "tests.fixtures.house",
    "tests.fixtures.scanner",
    "tests.fixtures.console",
    "tests.fixtures.door",
    "tests.fixtures.ward",
    "tests.fixtures.oidc",
    "tests.fixtures.directory",
    "tests.fixtures.guests",
]
