// Sign in by a token, or by the one-time code after the # of a link.
import { h, icon } from "../dom.js";
import { brandMark, plan, mark } from "../marks.js";
import { login } from "../api.js";

const refused = {
  code: [["This link signs nobody in: it was used already, or is older than ten minutes. Make a new one: "], "redoubt login-link"],
  token: [["The API does not know this token: it may have expired or been revoked. Make a new one, or sign in by a link: "], "redoubt login-link"],
};

export function loginPage({ theme, note, done }) {
  const problem = h("p.problem", { id: "login-problem", role: "alert" });
  const token = h("input.mono", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", placeholder: "rdt_…", required: true, "aria-describedby": "token-help login-problem" });
  const button = h("button.btn.primary.wide", { type: "submit" }, "Sign in");
  const say = (...words) => { problem.replaceChildren(...(words.length ? [icon("warn"), h("span", {}, ...words)] : [])); token.setAttribute("aria-invalid", String(words.length > 0)); };
  const attempt = async (credentials) => {
    button.disabled = true;
    say();
    button.replaceChildren(mark("checking", credentials.code ? "Signing in by the link" : "Signing in"));
    try {
      await login(credentials);
      token.value = "";
      done();
      return;
    } catch (error) {
      const [words, line] = refused[credentials.code ? "code" : "token"];
      if (error.status === 401 || error.status === 404) say(words, h("code", {}, line));
      else say(error.message, error.hint ? `. ${error.hint}` : null, error.requestId ? [" ", h("code", {}, error.requestId)] : null);
    }
    button.disabled = false;
    button.replaceChildren("Sign in");
    if (!credentials.code) token.focus();
  };
  const code = location.pathname === "/login" && location.hash.length > 1 ? location.hash.slice(1) : null;
  if (code) {
    history.replaceState(null, "", "/login");
    attempt({ code });
  }
  const form = h("form.stack", { onsubmit: (event) => { event.preventDefault(); if (token.value.trim()) attempt({ token: token.value.trim() }); else { say("Paste a token first"); token.focus(); } }, novalidate: true },
    h("div.field", {}, h("label", { for: "token" }, "Access token"), token, h("p.help", { id: "token-help" }, "The quick start keeps one in ", h("code", {}, ".redoubt/cli/token"), "."), problem), button);
  return h("div.gate", {},
    h("div.gate-form", {}, h("header.row.between", {}, h("span.brand", {}, brandMark(), "Redoubt"), theme),
      h("main", { id: "main", tabindex: "-1" },
        h("div.stack", {}, h("h1", {}, "Code that stays yours."), h("p.lead", {}, "Sign in to deploy into enclaves, and to check every answer that comes out.")),
        note ? h("p.note", {}, icon("info"), h("span", {}, note)) : null, form,
        h("div.note", {}, icon("terminal"), h("div", {}, h("strong", {}, "Just ran the quick start?"), h("p", {}, "Open the link it printed, or run ", h("code", {}, "redoubt login-link"), ". It signs you in once and needs no token.")))),
      h("footer.help", {}, "You are signing in to ", h("code", {}, location.host), ". This page came from there: it shows and prepares. Proofs are checked in your terminal.")),
    h("aside.gate-art", { "aria-label": "What this is about" }, plan(), h("blockquote.framed", {}, h("p", {}, "The cloud is trusted to be up. Never to be honest."),
      h("footer", {}, "Keys and answers belong to enclaves that have proved what they run. If any of us lies, your receipt will not verify."))));
}
