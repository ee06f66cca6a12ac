import { h, svg, icon, brandMark, fortPath } from "../dom.js";
import { login } from "../api.js";

function plan() {
  const drawing = svg("svg", { viewBox: "0 0 800 800", "aria-hidden": "true", class: "plan", preserveAspectRatio: "xMidYMid slice" });
  for (const [radius, depth, kind] of [[470, 0.72, "faint"], [400, 0.7, "faint"], [340, 0.68, "dash"], [325, 0.68, "strong"], [240, 0.5, "strong"], [228, 0.5, "thin"], [216, 0.5, "thin"], [52, 0.5, "strong"]])
    drawing.append(svg("path", { d: fortPath(400, 400, radius, 5, depth), class: kind }));
  for (const radius of [66, 108]) drawing.append(svg("circle", { cx: 400, cy: 400, r: radius, class: "thin" }));
  for (let i = 0; i < 72; i++) {
    const angle = (i / 72) * 2 * Math.PI, inner = 112, outer = i % 6 ? 118 : 124;
    drawing.append(svg("path", { class: "thin", d: `M${400 + inner * Math.cos(angle)} ${400 + inner * Math.sin(angle)}L${400 + outer * Math.cos(angle)} ${400 + outer * Math.sin(angle)}` }));
  }
  return drawing;
}

// Signs in by a token, or by the one-time code after the # of a link.
export function loginPage(done, theme) {
  const problem = h("p.problem", { role: "alert" });
  const token = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", placeholder: "rdt_…", required: true, "aria-describedby": "token-help" });
  const button = h("button.btn.primary.wide", { type: "submit" }, "Sign in");
  const attempt = async (credentials) => {
    button.disabled = true;
    problem.textContent = "";
    try {
      const session = await login(credentials);
      token.value = "";
      done(session);
    } catch (error) {
      button.disabled = false;
      problem.textContent = error.status === 401 || error.status === 404 ? (credentials.code ? "This link was used already or is older than ten minutes. Make a new one: redoubt login-link" : "The API does not know this token") : error.message;
    }
  };
  const code = location.hash.length > 1 ? location.hash.slice(1) : null;
  if (code) {
    history.replaceState(null, "", "/login");
    attempt({ code });
  }
  return h("div.login", {},
    h("main", { id: "main", tabindex: "-1" },
      h("div.login-top", {}, h("span.brand", {}, brandMark(), "Redoubt"), theme),
      h("form", { onsubmit: (event) => { event.preventDefault(); attempt({ token: token.value.trim() }); } },
        h("h1", {}, "Code that stays yours."),
        h("p.lead", {}, "Sign in to deploy into enclaves, and to check every answer that comes out."),
        h("label", { for: "token" }, "Access token"), token,
        h("p.help", { id: "token-help" }, "The quick start keeps one in ", h("code", {}, ".redoubt/cli/token"), "."),
        button, problem,
        h("div.hint", {}, icon("terminal"), h("p", {}, h("strong", {}, "Just ran the quick start?"), h("br"), "Open the link it printed, or run ", h("code", {}, "redoubt login-link"), ". It signs you in once and needs no token."))),
      h("p.foot", {}, "You are signing in to ", h("code", {}, location.host), ". This page came from there: it shows and prepares; proofs are checked in your terminal.")),
    h("div.login-art", {}, plan(), h("blockquote", {}, h("p", {}, "The cloud is trusted to be up. Never to be honest."),
      h("footer", {}, "Keys and answers belong to enclaves that have proved what they run. If any of us lies, your receipt will not verify."))));
}
