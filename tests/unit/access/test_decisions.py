"""What decides who may read a document, and that the page of permissions is the code's."""

from pathlib import Path
from uuid import UUID

import pytest

from opaa.access.acl import decide, document_tags, normal_tags
from opaa.access.models import TagRule
from opaa.access.permissions import check_scopes, role_allows, strongest
from opaa.access.reference import reference
from opaa.errors import InvalidInputError

WORKSPACE = UUID(int=1)


def rule(position: int, tag: str, *principals: str) -> TagRule:
    return TagRule(id=UUID(int=100 + position), position=position, tag=tag, principals=list(principals))


def test_the_page_of_permissions_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "permissions.md"
    assert page.read_text() == reference(), "run: opaa access roles --markdown > docs/permissions.md"


@pytest.mark.req("SEC-6")
def test_the_document_decides_before_rules_and_rules_before_the_source() -> None:
    rules = [rule(1, "board", "group:b"), rule(0, "hr", "group:h", "user:a")]
    given = {"rules": rules, "source_acl": ["group:s"], "default_acl": ["group:d"]}
    assert decide(WORKSPACE, own_acl=["user:x"], tags=["hr"], **given).origin == "document"
    first = decide(WORKSPACE, own_acl=None, tags=["Board", "HR "], **given)
    assert (first.principals, first.origin) == (("group:h", "user:a"), f"rule:{rules[1].id}")
    assert decide(WORKSPACE, own_acl=None, tags=["other"], **given).principals == ("group:s",)
    without = {**given, "source_acl": None}
    assert decide(WORKSPACE, own_acl=None, tags=[], **without).principals == ("group:d",)
    nothing = {"rules": [], "source_acl": None, "default_acl": None}
    assert decide(WORKSPACE, own_acl=None, tags=[], **nothing).principals == (f"workspace:{WORKSPACE}",)
    assert decide(WORKSPACE, own_acl=None, tags=[], **{**nothing, "source_acl": []}).principals == ()  # nobody


def test_tags_come_from_fields_in_several_spellings() -> None:
    assert document_tags({"Tags": ["HR", " board  meeting "], "keywords": "a, B"}) == ["a", "b", "board meeting", "hr"]
    assert normal_tags(["", " ", "x" * 101, "Ä"]) == ["ä"]
    assert document_tags({"tags": 5, "title": "x"}) == []


@pytest.mark.req("SEC-5")
def test_roles_allow_what_the_table_says_and_unknown_operations_nothing() -> None:
    assert role_allows("member", "documents:write", "editor")
    assert not role_allows("member", "documents:write", "viewer")
    assert not role_allows("owner", "documents:write")  # the role in the workspace counts, which owners have everywhere
    assert not role_allows("owner", "fly", "admin")
    assert strongest({"viewer", "admin", "editor"}) == "admin"
    with pytest.raises(InvalidInputError, match="fly is not a scope"):
        check_scopes(["ask", "fly"])
