"""Parts in GridFS: a file's document in `parts.files`, its bytes in `parts.chunks`, who needs it in `parts.claims`.

A file goes through the states uploading -> kept -> dropped. Only a kept file is a part, and the unique index on its
name lets one file of equal bytes be kept. Chunks always have a file's document, so nothing is lost sight of when a
process is killed: its owner's drop, if need be repeated, removes what an upload or an earlier drop has left, and so
does `drop_unfinished` some day, for owners that keep what they have.

Guaranteed: a part is there for as long as somebody's claim is, whatever others put and drop meanwhile. For this, a
put first claims and then renews the file's `touched` mark; a drop reads the mark before it looks for claims, and
drops the file only if the mark is still the same. Either the drop sees the claim, or the put sees no file and uploads.
Not guaranteed: a put that overlaps a drop by the same owner may be dropped with the others, or stay without a claim.
"""

from datetime import UTC, datetime
from typing import Any, TypeAlias

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, IndexModel, UpdateMany, UpdateOne
from pymongo.errors import DuplicateKeyError

Record: TypeAlias = dict[str, Any]

CHUNK_BYTES = 1024 * 1024
PAGE = 500
DROP = {"$set": {"state": "dropped"}}


class MongoParts:
    """Bytes by digest, with claims. Digests are the caller's to compute and to check."""

    def __init__(self, database: "AsyncIOMotorDatabase[Record]") -> None:
        self._claims = database["parts.claims"]
        self._files = database["parts.files"]
        self._chunks = database["parts.chunks"]

    async def set_up(self) -> None:
        """Create the indexes that are missing."""
        kept = {"partialFilterExpression": {"state": "kept"}, "unique": True}
        await self._files.create_indexes(
            [
                IndexModel("filename", name="kept", **kept),
                IndexModel([("filename", ASCENDING), ("state", ASCENDING)]),
                IndexModel([("state", ASCENDING), ("_id", ASCENDING)]),
            ]
        )
        await self._chunks.create_indexes(
            [IndexModel([("files_id", ASCENDING), ("n", ASCENDING)], unique=True)]
        )
        await self._claims.create_indexes(
            [
                IndexModel([("owner", ASCENDING), ("digest", ASCENDING)], unique=True),
                IndexModel([("digest", ASCENDING), ("ending", ASCENDING)]),
            ]
        )

    async def put(self, digest: str, data: bytes, owner: str) -> None:
        """Claim a part, and upload it unless it is kept already.

        What was uploaded is claimed once more: its owner may have dropped the claim just before the upload began, and
        a part without a claim would stay for ever. An upload that somebody removed meanwhile is done again.
        """
        await self._claim(digest, owner)
        while not await self._renew(digest):
            is_kept = await self._upload(digest, data, owner)
            await self._claim(digest, owner)
            if is_kept:
                break

    async def _renew(self, digest: str) -> bool:
        """Note that a part is claimed anew; False if it is not kept."""
        kept = {"filename": digest, "state": "kept"}
        touched = await self._files.update_one(kept, {"$set": {"touched": ObjectId()}})
        return bool(touched.matched_count)

    async def _claim(self, digest: str, owner: str) -> None:
        claim = {"owner": owner, "digest": digest}
        await self._claims.update_one(claim, {"$set": {"ending": False}}, upsert=True)

    async def get(self, digest: str) -> bytes | None:
        """Return what is kept under a digest."""
        kept = {"filename": digest, "state": "kept"}
        while file := await self._files.find_one(kept):
            chunks = self._chunks.find({"files_id": file["_id"]}).sort("n")
            data = b"".join([chunk["data"] async for chunk in chunks])
            if len(data) == file["length"] or await self._files.find_one(
                kept | {"_id": file["_id"]}
            ):
                return data
            # Too short because it was dropped meanwhile: look whether it came back.
        return None

    async def drop(self, owner: str, *digests: str) -> int:
        """End an owner's claims, on these digests or all; remove what nobody else claims; return how many ended.

        A claim is marked first and deleted last, so that a drop which was cut off is finished by the next.
        """
        claims: Record = {"owner": owner}
        if digests:
            claims["digest"] = {"$in": digests}
        await self._claims.update_many(claims, {"$set": {"ending": True}})
        ended = 0
        while page := await self._claims.find(claims | {"ending": True}).to_list(PAGE):
            those = {"$in": [claim["digest"] for claim in page]}
            await self._drop_unclaimed(owner, those)
            await self._remove_dropped(those)
            deleted = await self._claims.delete_many(claims | {"ending": True, "digest": those})
            ended += deleted.deleted_count
        return ended

    async def drop_unfinished(self, before: datetime) -> int:
        """Remove what is left of uploads and drops of files that were begun before then; return how many."""
        old = {"_id": {"$lt": ObjectId.from_datetime(before)}}
        await self._files.update_many(old | {"state": "uploading"}, DROP)
        files = self._files.find(old | {"state": "dropped"}, {"_id": True})
        dropped = [file["_id"] async for file in files]
        await self._remove(dropped)
        return len(dropped)

    async def _upload(self, digest: str, data: bytes, owner: str) -> bool:
        """Upload a file and return whether it became the part; see _keep."""
        file = ObjectId()
        layout = {"length": len(data), "chunkSize": CHUNK_BYTES, "uploadDate": datetime.now(UTC)}
        await self._files.insert_one(
            {"_id": file, "filename": digest, "owner": owner, "state": "uploading"} | layout
        )
        await self._chunks.insert_many(
            [
                {"files_id": file, "n": n, "data": data[start : start + CHUNK_BYTES]}
                for n, start in enumerate(range(0, max(len(data), 1), CHUNK_BYTES))
            ]
        )
        is_kept = await self._keep(file)
        if not is_kept:
            await self._remove([file])
        return is_kept

    async def _keep(self, file: ObjectId) -> bool:
        """Make an upload the part; False if another one is, or if its owner's drop came first."""
        try:
            kept = await self._files.update_one(
                {"_id": file, "state": "uploading"},
                {"$set": {"state": "kept", "touched": ObjectId()}},
            )
        except DuplicateKeyError:
            return False
        return bool(kept.matched_count)

    async def _drop_unclaimed(self, owner: str, digests: Record) -> None:
        """Mark as dropped the files that nobody claims, and the owner's unfinished uploads."""
        files = await self._files.find({"filename": digests, "state": "kept"}).to_list(None)
        claimed = await self._claims.distinct("digest", {"digest": digests, "ending": False})
        changes = [
            UpdateOne({"_id": file["_id"], "state": "kept", "touched": file["touched"]}, DROP)
            for file in files
            if file["filename"] not in claimed
        ]
        unfinished = {"filename": digests, "state": "uploading", "owner": owner}
        await self._files.bulk_write([*changes, UpdateMany(unfinished, DROP)], ordered=False)

    async def _remove_dropped(self, digests: Record) -> None:
        files = self._files.find({"filename": digests, "state": "dropped"}, {"_id": True})
        await self._remove([file["_id"] async for file in files])

    async def _remove(self, files: list[ObjectId]) -> None:
        """Remove files for good: the chunks first, since without the document nobody finds them."""
        await self._chunks.delete_many({"files_id": {"$in": files}})
        await self._files.delete_many({"_id": {"$in": files}})
