import { csrfToken, Problem, problemOf, type Uploads } from "../../api/client";

/** Uploads one file and reports its progress, 0 to 1. `fetch` cannot tell how much was sent. Rejects with Problem. */
export function upload(file: File, workspace: string, onProgress: (share: number) => void): Promise<Uploads> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("workspace", workspace);
    form.append("file", file);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.onerror = () => reject(new Problem(0, "unreachable", "The server cannot be reached"));
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status === 202) resolve(body as Uploads);
      else reject(problemOf(request.status, body));
    };
    request.open("POST", "/api/v1/documents");
    request.setRequestHeader("X-CSRF-Token", csrfToken());
    request.send(form);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
