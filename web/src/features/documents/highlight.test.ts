import { describe, expect, it } from "vitest";

import { around } from "./highlight";

describe("around", () => {
  it("counts code points as the API does", () => {
    const text = "🐝🐝 Bienen: 412 kg 🍯 Honig";
    const points = Array.from(text);
    const start = points.indexOf("4");
    expect(around(text, start, start + 6)).toEqual({
      before: "🐝🐝 Bienen: ",
      quote: "412 kg",
      after: " 🍯 Honig",
    });
  });

  it("never cuts outside the text", () => {
    expect(around("abc", -5, 99)).toEqual({ before: "", quote: "abc", after: "" });
    expect(around("abc", 2, 1)).toEqual({ before: "ab", quote: "", after: "c" });
    expect(around("", 0, 4)).toEqual({ before: "", quote: "", after: "" });
  });
});
