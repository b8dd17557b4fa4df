"""The tool write_file of the built-in agent: a new file, or new content for one."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

MANIFEST = {
    "id": "write-file",
    "name": "Write file",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"tools": ["write_file"]},
    "capabilities": {"fs": True},
}


def activate(host: Any) -> None:
    host.tool(access="write", concurrency_safe=False)(write_file)


async def write_file(
    ctx: Any,
    path: Annotated[str, Meta(description="The file, inside the working folder.")],
    content: Annotated[str, Meta(description="All that is to stand in it.")],
    overwrite: Annotated[bool, Meta(description="Whether the file is there and is to be replaced.")] = False,
) -> str:
    """Writes a text file inside the working folder, whole. Its folder must be there. A file that is there is only
    replaced with overwrite; to change a part of it, edit_file is better."""
    try:
        data = content.encode()
    except UnicodeEncodeError:
        raise ValueError("content has half a character in it (a lone surrogate), which no file can have") from None
    before = await ctx.files.look(path, most_bytes=0)
    if before.kind == "folder":
        raise ValueError(f"{before.path} is a folder")
    if before.kind == "other":
        raise ValueError(f"{before.path} is no file that can be written")
    if before.kind == "file" and not overwrite:
        raise ValueError(f"{before.path} is there already: change it with edit_file, or set overwrite to replace it")
    if before.kind == "missing" and overwrite:
        raise ValueError(f"{before.path} is not there, so it cannot be replaced: leave overwrite out")
    after = await ctx.files.write(path, data, before.digest or None)
    return f"{'Overwrote' if overwrite else 'Created'} {after.path} ({after.size:,} bytes)"
