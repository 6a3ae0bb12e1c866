"""All collections and aliases of the server, in one directory."""

import re
import shutil
import threading
import uuid
from pathlib import Path

from pydantic import TypeAdapter
from qdrant_client import models

from headrace_local.qdrant_server.collection import Collection
from headrace_local.qdrant_server.refusal import Refusal, not_found, wrong_input

NAME = re.compile(r'[^<>:"/\\|?*\x00-\x1f]{1,255}')
ALIASES = TypeAdapter(dict[str, str])


class Store:
    """Opens the collections of the directory. Changes are renames, so an interruption leaves nothing incomplete."""

    def __init__(self, place: Path) -> None:
        self._collections_dir = place / "collections"
        self._scratch = place / "scratch"
        self._aliases_file = place / "aliases.json"
        shutil.rmtree(self._scratch, ignore_errors=True)
        for directory in (self._collections_dir, self._scratch):
            directory.mkdir(parents=True, exist_ok=True)
        self.aliases = ALIASES.validate_json(self._aliases_file.read_bytes()) if self._aliases_file.exists() else {}
        self.collections = {path.name: Collection(path) for path in sorted(self._collections_dir.iterdir())}
        self._changing = threading.Lock()

    def get(self, name: str) -> Collection:
        """The collection of that name or alias; a 404 if there is none."""
        found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise not_found(f"Collection `{name}` doesn't exist!")
        return found

    def has(self, name: str) -> bool:
        return self.aliases.get(name, name) in self.collections

    def aliases_of(self, name: str) -> dict[str, str]:
        """The aliases of a collection, with its name."""
        self.get(name)
        wanted = self.aliases.get(name, name)
        return {alias: target for alias, target in self.aliases.items() if target == wanted}

    def create(self, name: str, parameters: models.CreateCollection) -> bool:
        if not NAME.fullmatch(name) or name in {".", ".."}:
            raise wrong_input(f"collection name {name!r} is not allowed")
        if parameters.sparse_vectors:
            raise wrong_input("the development server supports only dense vectors")
        with self._changing:
            if name in self.collections or name in self.aliases:
                raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
            fresh = self._scratch / str(uuid.uuid4())
            fresh.mkdir()
            Collection.create(fresh, parameters)
            place = fresh.rename(self._collections_dir / name)
            self.collections[name] = Collection(place)
        return True

    def delete(self, name: str) -> bool:
        """Remove a collection and its aliases; False if there was none."""
        with self._changing:
            gone = self.collections.pop(name, None)
            if gone is None:
                return False
            self._write_aliases({alias: target for alias, target in self.aliases.items() if target != name})
            gone.close()
            trash = (self._collections_dir / name).rename(self._scratch / str(uuid.uuid4()))
        shutil.rmtree(trash)
        return True

    def change_aliases(self, wanted: models.ChangeAliasesOperation) -> bool:
        """All actions in their order, or none."""
        with self._changing:
            aliases = dict(self.aliases)
            for action in wanted.actions:
                self._change(aliases, action)
            self._write_aliases(aliases)
        return True

    def flush(self) -> None:
        for collection in list(self.collections.values()):
            collection.flush()

    def close(self) -> None:
        for collection in self.collections.values():
            collection.close()

    def _change(self, aliases: dict[str, str], action: models.AliasOperations) -> None:
        match action:
            case models.CreateAliasOperation():
                alias, target = action.create_alias.alias_name, action.create_alias.collection_name
                if target not in self.collections:
                    raise not_found(f"Collection `{target}` doesn't exist!")
                if alias in self.collections:
                    raise Refusal(409, f"Wrong input: Collection `{alias}` already exists!")
                aliases[alias] = target
            case models.DeleteAliasOperation():
                aliases.pop(action.delete_alias.alias_name, None)
            case models.RenameAliasOperation():
                old, new = action.rename_alias.old_alias_name, action.rename_alias.new_alias_name
                if old not in aliases:
                    raise not_found(f"Alias {old} does not exists!")
                aliases[new] = aliases.pop(old)

    def _write_aliases(self, aliases: dict[str, str]) -> None:
        fresh = self._aliases_file.with_suffix(".new")
        fresh.write_bytes(ALIASES.dump_json(aliases))
        fresh.replace(self._aliases_file)
        self.aliases = aliases
