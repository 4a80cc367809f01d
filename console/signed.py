"""A signed report as it is shown on more than one page: text, signer, and whether the signature still fits."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import desk, widgets
from core import pacs, reporting


def signed_report(study_id: UUID) -> None:
    """The signed text with its seal, and what happens to it next."""
    signed = desk.ask_if(reporting.read_signed, study_id)
    if signed is None:
        widgets.empty("There is no signed report yet")
        return
    if signed.is_intact:
        widgets.line(
            "Signature", "fits the text", "good", f"{signed.signer}, {widgets.when(signed.version.at)}"
        )
    else:
        st.error(
            "The signature does not fit the stored text. Do not use this report; tell your practice's admin.",
            icon=":material/gpp_bad:",
        )
    if not signed.images_unchanged:
        st.warning(
            "Images were added or removed after the report was signed. The radiologist should look again.",
            icon=":material/compare:",
        )
    widgets.report(signed.version.text)
    attached = bool(signed.study.attached_instance)
    widgets.line(
        "PDF in the PACS",
        "attached" if attached else "on its way",
        "good" if attached else "busy",
        "" if attached else _on_its_way(),
    )
    if not attached and desk.has_page("system_health"):
        st.page_link(desk.page("system_health"), label="System health", icon=":material/monitor_heart:")
    with st.expander("Signature in full"):
        widgets.facts(
            {
                "Signed by": f"{signed.signer} {signed.registration}".strip(),
                "Version": str(signed.version.number),
                "Digest (SHA-256)": signed.version.digest,
                "Signature (Ed25519)": signed.version.signature,
            }
        )
    if attached and st.button("Prepare the PDF", icon=":material/picture_as_pdf:", key=f"pdf-{study_id}"):
        pdf = desk.ask(pacs.report_pdf, study_id)
        st.download_button(
            "Save the PDF",
            pdf,
            file_name=f"{signed.study.row.accession}.pdf",
            mime="application/pdf",
            on_click="ignore",
        )


def _on_its_way() -> str:
    """What whoever reads it can do about it: only some have the page that shows what is stuck."""
    if desk.has_page("system_health"):
        return "It is filed by itself; System health shows it if it is stuck."
    return (
        "It is filed by itself, and you need not wait: the report is signed. "
        "If it is not there in an hour, tell your practice's admin or manager."
    )
