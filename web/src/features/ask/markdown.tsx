import { memo } from "react";
import Markdown, { defaultUrlTransform } from "react-markdown";
import remarkGfm from "remark-gfm";

import type { Citation } from "../../api/client";

interface Node {
  type: string;
  value?: string;
  url?: string;
  children?: Node[];
}

const MARKER = /\[(\d{1,3})\]/g;
const SCHEME = "citation:";

/** Turns `[n]` in text (not in code or links) into links that only this module knows: marker and how often it came. */
function remarkMarkers() {
  const seen = new Map<string, number>();
  const walk = (node: Node): void => {
    // A link that the text itself writes must not pass for a marker.
    if ((node.type === "link" || node.type === "definition") && node.url?.startsWith(SCHEME)) node.url = "";
    if (node.type === "code" || node.type === "inlineCode" || node.type === "link" || !node.children) return;
    node.children = node.children.flatMap((child) => {
      if (child.type !== "text" || child.value === undefined) {
        walk(child);
        return [child];
      }
      const parts: Node[] = [];
      let position = 0;
      for (const match of child.value.matchAll(MARKER)) {
        if (match.index > position)
          parts.push({ type: "text", value: child.value.slice(position, match.index) });
        const marker = match[1] ?? "";
        const occurrence = seen.get(marker) ?? 0;
        seen.set(marker, occurrence + 1);
        parts.push({
          type: "link",
          url: `${SCHEME}${marker}:${occurrence}`,
          children: [{ type: "text", value: marker }],
        });
        position = match.index + match[0].length;
      }
      parts.push({ type: "text", value: child.value.slice(position) });
      return parts;
    });
  };
  return (tree: Node): void => {
    seen.clear();
    walk(tree);
  };
}

/** Only links that a person can follow safely; everything else becomes text. */
export function safeUrl(url: string): string {
  if (url.startsWith(SCHEME)) return url;
  return /^(https?|mailto):/i.test(url) ? defaultUrlTransform(url) : "";
}

interface Props {
  text: string;
  citations: readonly Citation[];
  open: Citation | null;
  onOpen: (citation: Citation | null) => void;
}

/** Markdown without raw HTML and without images, its citation markers as buttons. */
export const AnswerMarkdown = memo(function AnswerMarkdown({ text, citations, open, onOpen }: Props) {
  return (
    <div className="answer">
      <Markdown
        remarkPlugins={[remarkGfm, remarkMarkers]}
        disallowedElements={["img"]}
        urlTransform={safeUrl}
        components={{
          a: ({ href, children }) => {
            if (href?.startsWith(SCHEME)) {
              const [marker, occurrence] = href.slice(SCHEME.length).split(":").map(Number);
              const mine = citations.filter((each) => each.marker === marker);
              // Each place where a marker stands has a quote of its own, where the answer says which.
              const citation = mine[occurrence ?? 0] ?? mine[0];
              if (!citation) return <>[{children}]</>;
              const pressed = open?.marker === marker && open?.start_offset === citation.start_offset;
              return (
                <button
                  type="button"
                  className="marker"
                  aria-pressed={pressed}
                  aria-label={`${marker}: ${citation.title}`}
                  title={citation.title}
                  onClick={() => onOpen(pressed ? null : citation)}
                >
                  {marker}
                </button>
              );
            }
            if (!href) return <>{children}</>;
            return (
              <a href={href} target="_blank" rel="noopener noreferrer nofollow">
                {children}
              </a>
            );
          },
        }}
      >
        {text}
      </Markdown>
    </div>
  );
});
