"""What a class of an edited file is called in the run."""

import pytest

from perception.core.ontology import Ontology, OntologyClass
from perception.review.decisions.classes import names_of

NAMES = ("car", "traffic light", "van", "Van")
ONTOLOGY = Ontology(
    name="own",
    classes=tuple(
        OntologyClass(id=number, name=name, parent="thing") for number, name in enumerate(NAMES)
    ),
)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("car", "car"),
        (" CAR ", "car"),
        ("Traffic_Light", "traffic light"),
        ("traffic-light", "traffic light"),
        ("Van", "Van"),  # the run's own name, though another class differs by no more than case
        ("van", "van"),
        ("VAN", ""),  # either
        ("cow", ""),
        ("", ""),
    ],
)
def test_names_that_differ_by_their_form_are_one_where_only_one_class_has_it(
    name: str, known: str
) -> None:
    assert names_of(ONTOLOGY, None)(name) == known
