"""Writes into the databases of Samba domain controllers, running or not. Run by the system's Python, as root.

Arguments: the folders of the controllers. Each line of standard input is one order, {"ldif", "controls", "dn"};
each is answered by one line: the error, or nothing. With "dn", a new entry gets one identity on all of them, as
replication would give it. {"grant": login, "dn"} lets that account change everything below the entry.
"""
# pyright: reportMissingImports=false

import json
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import misc, security
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils


def open_database(folder):
    settings = LoadParm()
    settings.load(f"{folder}/etc/smb.conf")
    return SamDB(url=f"{folder}/private/sam.ldb", session_info=system_session(), lp=settings)


def identity(database, dn):
    row = database.search(dn, ldb.SCOPE_BASE, attrs=["objectGUID", "objectSid"])[0]
    guid, sid = ndr_unpack(misc.GUID, row["objectGUID"][0]), ndr_unpack(security.dom_sid, row["objectSid"][0])
    return f"objectGUID: {guid}\nobjectSid: {sid}\n"


def grant(database, dn, login):
    row = database.search(expression=f"(sAMAccountName={login})", attrs=["objectSid"])[0]
    sid = ndr_unpack(security.dom_sid, row["objectSid"][0])
    SDUtils(database).dacl_add_ace(dn, f"(A;CI;GA;;;{sid})")


def obey(databases, order):
    if "grant" in order:
        for database in databases:
            grant(database, order["dn"], order["grant"])
        return
    if "delete" in order:
        for database in databases:
            database.delete(order["delete"])
        return
    if "rename" in order:
        for database in databases:
            database.rename(order["rename"], order["dn"])
        return
    first, *others = databases
    first.transaction_start()
    try:
        first.modify_ldif(order["ldif"], order["controls"])
    except BaseException:
        first.transaction_cancel()
        raise
    first.transaction_commit()
    for database in others:
        if order["dn"]:
            database.modify_ldif(
                order["ldif"].rstrip("\n") + "\n" + identity(first, order["dn"]), ["relax:0"]
            )
        else:
            database.modify_ldif(order["ldif"], order["controls"])


def main(folders):
    databases = [open_database(folder) for folder in folders]
    for line in sys.stdin:
        try:
            obey(databases, json.loads(line))
            told = ""
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
        print(told, flush=True)


main(sys.argv[1:])
