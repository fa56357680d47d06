"""Values of a campaign file that name an entry of a registry, and sections whose keys that entry decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, PydanticKnownError, core_schema

from mlip_fw.errors import WorkerError
from mlip_fw.plugins import Registry

UNKNOWN = "unknown_kind"
"""Type of the error of a name that no entry has; its message goes on after the name of the key."""
BROKEN = "broken_plug_in"
"""Type of the error of an entry that can't be used; its message is a sentence of its own."""


class NameIn:
    """Annotation of a text that names an entry of ``registry``, or is one of the words ``also``."""

    def __init__(self, registry: Registry, also: tuple[str, ...] = ()) -> None:
        self._registry, self._also = registry, also

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate a text, then look for the name; what it stands for is imported where it is used."""
        return core_schema.no_info_after_validator_function(self._checked, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """List the names that are installed."""
        return {"type": "string", "enum": [*self._also, *self._registry.names()]}

    def _checked(self, name: str) -> str:
        if name not in self._also and not self._registry.has(name):
            raise _unknown(f"can't be {name!r:.60}; {self._registry.hint(name, self._also)}")
        return name


class SettingsByKind:
    """Annotation of a section whose ``kind`` names an entry of ``registry``: the entry's settings model validates it.

    Parameters
    ----------
    base
        Model that all settings models derive from.
    """

    def __init__(self, registry: Registry, base: type[BaseModel]) -> None:
        self._registry, self._base = registry, base

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by the model of the kind; a model that was validated is taken as it is."""
        return core_schema.no_info_plain_validator_function(self._validated)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return one alternative for each kind that is installed and can be used."""
        choices = {name: _core_schema_of(entry.settings) for name, entry in self._registry.usable().items()}
        return handler(core_schema.tagged_union_schema(choices, "kind"))

    def _validated(self, value: Any) -> BaseModel:
        if isinstance(value, self._base):
            return value
        if not isinstance(value, Mapping):
            raise PydanticKnownError("dict_type")
        kind = value.get("kind")
        try:
            settings = self._settings_of(kind)
        except PydanticCustomError as error:
            fault = InitErrorDetails(type=error, loc=("kind",), input=kind)
            raise ValidationError.from_exception_data(self._base.__name__, [fault]) from None
        made: BaseModel = settings.model_validate(dict(value))
        return made

    def _settings_of(self, kind: Any) -> type[BaseModel]:
        if kind is None:
            raise _unknown(f"is missing; it is one of {', '.join(self._registry.names())}")
        settings = _look_up(self._registry, str(kind)).settings
        fits = isinstance(settings, type) and issubclass(settings, self._base)
        if not fits or settings.model_fields["kind"].annotation != Literal[kind]:
            said = (
                f"the {self._registry.what} {kind!r} of {self._registry.origin(kind)} is broken: its settings must be "
                f'a subclass of {self._base.__name__} with kind: Literal["{kind}"]'
            )
            raise PydanticCustomError(BROKEN, "{said}", {"said": said})
        found: type[BaseModel] = settings
        return found


def _look_up(registry: Registry, name: str) -> Any:
    """Return an entry of a registry, for a validator.

    Raises
    ------
    PydanticCustomError
        Of type ``UNKNOWN`` if no entry has this name, ``BROKEN`` if the one that has it can't be used.
    """
    try:
        return registry.get(name)
    except WorkerError as error:
        if registry.has(name):
            raise PydanticCustomError(BROKEN, "{said}", {"said": str(error)}) from None
        raise _unknown(f"can't be {name!r:.60}; {registry.hint(name)}") from None


def _unknown(said: str) -> PydanticCustomError:
    return PydanticCustomError(UNKNOWN, "{said}", {"said": said})


def _core_schema_of(model: type[BaseModel]) -> CoreSchema:
    """Return the core schema of a model with a name of its own, under which a JSON schema defines it."""
    model.model_rebuild()
    named: Any = {**model.__pydantic_core_schema__, "ref": f"{model.__module__}.{model.__qualname__}:{id(model)}"}
    schema: CoreSchema = named
    return schema
