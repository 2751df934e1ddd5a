import { describe, expect, it } from "vitest";

import { readEvents, type ServerEvent } from "./sse";

function stream(bytes: Uint8Array, cuts: number[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      let position = 0;
      for (const cut of [...cuts, bytes.length]) {
        controller.enqueue(bytes.slice(position, cut));
        position = cut;
      }
      controller.close();
    },
  });
}

async function read(text: string, cuts: number[] = []): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of readEvents(stream(new TextEncoder().encode(text), cuts))) events.push(event);
  return events;
}

const text =
  'event: delta\r\ndata: {"text":"Grüße 🐝"}\r\n\r\n: ping\r\n\r\nevent: done\r\ndata: one\r\ndata: two\r\n\r\n';
const expected = [
  { event: "delta", data: '{"text":"Grüße 🐝"}' },
  { event: "done", data: "one\ntwo" },
];

describe("readEvents", () => {
  it("gives the same events wherever the bytes are cut", async () => {
    const length = new TextEncoder().encode(text).length;
    for (let cut = 1; cut < length; cut++) expect(await read(text, [cut])).toEqual(expected);
  });

  it("reads bare line feeds, and gives no event that has not ended", async () => {
    expect(await read("data: a\n\ndata: unfinished\n")).toEqual([{ event: "message", data: "a" }]);
  });

  it("ignores comments and unknown fields", async () => {
    expect(await read(": hello\nid: 1\nretry: 5\ndata:x\n\n")).toEqual([{ event: "message", data: "x" }]);
  });
});
