import { memo } from "react";
import Markdown, { defaultUrlTransform } from "react-markdown";
import remarkGfm from "remark-gfm";

interface Node {
  type: string;
  value?: string;
  url?: string;
  children?: Node[];
}

const MARKER = /\[(\d{1,3})\]/g;
const SCHEME = "citation:";

/** Turns `[n]` in text (not in code or links) into links that only this module knows. */
function remarkMarkers() {
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
        parts.push({ type: "link", url: SCHEME + match[1], children: [{ type: "text", value: match[1] }] });
        position = match.index + match[0].length;
      }
      parts.push({ type: "text", value: child.value.slice(position) });
      return parts;
    });
  };
  return walk;
}

/** Only links that a person can follow safely; everything else becomes text. */
export function safeUrl(url: string): string {
  if (url.startsWith(SCHEME)) return url;
  return /^(https?|mailto):/i.test(url) ? defaultUrlTransform(url) : "";
}

interface Props {
  text: string;
  markers: ReadonlyMap<number, string>;
  open: number | null;
  onOpen: (marker: number) => void;
}

/** Markdown without raw HTML and without images, its citation markers as buttons. */
export const AnswerMarkdown = memo(function AnswerMarkdown({ text, markers, open, onOpen }: Props) {
  return (
    <div className="answer">
      <Markdown
        remarkPlugins={[remarkGfm, remarkMarkers]}
        disallowedElements={["img"]}
        urlTransform={safeUrl}
        components={{
          a: ({ href, children }) => {
            if (href?.startsWith(SCHEME)) {
              const marker = Number(href.slice(SCHEME.length));
              const title = markers.get(marker);
              if (title === undefined) return <>[{children}]</>;
              return (
                <button
                  type="button"
                  className="marker"
                  aria-pressed={open === marker}
                  aria-label={`${marker}: ${title}`}
                  title={title}
                  onClick={() => onOpen(marker)}
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
