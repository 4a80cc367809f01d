// Passkeys and security keys (WebAuthn level 2): ask the door for a question, let the key answer it, send the answer.
"use strict";
(() => {
  const form = document.getElementById("key-form");
  if (!form) return;
  const button = form.querySelector("button");
  const says = document.getElementById("key-says");

  const text = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const named = (keys) => (keys || []).map((key) => ({ ...key, id: bytes(key.id) }));

  function say(sentence) {
    says.textContent = sentence;
    says.hidden = !sentence;
  }

  async function ask(address, body) {
    const answer = await fetch(address, {
      method: "POST",
      credentials: "same-origin",
      headers: { "content-type": "application/json", "x-sorg-form": form.elements.token.value },
      body: JSON.stringify(body),
    });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    if (told.go) location.assign(told.go);
    throw new Error(told.sentence || SENTENCES.lost);
  }

  async function made(options) {
    const user = { ...options.user, id: bytes(options.user.id) };
    const key = await navigator.credentials.create({
      publicKey: {
        ...options, user, challenge: bytes(options.challenge), excludeCredentials: named(options.excludeCredentials),
      },
    });
    return whole(key, {
      attestationObject: text(key.response.attestationObject),
      transports: key.response.getTransports ? key.response.getTransports() : [],
    });
  }

  async function touched(options) {
    const key = await navigator.credentials.get({
      publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials) },
    });
    return whole(key, {
      authenticatorData: text(key.response.authenticatorData),
      signature: text(key.response.signature),
      userHandle: key.response.userHandle ? text(key.response.userHandle) : null,
    });
  }

  function whole(key, response) {
    return {
      id: key.id, rawId: text(key.rawId), type: key.type, clientExtensionResults: key.getClientExtensionResults(),
      authenticatorAttachment: key.authenticatorAttachment,
      response: { ...response, clientDataJSON: text(key.response.clientDataJSON) },
    };
  }

  // This door's own words, by the name of the browser's error.
  const SENTENCES = JSON.parse(form.dataset.says);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { token, ...fields } = Object.fromEntries(new FormData(form));
    const reason = document.getElementById("reason");
    if (reason && !reason.reportValidity()) return;
    if (reason) fields.reason = reason.value;
    button.disabled = true;
    say("");
    try {
      const options = await ask(form.dataset.options, fields);
      const answer = await (form.dataset.does === "make" ? made(options) : touched(options));
      const told = await ask(form.dataset.answer, { ...fields, answer });
      location.assign(told.go);
    } catch (error) {
      say(SENTENCES[error.name] || error.message);
      button.disabled = false;
    }
  });

  if (window.PublicKeyCredential) form.hidden = false;
  else say(SENTENCES.unknown);
})();
