"""SCIM filters (RFC 7644, 3.4.2.2) as conditions of the database."""

from typing import Any
from uuid import UUID

from scim2_models import InvalidFilterException, ScimFilter
from scim2_models.path import CompareOperator, FilterVisitor, LogicalOperator
from sqlalchemy import ColumnElement, and_, false, func, not_, or_

from opaa.access.models import Group
from opaa.identity.models import User

USER_COLUMNS: dict[str, Any] = {
    "id": User.id,
    "username": User.login,
    "externalid": User.external_id,
    "displayname": User.display_name,
    "name.formatted": User.display_name,
    "emails": User.email,
    "emails.value": User.email,
    "active": User.disabled_at.is_(None),
    "meta.created": User.created_at,
}
GROUP_COLUMNS: dict[str, Any] = {
    "id": Group.id,
    "displayname": Group.name,
    "externalid": Group.external_id,
    "meta.created": Group.created_at,
}


def condition(scim_filter: ScimFilter[Any], columns: dict[str, Any]) -> ColumnElement[bool]:
    """What rows must be for the filter. Raises InvalidFilterException for an attribute that is not among `columns`."""
    try:
        return _Sql(columns).visit(scim_filter.ast)
    except (TypeError, ValueError) as error:
        raise InvalidFilterException(detail="The filter compares values that cannot be compared") from error


class _Sql(FilterVisitor[ColumnElement[bool]]):
    """A SCIM filter as a condition; an attribute that is not kept here cannot be filtered by."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns = columns

    def visit_comparison(self, node: Any) -> ColumnElement[bool]:  # noqa: ANN401 - the library's nodes
        name, column = self._column(node.attr_path)
        value = node.value
        if name == "id":
            return _same_id(column, value, equal=node.op == CompareOperator.eq)
        if isinstance(value, str) and name not in {"externalid", "meta.created", "active"}:
            column, value = func.lower(column), value.lower()  # not caseExact, RFC 7643, 4.1
        if name == "active" and not isinstance(value, bool):
            value = str(value).lower() == "true"
        operations = {
            CompareOperator.eq: lambda: column.is_(None) if value is None else column == value,
            CompareOperator.ne: lambda: column.is_not(None) if value is None else column != value,
            CompareOperator.co: lambda: column.contains(str(value), autoescape=True),
            CompareOperator.sw: lambda: column.startswith(str(value), autoescape=True),
            CompareOperator.ew: lambda: column.endswith(str(value), autoescape=True),
            CompareOperator.gt: lambda: column > value,
            CompareOperator.ge: lambda: column >= value,
            CompareOperator.lt: lambda: column < value,
            CompareOperator.le: lambda: column <= value,
        }
        result: ColumnElement[bool] = operations[node.op]()
        return result

    def visit_present(self, node: Any) -> ColumnElement[bool]:  # noqa: ANN401
        result: ColumnElement[bool] = self._column(node.attr_path)[1].is_not(None)
        return result

    def visit_not(self, node: Any) -> ColumnElement[bool]:  # noqa: ANN401
        return not_(self.visit(node.expr))

    def visit_logical_expr(self, node: Any) -> ColumnElement[bool]:  # noqa: ANN401
        join = and_ if node.op == LogicalOperator.and_ else or_
        return join(*(self.visit(term) for term in node.terms))

    def visit_value_path(self, node: Any) -> ColumnElement[bool]:  # noqa: ANN401
        raise InvalidFilterException(detail=f"One cannot filter by {node.attr_path} with a condition of its own")

    def _column(self, path: Any) -> tuple[str, Any]:  # noqa: ANN401
        name = ".".join(part for part in (path.attr, path.sub_attr) if part).lower()
        if name not in self.columns:
            raise InvalidFilterException(detail=f"One cannot filter by {path}")
        return name, self.columns[name]


def _same_id(column: Any, value: object, *, equal: bool) -> ColumnElement[bool]:  # noqa: ANN401
    try:
        condition: ColumnElement[bool] = column == UUID(str(value))
    except ValueError:
        condition = false()
    return condition if equal else not_(condition)
