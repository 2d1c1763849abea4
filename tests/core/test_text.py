from perception.core.text import text_table


def test_a_table_aligns_names_left_and_figures_right_and_never_wraps_them() -> None:
    rows = [["", "n", "share"], ["a very long name of a class " * 5, "7", "12.5%"]]
    head, row = text_table(rows)
    assert head == " " * len(rows[1][0]) + "  n  share"
    assert row == rows[1][0] + "  7  12.5%"
