"""Pages of a list: how many rows come before one."""

LAST_PAGE = 1_000_000  # an address can name any page, and no database skips more rows than fit eight bytes


def rows_before(page: int, size: int) -> int:
    """The rows to skip for a page, the first being 1; what lies beyond either end counts as the end.

    >>> rows_before(1, 50), rows_before(3, 50), rows_before(-7, 50), rows_before(10**30, 50)
    (0, 100, 0, 49999950)
    """
    return (min(max(page, 1), LAST_PAGE) - 1) * size
