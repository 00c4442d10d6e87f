"""Looks at one PDF or video in a process of its own, with limits on time and memory, and prints JSON.

    python -m submission.checking.probe pdf FILE
    python -m submission.checking.probe video FILE

Whatever a file does to the library that reads it, it does it to this process alone.

Credits: pypdfium2 and PDFium (pages and text), PyAV and FFmpeg's libraries (videos).
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

SECONDS = 120  # of processor time, and as many again to start
MEMORY = 6 << 30  # bytes of address space; libraries alone take two
MOST_TEXT = 200_000  # characters of a paper
_ROOT = Path(__file__).resolve().parents[2]
_REFERENCES = re.compile(r"^\s*(?:\d+\.?\s+)?(?:references|bibliography)\s*$", re.IGNORECASE | re.MULTILINE)


def probe(kind: Literal["pdf", "video"], path: Path, seconds: float = SECONDS) -> dict[str, Any]:
    """What a file holds: the result of ``look_at_pdf`` or ``look_at_video``, or ``error`` with one line.

    :param seconds: of processor time, and as many again to start
    """
    command = [sys.executable, "-m", "submission.checking.probe", kind, str(path), str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=2 * seconds, cwd=_ROOT, check=False)
        found = json.loads(done.stdout)
        return found if isinstance(found, dict) else {"error": "it cannot be read"}
    except subprocess.TimeoutExpired:
        return {"error": f"it takes longer than {2 * seconds:g} seconds to read"}
    except ValueError:
        return {"error": f"the program that reads it ended with status {done.returncode}; it may be damaged on purpose"}


def look_at_pdf(path: Path) -> dict[str, Any]:
    """Pages of a PDF and its text.

    :return: ``pages``; ``counted``, those without references: a page on which only references stand does not count;
        ``text``, at most ``MOST_TEXT`` characters
    """
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        pages = len(document)
        counted, texts, length = pages, [], 0
        for number in range(min(pages, 200)):
            text = document[number].get_textpage().get_text_range()
            texts.append(text[: MOST_TEXT - length])
            length += len(texts[-1])
            if counted == pages and (heading := _REFERENCES.search(text)):
                before = text[: heading.start()].strip()
                counted = number + (len(before) > 40)  # a running head or a page number is no text
    return {"pages": pages, "counted": counted, "text": "\n".join(texts)}


def look_at_video(path: Path) -> dict[str, Any]:
    """Decode a video.

    :return: ``width``, ``height``, ``frames`` decoded, ``seconds``, ``fps``
    """
    import av

    # The one format, so that no playlist can name other files.
    with av.open(str(path), format="mp4", options={"protocol_whitelist": "file"}) as container:
        if not container.streams.video:
            return {"error": "it has no video in it"}
        stream = container.streams.video[0]
        fps = float(stream.average_rate or 0)
        if stream.width * stream.height > 16_000_000:
            return {"error": f"it is {stream.width}x{stream.height} pixels large"}
        frames = 0
        for _ in container.decode(stream):
            frames += 1
        shape = {"width": stream.width, "height": stream.height}
    return {**shape, "frames": frames, "fps": fps, "seconds": frames / fps if fps else 0.0}


def main(kind: str, path: str, seconds: str) -> None:
    """Print what the file holds as one JSON object."""
    limit = max(1, round(float(seconds)))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes no file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = look_at_pdf(Path(path)) if kind == "pdf" else look_at_video(Path(path))
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        found = {"error": lines[0].replace(path, "it")}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
